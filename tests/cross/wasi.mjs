// SPDX-License-Identifier: Apache-2.0
// node tests/cross/wasi.mjs PROGRAM.wasm [ARGUMENTS]: runs a WASI program and exits as it does, or
// with 77 if this engine lacks instructions that the program has.
import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

const [path, ...rest] = process.argv.slice(2);
const bytes = readFileSync(path);
if (!WebAssembly.validate(bytes)) process.exit(77);
const wasi = new WASI({ version: 'preview1', args: [path, ...rest], env: process.env });
// Node 18 has no getImportObject().
const { instance } = await WebAssembly.instantiate(bytes, { wasi_snapshot_preview1: wasi.wasiImport });
process.exitCode = wasi.start(instance);
