// SPDX-License-Identifier: Apache-2.0
import fs from 'node:fs';
import path from 'node:path';

/** All files that make the page, by paths from its folder: no models, no compressed copies. */
export function pageFiles(folder: string): string[] {
  return fs.readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map((file) => path.relative(folder, path.join(file.parentPath, file.name)).replaceAll(path.sep, '/'))
    .filter((file) => !/^models\/|\.(br|gz|map)$/.test(file))
    .sort();
}
