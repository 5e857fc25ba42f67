// SPDX-License-Identifier: Apache-2.0
// Models for the page's tests, made by the real converter.

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { SOURCE } from './browser.ts';
import { LAMINA, MODEL } from './daemon.ts';

export { MODEL };

/** The demo model in nine shards. */
export function shardedModel(folder: string): void {
  const from = path.join(SOURCE, 'tests/models/storyteller');
  execFileSync(LAMINA, ['convert', from, folder, '--shard-size', '1M'], { stdio: 'ignore' });
}
