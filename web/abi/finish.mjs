// SPDX-License-Identifier: Apache-2.0
// node web/abi/finish.mjs LINKED.wasm OUT.wasm: optimises a linked module with binaryen, and says how
// large it is. node web/abi/finish.mjs OUT: puts the JavaScript of this folder into the folder OUT.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const places = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const wasmOpt = join(here, '../node_modules/binaryen/bin/wasm-opt');
const FEATURES = [
  'simd', 'relaxed-simd', 'threads', 'bulk-memory', 'mutable-globals', 'sign-ext',
  'nontrapping-float-to-int', 'multivalue', 'reference-types',
].map((f) => `--enable-${f}`);

function optimise(from, to) {
  execFileSync(process.execPath, [wasmOpt, from, '-O3', '--strip-producers', '--strip-debug',
    '--strip-target-features', ...FEATURES, '-o', to], { stdio: 'inherit' });
}

function report(file) {
  const bytes = readFileSync(file);
  const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
  const [brotli, gzip] = [brotliCompressSync(bytes, quality).length, gzipSync(bytes, { level: 9 }).length];
  console.log(`${basename(file)}: ${bytes.length} bytes, gzip ${gzip}, brotli ${brotli}`);
}

// The TypeScript of a folder without its types, as modules that import each other.
function strip(folder, to) {
  mkdirSync(to, { recursive: true });
  for (const file of readdirSync(folder)) {
    if (!file.endsWith('.ts')) continue;
    const js = stripTypeScriptTypes(readFileSync(join(folder, file), 'utf8'));
    const linkedJs = js.replace(/(from '\.[^']*)\.ts'/g, "$1.js'");
    writeFileSync(join(to, file.replace(/\.ts$/, '.js')), linkedJs);
  }
}

if (places.length === 2) {
  optimise(...places);
  report(places[1]);
} else {
  const [out] = places;
  strip(here, join(out, 'abi'));
  mkdirSync(join(out, 'engine'), { recursive: true });
  const errors = stripTypeScriptTypes(readFileSync(join(here, '../engine/errors.ts'), 'utf8'));
  writeFileSync(join(out, 'engine/errors.js'), errors);
  copyFileSync(join(here, 'thread.js'), join(out, 'abi/thread.js'));
}
