// SPDX-License-Identifier: Apache-2.0
// What bench/web_wasm.mjs --wllama runs in the same browser: wllama on the same shape. Gives the same
// row as web_wasm_worker.js.
import { Wllama } from '/wllama/esm/index.js';

const words = (n, seed) => Array.from({ length: n }, (_, i) => 'tree house river stone'.split(' ')[(i * 7 + seed) % 4]).join(' ');

async function measure(wllama, task, seed) {
  let first = 0, last = 0, pieces = 0, timings;
  const began = performance.now();
  const onData = (chunk) => {
    timings = chunk.timings ?? timings;
    if (!chunk.choices?.[0]?.text) return;
    last = performance.now();
    if (pieces++ === 0) first = last;
  };
  // No cached prefix: the first word differs.
  const answer = await wllama.createCompletion({
    prompt: `${seed} ${words(task.prompt, seed)}`, max_tokens: task.answer + 1, temperature: 0, ignore_eos: true,
    stream: true, onData,
  });
  const prompt = timings?.prompt_n ?? answer?.usage?.prompt_tokens;
  if (!prompt) throw new Error(`wllama tells no count of the prompt's tokens: ${JSON.stringify({ answer, timings })}`);
  console.log(`wllama: prompt of ${prompt} tokens, its own timings ${JSON.stringify(timings)}`);
  return { prefill: prompt / (first - began) * 1000, decode: (pieces - 1) / (last - first) * 1000 };
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
