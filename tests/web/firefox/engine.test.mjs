// SPDX-License-Identifier: Apache-2.0
// The package in Firefox, which has relaxed SIMD and WebGPU of its own making.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';

import { serve } from '../abi/chromium.mjs';
import { Firefox, WEBGPU } from '../support/firefox.ts';

const { BUILT_MODEL, FIREFOX, LAMINA, PACKAGE } = process.env;
const PROMPT = 'Once upon a time';
const TOKENS = 48;
const TIE = 0.05; // of a logarithm of probability: D-013

let firefox, page, server;
const asked = [];

before(async () => {
  server = await serve({ package: PACKAGE, model: BUILT_MODEL }, { onRequest: (url) => asked.push(url) });
  firefox = await Firefox.start(FIREFOX, WEBGPU);
  page = await firefox.open();
  await page.goto(`${server.url}/`);
});
after(async () => {
  await firefox?.close();
  await server?.close();
});

/** Greedy text, and what the engine says of itself. `logprobs`: of how many tokens at each place. */
const answer = (engine, prompt, tokens, logprobs = null) => page.run(async (task) => {
  const { createEngine } = await import('/package/dist/index.js');
  const engine = await createEngine({ model: '/model/', engine: task.engine });
  try {
    const { choices: [choice] } = await engine.completions.create(
      { prompt: task.prompt, max_tokens: task.tokens, temperature: 0, logprobs: task.logprobs });
    return { text: choice.text, logprobs: choice.logprobs, info: engine.info };
  } finally {
    await engine.close();
  }
}, { engine, prompt, tokens, logprobs });

const native = () => execFileSync(LAMINA, ['run', '-m', BUILT_MODEL, '--raw', '-p', PROMPT, '--temp', '0',
  '-n', String(TOKENS), '--backend', 'cpu', '-q'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

test('WebAssembly gives the native text, on threads', async () => {
  const { text, info } = await answer('wasm', PROMPT, TOKENS);
  console.log(`# ${info.device}`);
  assert.equal(info.engine, 'wasm');
  assert.ok(info.threads > 1, info.hints.join());
  assert.equal(text.trim(), native().trim());
});

test('a model that was loaded once is not asked for again', async () => {
  assert.ok(asked.some((url) => url.includes('/shards/')));
  asked.length = 0;
  await answer('wasm', PROMPT, 1);
  assert.deepEqual(asked.filter((url) => url.includes('/shards/')), []);
});

test('engines start again and again', async () => {
  for (let i = 0; i < 25; ++i) await answer('wasm', PROMPT, 1); // one start in eight hung once
});

test('WebGPU parts from WebAssembly at ties alone', async (t) => {
  const features = await page.run(async () => [...await navigator.gpu?.requestAdapter().then((a) => a?.features) ?? []]);
  if (features.length === 0) return t.skip('Firefox has no adapter here: no lavapipe (Debian: mesa-vulkan-drivers)');
  console.log(`# shader-f16: ${features.includes('shader-f16')}`);
  const [gpu, wasm] = [await answer('webgpu', PROMPT, TOKENS), await answer('wasm', PROMPT, TOKENS)];
  assert.equal(gpu.info.engine, 'webgpu', gpu.info.reason);
  let same = 0;
  while (same < wasm.text.length && gpu.text[same] === wasm.text[same]) ++same;
  if (same === wasm.text.length) return;
  const word = gpu.text.lastIndexOf(' ', same); // tokens begin at spaces
  const { logprobs } = await answer('wasm', PROMPT + wasm.text.slice(0, word), 1, 20);
  const [top] = logprobs.top_logprobs;
  const likely = Object.entries(top).sort((a, b) => b[1] - a[1]);
  const taken = likely.find(([token]) => gpu.text.slice(word).startsWith(token));
  console.log(`# parts after ${word} characters: ${JSON.stringify(likely.slice(0, 2))}`);
  assert.ok(taken && likely[0][1] - taken[1] <= TIE, `not a tie: ${JSON.stringify(likely.slice(0, 5))}`);
});
