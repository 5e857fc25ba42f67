// SPDX-License-Identifier: Apache-2.0
// The WebAssembly engine in Chromium beside the native CPU engine, on one model, in one run.
//   node bench/web_wasm.mjs --model DIR [--wasm build/wasm] [--lamina build/release/bin/lamina]
//     [--prompt 128] [--answer 32] [--repeats 2] [--threads 1,2] [--isa relaxed,simd128]
//     [--max-rows 128] [--wllama node_modules/@wllama/wllama --gguf FILE: the same shape, Q8_0]
import { execFileSync } from 'node:child_process';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { inPage, inWorker, serve } from '../tests/web/abi/chromium.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const text = (value) => ({ type: 'string', default: value });
const { values: o } = parseArgs({ options: {
  model: { type: 'string' }, wasm: text(join(root, 'build/wasm')),
  lamina: text(join(root, 'build/release/bin/lamina')), prompt: text('128'), answer: text('32'),
  repeats: text('2'), threads: text('1,2'), isa: text('relaxed,simd128'), 'max-rows': text('128'),
  wllama: text(''), gguf: text(''),
} });
if (!o.model) throw new Error('--model DIR is missing');

function native(threads) {
  const args = ['bench', '-m', o.model, '-p', o.prompt, '-n', o.answer, '-r', o.repeats,
    '-t', String(threads), '--backend', 'cpu', '-o', 'json'];
  const rows = JSON.parse(execFileSync(o.lamina, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  const speed = (kind) => rows.find((r) => r[kind] > 0 && r[kind === 'n_gen' ? 'n_prompt' : 'n_gen'] === 0).avg_ts;
  return { isa: 'native', threads, prefill: speed('n_prompt'), decode: speed('n_gen') };
}

function print(row) {
  const cell = (v) => v.toFixed(1).padStart(8);
  console.log(`${row.isa.padEnd(14)} ${row.threads} threads  prefill ${cell(row.prefill)}  decode ${cell(row.decode)} tokens/s`);
}

const threads = o.threads.split(',').map(Number);
const mounts = { wasm: o.wasm, bench: join(root, 'bench'), model: o.model };
const server = await serve(mounts);
try {
  const variants = o.isa.split(',').flatMap((isa) =>
    threads.map((t) => ({ relaxed: isa === 'relaxed', threads: t })));
  const task = { model: `${server.url}/model`, variants, prompt: +o.prompt, answer: +o.answer,
    repeats: +o.repeats, maxRows: +o['max-rows'] };
  for (const row of await inWorker(server.url, '/bench/web_wasm_worker.js', task)) print(row);
  if (o.wllama) {
    Object.assign(mounts, { wllama: o.wllama, gguf: dirname(o.gguf) });
    for (const t of threads) {
      print(await inPage(server.url, '/bench/web_wllama_page.js', { gguf: `/gguf/${basename(o.gguf)}`, threads: t,
        prompt: +o.prompt, answer: +o.answer, repeats: +o.repeats }, (line) => console.error(line)));
    }
  }
} finally {
  await server.close();
}
for (const t of threads) print(native(t));
