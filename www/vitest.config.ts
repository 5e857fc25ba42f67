// SPDX-License-Identifier: Apache-2.0
// tests/www/unit, in a page that is not a browser's. The tests lie outside of this project, so what
// they import of its packages is named here.

import path from 'node:path';
import { defineConfig } from 'vitest/config';
import { engineAlias } from './build/engine_alias.ts';

const root = import.meta.dirname;
const inPackages = (file: string) => path.join(root, 'node_modules', file);
const alias = Array.isArray(engineAlias) ? engineAlias
  : Object.entries(engineAlias).map(([find, replacement]) => ({ find, replacement }));

export default defineConfig({
  root,
  resolve: {
    alias: [
      ...alias,
      { find: /^vitest$/, replacement: inPackages('vitest/dist/index.js') },
      { find: 'fake-indexeddb/auto', replacement: inPackages('fake-indexeddb/auto/index.mjs') },
      { find: /^markdown-it$/, replacement: inPackages('markdown-it/dist/markdown-it.mjs') },
      { find: /^preact$/, replacement: inPackages('preact/dist/preact.mjs') },
    ],
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  server: { fs: { allow: ['../..'] } },
  test: {
    include: ['../tests/www/unit/**/*.test.{ts,tsx}'],
    environment: 'happy-dom',
    testTimeout: 10_000,
  },
});
