// SPDX-License-Identifier: Apache-2.0
// What bench/web_wasm.mjs runs in Chromium: a model in the WebAssembly module, prompts and answers
// timed. Task: {model, variants: [{relaxed, threads}], prompt, answer, repeats}.
import { LaminaModule } from '/wasm/abi/module.js';

async function openModel(module, url) {
  const bytes = async (file) => new Uint8Array(await (await fetch(`${url}/${file}`)).arrayBuffer());
  const model = module.openModel(await bytes('manifest.json'), await bytes('tokenizer.json'));
  for (const [i, shard] of model.shards().entries()) {
    const data = await bytes(shard.file);
    model.shardInto(i).set(data);
    model.shardDone(i);
  }
  return model;
}

// Token ids without meaning: what they are does not change the work.
const ids = (n, seed) => Int32Array.from({ length: n }, (_, i) => (i * 7919 + seed * 104729) % 31000 + 300);

function measure(engine, task, seed) {
  const session = engine.createSession();
  session.setPrompt(ids(task.prompt, seed), { temperature: 0, ignoreEos: true, maxTokens: task.answer + 1 });
  const began = performance.now();
  let events = [];
  while (events.length === 0) events = session.step();
  const first = performance.now();
  let tokens = 0;
  while (tokens < task.answer) tokens += session.step().length;
  const end = performance.now();
  session.dispose();
  return { prefill: task.prompt / (first - began) * 1000, decode: tokens / (end - first) * 1000 };
}

onmessage = async ({ data: task }) => {
  try {
    const rows = [];
    for (const variant of task.variants) {
      const module = await LaminaModule.load(new URL('/wasm', location.href), variant);
      const began = performance.now();
      const model = await openModel(module, task.model);
      const seconds = (performance.now() - began) / 1000;
      const engine = model.createEngine({ context: task.prompt + task.answer + 2, maxRows: task.maxRows });
      const runs = [];
      for (let i = 0; i <= task.repeats; ++i) runs.push(measure(engine, task, i));
      runs.shift(); // warm-up: compilation, pages
      const best = (key) => Math.max(...runs.map((r) => r[key]));
      rows.push({ isa: module.isa, threads: module.threads, prefill: best('prefill'), decode: best('decode'), load: seconds });
      postMessage({ log: JSON.stringify(rows.at(-1)) });
      for (const note of module.notes) postMessage({ log: note });
      module.dispose();
    }
    postMessage({ done: rows });
  } catch (error) {
    postMessage({ error: `${error.code ?? ''} ${error.stack ?? error}` });
  }
};
