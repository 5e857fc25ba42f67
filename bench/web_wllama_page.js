// SPDX-License-Identifier: Apache-2.0
// What bench/web_wasm.mjs --wllama runs in the same browser: wllama on the same shape. Gives the same
// row as web_wasm_worker.js.
import { Wllama } from '/wllama/esm/index.js';

const words = (n, seed) => Array.from({ length: n }, (_, i) => 'tree house river stone'.split(' ')[(i * 7 + seed) % 4]).join(' ');

async function measure(wllama, task, seed) {
  let first = 0, last = 0, pieces = 0;
  const began = performance.now();
  const onData = () => {
    last = performance.now();
    if (pieces++ === 0) first = last;
  };
  // As many words as tokens, or nearly: usage tells. No cached prefix: the first word differs.
  const answer = await wllama.createCompletion({
    prompt: `${seed} ${words(task.prompt, seed)}`, max_tokens: task.answer + 1, temperature: 0, ignore_eos: true,
    stream: true, onData,
  });
  let usage = answer?.usage;
  return { prompt: usage?.prompt_tokens ?? task.prompt, prefill: (usage?.prompt_tokens ?? task.prompt) / (first - began) * 1000,
    decode: (pieces - 1) / (last - first) * 1000 };
}

export async function run(task) {
  const wllama = new Wllama({ default: '/wllama/esm/wasm/wllama.wasm' }, { suppressNativeLog: true });
  const began = performance.now();
  const blob = await (await fetch(task.gguf)).blob();
  await wllama.loadModel([blob], { n_ctx: 1024, n_threads: task.threads, n_gpu_layers: 0 });
  const load = (performance.now() - began) / 1000;
  const runs = [];
  for (let i = 0; i <= task.repeats; ++i) runs.push(await measure(wllama, task, i));
  runs.shift();
  const best = (key) => Math.max(...runs.map((r) => r[key]));
  const row = { isa: 'wllama', threads: wllama.getNumThreads(), prefill: best('prefill'), decode: best('decode'), load };
  await wllama.exit();
  return row;
}
