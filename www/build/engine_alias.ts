// SPDX-License-Identifier: Apache-2.0
// The engine's package is taken from its sources; the longer name comes first.

import path from 'node:path';

const engine = path.join(import.meta.dirname, '../../web/engine');

export const engineAlias = [
  { find: '@lamina/engine/storage', replacement: path.join(engine, 'storage.ts') },
  { find: '@lamina/engine', replacement: path.join(engine, 'index.ts') },
];
