// SPDX-License-Identifier: Apache-2.0
// WebGPU in Chromium, on SwiftShader: the same answers, over lost devices.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page, Worker } from 'playwright-core';
import { disturbed, launch, openPage, StaticServer } from './browser.ts';

const LONG = { prompt: 'Once upon a time', temperature: 0, ignore_eos: true, max_tokens: 24 };
// Keeps the devices that the worker makes where a test can destroy them.
const KEEP = `(() => {
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await request.apply(this, args);
    globalThis.lastDevice = device;
    return device;
  };
})()`;

declare global {
  function destroyDevice(): Promise<void>;
}

// As if a driver's compiler had made a mistake.
const MISCOMPILE = `(() => {
  const create = GPUDevice.prototype.createShaderModule;
  GPUDevice.prototype.createShaderModule = function (d) {
    return create.call(this, { ...d, code: d.code.replace('gate / (1.0 + exp(-gate))', 'gate / (1.1 + exp(-gate))') });
  };
})()`;

let server: StaticServer;
let browser: Browser;
let hasAdapter = false;

before(async () => {
  const models = path.dirname(process.env.BUILT_MODEL ?? '');
  server = await StaticServer.start({ pkg: process.env.PACKAGE ?? '', models });
  browser = await launch(true);
  const page = await openPage(browser, server);
  hasAdapter = await page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter()));
  await page.context().close();
});
after(async () => {
  await browser?.close();
  server?.close();
});

async function gpuPage(): Promise<Page> {
  const page = await openPage(browser, server);
  let worker: Worker | undefined;
  page.on('worker', (w) => {
    if (!w.url().includes('engine_worker')) return;
    worker = w;
    w.evaluate(KEEP).catch(() => {});
  });
  await page.exposeFunction('destroyDevice', () => worker?.evaluate('lastDevice.destroy()'));
  return page;
}

// Runs on the page: of four greedy tokens, each with its likeliest.
async function fourLogprobs(prompt: string): Promise<{ token: string; logprob: number }[]> {
  const answer = await engine.completions.create({ prompt, temperature: 0, max_tokens: 4, logprobs: 1 });
  const told = answer.choices[0]?.logprobs;
  return told?.tokens.map((token, i) => ({ token, logprob: told.token_logprobs[i] ?? 0 })) ?? [];
}

