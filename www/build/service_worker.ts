// SPDX-License-Identifier: Apache-2.0
// sw/index.ts into /sw.js, which must not have a hash in its name. It is told the shell's files
// and a version made of their contents: `__SHELL_FILES__` and `__SHELL_VERSION__`.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { build, type Plugin } from 'vite';

const entry = path.join(import.meta.dirname, '../sw/index.ts');

/** All files below `folder` but models and compressed copies, by paths from it. */
export function shellFiles(folder: string): string[] {
  return fs.readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map((file) => path.relative(folder, path.join(file.parentPath, file.name)).replaceAll(path.sep, '/'))
    .filter((file) => !/^models\/|^sw\.js$|\.(br|gz|map)$/.test(file))
    .sort();
}

function versionOf(folder: string, files: string[]): string {
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file}\n`).update(fs.readFileSync(path.join(folder, file)));
  return hash.digest('hex').slice(0, 16);
}

export function serviceWorker(): Plugin {
  let out = '';
  return {
    name: 'lamina-service-worker',
    apply: 'build',
    configResolved(config) {
      out = config.build.outDir;
    },
    async closeBundle() {
      if (!fs.existsSync(entry)) return;
      const files = shellFiles(out);
      await build({
        configFile: false,
        logLevel: 'warn',
        publicDir: false,
        define: {
          __SHELL_FILES__: JSON.stringify(files), __SHELL_VERSION__: JSON.stringify(versionOf(out, files)),
        },
        build: {
          outDir: out, emptyOutDir: false, target: 'es2022',
          lib: { entry, formats: ['es'], fileName: () => 'sw.js' },
        },
      });
    },
  };
}
