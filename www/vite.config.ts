// SPDX-License-Identifier: Apache-2.0
// The page into build/www: the app, the engine's worker and modules under assets/engine, the demo
// model where there is one, the service worker, and each file's compressed copies.

import path from 'node:path';
import { defineConfig } from 'vite';
import { compressed } from './build/compressed.ts';
import { demoModel } from './build/demo_model.ts';
import { engineFiles } from './build/engine_files.ts';
import { engineAlias } from './build/engine_alias.ts';
import { serviceWorker } from './build/service_worker.ts';

const root = import.meta.dirname;

export default defineConfig({
  root,
  base: './',
  resolve: { alias: engineAlias },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: process.env.LAMINA_WWW_OUT ?? path.join(root, '../build/www'),
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    // Names that the daemon takes for hashed, and lets browsers keep for good.
    rolldownOptions: { output: { hashCharacters: 'hex' } },
  },
  plugins: [engineFiles(), demoModel(), serviceWorker(), compressed()],
});
