// SPDX-License-Identifier: Apache-2.0
// sw/index.ts into /sw.js, which must not have a hash in its name. It is told the shell's files
// with their hashes, and the build: a name made of all contents, which index.html carries too.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { build, type Plugin } from 'vite';
import { engineAlias } from './engine_alias.ts';
import { pageFiles } from './page_files.ts';

const entry = path.join(import.meta.dirname, '../sw/index.ts');

const hashOf = (folder: string, file: string): string =>
  createHash('sha256').update(fs.readFileSync(path.join(folder, file))).digest('hex');

/** Names the build in index.html; gives the name. */
function nameBuild(folder: string, files: readonly string[]): string {
  const all = files.map((file) => `${file} ${hashOf(folder, file)}\n`).join('');
  const name = createHash('sha256').update(all).digest('hex').slice(0, 16);
  const page = path.join(folder, 'index.html');
  const html = fs.readFileSync(page, 'utf8');
  fs.writeFileSync(page, html.replace('</head>', `  <meta name="lamina-build" content="${name}">\n  </head>`));
  return name;
}

export function serviceWorker(): Plugin {
  let out = '';
  return {
    name: 'lamina-service-worker',
    apply: 'build',
    configResolved(config) {
      out = config.build.outDir;
    },
    closeBundle: {
      sequential: true,
      async handler() {
        const files = pageFiles(out).filter((file) => file !== 'sw.js' && file !== 'service-worker.json');
        const name = nameBuild(out, files);
        const hashed = files.map((file) => [file, hashOf(out, file)]);
        await build({
          configFile: false,
          logLevel: 'warn',
          publicDir: false,
          resolve: { alias: engineAlias },
          define: { __SHELL_FILES__: JSON.stringify(hashed), __SHELL_VERSION__: JSON.stringify(name) },
          build: {
            outDir: out, emptyOutDir: false, target: 'es2022',
            lib: { entry, formats: ['es'], fileName: () => 'sw.js' },
          },
        });
      },
    },
  };
}
