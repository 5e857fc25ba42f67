// SPDX-License-Identifier: Apache-2.0
// models/storyteller, and models/index.json, which names what a plain static host offers.

import fs from 'node:fs';
import path from 'node:path';
import type { Plugin } from 'vite';

const builds = path.join(import.meta.dirname, '../../build');

function demoFolder(): string | undefined {
  const places = ['release', 'dev', 'asan'].map((preset) => path.join(builds, preset, 'models/storyteller'));
  const given = process.env.LAMINA_DEMO_MODEL;
  return [...(given ? [given] : []), ...places]
    .find((folder) => fs.existsSync(path.join(folder, 'manifest.json')));
}

export function demoModel(): Plugin {
  let out = '';
  return {
    name: 'lamina-demo-model',
    apply: 'build',
    configResolved(config) {
      out = path.join(config.build.outDir, 'models');
    },
    closeBundle() {
      const from = demoFolder();
      const models = from ? [{ name: 'storyteller', path: 'storyteller/' }] : [];
      fs.mkdirSync(out, { recursive: true });
      if (from) fs.cpSync(from, path.join(out, 'storyteller'), { recursive: true });
      fs.writeFileSync(path.join(out, 'index.json'), `${JSON.stringify({ models }, null, 2)}\n`);
    },
  };
}
