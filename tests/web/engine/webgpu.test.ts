// SPDX-License-Identifier: Apache-2.0
// WebGPU in Chromium, on SwiftShader: the same answers, over lost devices and switches.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page, Worker } from 'playwright-core';
import { launch, openPage, StaticServer } from './browser.ts';

const LONG = { prompt: 'Once upon a time', temperature: 0, ignore_eos: true, max_tokens: 120 };
// Keeps the devices that the worker makes where a test can destroy them.
const KEEP = `(() => {
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await request.apply(this, args);
    globalThis.lastDevice = device;
    return device;
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

const run = (page: Page, options: object, act: string, at: number[]) =>
  page.evaluate(async ([o, long, what, when]) => {
    globalThis.engine = await open({ engine: 'wasm' });
    const whole = await engine.completions.create(long);
    await engine.close();
    globalThis.engine = await open(o);
    let text = '';
    let chunks = 0;
    let usage;
    const stream = await engine.completions.create({
      ...long, stream: true, stream_options: { include_usage: true },
    });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? '';
      usage = chunk.usage ?? usage;
      if (when.includes(++chunks)) {
        await new Function('n', `return (async () => {${what}})()`)(when.indexOf(chunks));
      }
    }
    const info = await engine.refreshInfo();
    return { whole: whole.choices[0]?.text, text, usage, info, notices, chunks };
  }, [options, LONG, act, at] as const);

test('the greedy answer is that of wasm', async (t) => {
  if (!hasAdapter) return t.skip('this Chromium has no WebGPU adapter');
  const page = await gpuPage();
  const seen = await run(page, { engine: 'auto' }, '', []);
  assert.equal(seen.info.engine, 'webgpu', JSON.stringify(seen.info));
  assert.deepEqual(seen.info.fallbacks, []);
  assert.equal(seen.text, seen.whole);
  assert.equal(seen.usage?.completion_tokens, LONG.max_tokens);
  await page.context().close();
});

test('a lost device costs a notice, not the answer; the third loss in an answer ends at wasm', async (t) => {
  if (!hasAdapter) return t.skip('this Chromium has no WebGPU adapter');
  const page = await gpuPage();
  const once = await run(page, { engine: 'webgpu' }, 'await destroyDevice()', [3]);
  assert.equal(once.text, once.whole);
  assert.equal(once.info.engine, 'webgpu');
  assert.deepEqual(once.notices.map((n) => n.code), ['device']);
  const often = await run(page, { engine: 'webgpu' }, 'await destroyDevice()', [1, 4, 7]);
  assert.equal(often.text, often.whole);
  assert.equal(often.info.engine, 'wasm', JSON.stringify(often.notices));
  assert.equal(often.info.fallbacks.length, 1);
  await page.context().close();
});

test('between webgpu and wasm in the middle of an answer', async (t) => {
  if (!hasAdapter) return t.skip('this Chromium has no WebGPU adapter');
  const page = await gpuPage();
  const act = 'await engine.switchTo(n === 1 ? "webgpu" : "wasm")';
  const seen = await run(page, { engine: 'webgpu' }, act, [2, 4, 6]);
  assert.equal(seen.text, seen.whole);
  assert.equal(seen.usage?.completion_tokens, LONG.max_tokens);
  assert.equal(seen.info.engine, 'wasm');
  await page.context().close();
});