test('the greedy answer is that of wasm; a device lost at any token costs a notice alone', async (t) => {
  if (!hasAdapter) return t.skip('this Chromium has no WebGPU adapter');
  const page = await gpuPage();
  const { text: wanted } = await disturbed(page, { engine: 'wasm' }, LONG, '', []);
  const logprobs = await page.evaluate(fourLogprobs, LONG.prompt);
  const seen = await page.evaluate(async (long) => {
    globalThis.engine = await open({ engine: 'auto', softwareGpu: true });
    const { info } = engine;
    const answers = [];
    for (const when of [-1, 0, 1, 3]) { // chunks before the loss; -1: none
      let [text, chunks, tokens] = ['', 0, 0];
      const stream = await engine.completions.create({
        ...long, stream: true, stream_options: { include_usage: true },
      });
      const lost = when === 0 ? destroyDevice() : undefined;
      for await (const chunk of stream) {
        text += chunk.choices[0]?.text ?? '';
        tokens = chunk.usage?.completion_tokens ?? tokens;
        if (++chunks === when) await destroyDevice();
      }
      await lost;
      answers.push({ when, text, tokens, notices: notices.splice(0).map((n) => n.kind) });
    }
    await destroyDevice(); // while nothing runs
    const after = await engine.completions.create(long);
    answers.push({ when: 'idle', text: after.choices[0]?.text, tokens: after.usage.completion_tokens,
      notices: notices.splice(0).map((n) => n.kind) });
    return { info, answers, now: await engine.refreshInfo() };
  }, LONG);
  const same = await page.evaluate(fourLogprobs, LONG.prompt);
  assert.deepEqual(same.map((c) => c.token), logprobs.map((c) => c.token));
  same.forEach((c, i) => assert.ok(Math.abs(c.logprob - (logprobs[i]?.logprob ?? 0)) < 0.05, `${c.logprob}`));
  const turns = await page.evaluate(async (prompt) => {
    const ask = (text: string) => engine.completions.create({ prompt: text, temperature: 0, max_tokens: 8 });
    const first = await ask(prompt);
    const second = await ask(`${prompt}${first.choices[0]?.text} and then`);
    return [first, second].map((a) => a.usage);
  }, LONG.prompt);
  const known = (turns[0]?.prompt_tokens ?? 0) + (turns[0]?.completion_tokens ?? 0) - 1;
  assert.ok((turns[1]?.prompt_tokens_details.cached_tokens ?? 0) >= known - 2, JSON.stringify(turns));
  assert.equal(seen.info.engine, 'webgpu', JSON.stringify(seen.info));
  assert.deepEqual(seen.info.fallbacks, []);
  for (const { when, text, tokens, notices } of seen.answers) {
    assert.equal(text, wanted, `lost after ${when}`);
    assert.equal(tokens, LONG.max_tokens);
    assert.deepEqual(notices, when === -1 ? [] : ['device_lost'], `lost after ${when}`);
  }
  assert.equal(seen.now.engine, 'webgpu');
  const often = await disturbed(page, { engine: 'webgpu' }, LONG, 'await destroyDevice()', [1, 2, 3]);
  assert.equal(often.text, wanted);
  assert.equal(often.info.engine, 'wasm', JSON.stringify(often.notices));
  assert.deepEqual(often.notices.map((n) => n.kind), ['device_lost', 'device_lost', 'fallback']);
  assert.equal(often.info.fallbacks.length, 1);
  const back = await page.evaluate(async (long) => {
    await engine.switchTo('webgpu'); // which it was until it fell
    const kind = engine.info.engine;
    let [text, chunks] = ['', 0];
    for await (const chunk of await engine.completions.create({ ...long, stream: true })) {
      text += chunk.choices[0]?.text ?? '';
      if (++chunks <= 3) await destroyDevice();
    }
    return { text, kind };
  }, LONG);
  assert.deepEqual(back, { text: wanted, kind: 'webgpu' });
  await page.waitForFunction(() => engine.info.engine === 'wasm'); // nobody has asked
  await page.context().close();
});

test('auto leaves a GPU that the processor plays alone, and says why', async (t) => {
  if (!hasAdapter) return t.skip('this Chromium has no WebGPU adapter');
  const page = await openPage(browser, server);
  const seen = await disturbed(page, { engine: 'auto' }, LONG, '', []);
  assert.equal(seen.info.engine, 'wasm');
  assert.match(seen.info.reason, /played by the processor/);
  assert.deepEqual(seen.notices.map((n) => n.kind), ['fallback']);
  await page.context().close();
});

test('a kernel that computes wrongly leads to wasm, and the reason says so', async (t) => {
  if (!hasAdapter) return t.skip('this Chromium has no WebGPU adapter');
  const page = await openPage(browser, server);
  page.on('worker', (w) => {
    if (w.url().includes('engine_worker')) w.evaluate(MISCOMPILE).catch(() => {});
  });
  const { text: wanted } = await disturbed(page, { engine: 'wasm' }, LONG, '', []);
  const seen = await disturbed(page, { engine: 'auto', softwareGpu: true }, LONG, '', []);
  assert.equal(seen.info.engine, 'wasm');
  assert.match(seen.info.reason, /computes wrongly/);
  assert.match(seen.info.fallbacks[0]!.reason, /logits are .* off/);
  assert.equal(seen.text, wanted);
  await page.context().close();
});

test('tokens by chance are the same, chosen on the device or from logits', async (t) => {
  if (!hasAdapter) return t.skip('this Chromium has no WebGPU adapter');
  const page = await openPage(browser, server);
  const texts = await page.evaluate(async (long) => {
    globalThis.engine = await open({ engine: 'webgpu' });
    const ask = async (more: object) =>
      (await engine.completions.create({ ...long, temperature: 1.5, top_p: 1, seed: 7, ...more })).choices[0]?.text;
    return [await ask({}), await ask({ logit_bias: { 5: 0 } }), await ask({ seed: 8 })];
  }, LONG);
  assert.equal(texts[0], texts[1]);
  assert.notEqual(texts[0], texts[2]);
  await page.context().close();
});
