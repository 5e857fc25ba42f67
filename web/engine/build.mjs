// SPDX-License-Identifier: Apache-2.0
// node web/engine/build.mjs MODULES OUT: the package @lamina/engine in the folder OUT, with the four
// modules of the folder MODULES. `npm pack OUT` makes the archive. Its worker, modules and thread
// are named by literal `new URL(…, import.meta.url)`, which users' bundlers find.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const [modules, out] = process.argv.slice(2);
const here = path.dirname(fileURLToPath(import.meta.url));
const web = path.join(here, '..');
const dist = path.join(out, 'dist');

fs.rmSync(dist, { recursive: true, force: true });
fs.mkdirSync(dist, { recursive: true });
const entries = [
  ['index', 'index.ts'], ['storage', 'storage.ts'], ['engine_worker', 'worker/engine_worker.ts'],
];
for (const [name, file] of entries) {
  const bundle = await rolldown({ input: path.join(here, file), platform: 'browser' });
  await bundle.write({
    file: path.join(dist, `${name}.js`), format: 'esm', codeSplitting: false, minify: false,
  });
}

const tsc = path.join(web, 'node_modules/typescript/bin/tsc');
const types = path.join(dist, 'types');
execFileSync(process.execPath, [tsc, '-p', path.join(here, 'tsconfig.build.json'), '--outDir', types], {
  stdio: 'inherit',
});
// Declarations import each other as .js, which every setting of TypeScript takes.
for (const file of fs.readdirSync(types, { recursive: true })) {
  if (!file.endsWith('.d.ts')) continue;
  const at = path.join(types, file);
  fs.writeFileSync(at, fs.readFileSync(at, 'utf8').replace(/((?:from|import\()\s*'\.[^']*)\.ts'/g, "$1.js'"));
}

for (const simd of ['simd128', 'relaxed']) {
  for (const kind of ['single', 'shared']) {
    const file = `lamina-${simd}-${kind}.wasm`;
    fs.copyFileSync(path.join(modules, file), path.join(dist, file));
  }
}
fs.copyFileSync(path.join(web, 'abi/thread.js'), path.join(dist, 'thread.js'));
for (const file of ['package.json', 'README.md']) {
  fs.copyFileSync(path.join(here, file), path.join(out, file));
}
