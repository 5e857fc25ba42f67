// SPDX-License-Identifier: Apache-2.0
// assets/engine: the engine's worker as one file, its four modules and the thread's script. They
// keep their names: the engine finds them by its option `assets`.

import fs from 'node:fs';
import path from 'node:path';
import { build, type Plugin } from 'vite';

const web = path.join(import.meta.dirname, '../../web');
const LITERAL = /new Worker\(new URL\('\.\/\w+\.js', import\.meta\.url\), \{ type: 'module' \}\)/;

/** Where the modules of the wasm preset are. */
export function modulesFolder(): string {
  return process.env.LAMINA_MODULES ?? path.join(web, '../build/wasm');
}

export function engineFiles(): Plugin {
  let out = '';
  return {
    name: 'lamina-engine-files',
    apply: 'build',
    enforce: 'pre',
    configResolved(config) {
      out = path.join(config.build.outDir, 'assets/engine');
    },
    // The workers lie in another folder than their literal addresses say.
    transform(code, id) {
      if (!/web\/engine\/(local_transport|page_workers)\.ts$/.test(id)) return null;
      if (!LITERAL.test(code)) this.error(`${id} makes its workers otherwise now`);
      const said = "(() => { throw new Error('the option assets is needed') })()";
      return { code: code.replace(LITERAL, said), map: null };
    },
    async closeBundle() {
      await buildWorker(out);
      fs.copyFileSync(path.join(web, 'abi/thread.js'), path.join(out, 'thread.js'));
      for (const file of ['simd128-single', 'simd128-shared', 'relaxed-single', 'relaxed-shared']) {
        copyModule(`lamina-${file}.wasm`, out, (what) => this.warn(what));
      }
    },
  };
}

async function buildWorker(out: string): Promise<void> {
  await build({
    configFile: false,
    logLevel: 'warn',
    publicDir: false,
    plugins: [withoutLiterals()],
    build: {
      outDir: out,
      emptyOutDir: true,
      target: 'es2022',
      lib: {
        entry: path.join(web, 'engine/worker/engine_worker.ts'), formats: ['es'],
        fileName: () => 'engine_worker.js',
      },
    },
  });
}

// Vite would copy what `new URL('./file', import.meta.url)` names; these lie beside the worker.
function withoutLiterals(): Plugin {
  return {
    name: 'lamina-engine-addresses',
    enforce: 'pre',
    transform(code, id) {
      if (!/web\/(engine|abi)\//.test(id)) return null;
      const at = (_: string, file: string) => `new URL('./' + ${JSON.stringify(file)}, self.location.href)`;
      return { code: code.replace(/new URL\('\.\/([\w.-]+)', import\.meta\.url\)/g, at), map: null };
    },
  };
}

function copyModule(file: string, out: string, warn: (what: string) => void): void {
  const from = path.join(modulesFolder(), file);
  if (fs.existsSync(from)) fs.copyFileSync(from, path.join(out, file));
  else warn(`${from} is not there: cmake --workflow --preset wasm makes it`);
}
