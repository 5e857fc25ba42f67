// SPDX-License-Identifier: Apache-2.0
// An answer goes from engine to engine between two tokens: webgpu, wasm, and the real daemon.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { disturbed, launch, openPage, StaticServer } from './browser.ts';
import { Daemon } from './support.ts';

const LONG = { prompt: 'Once upon a time', temperature: 0, ignore_eos: true, max_tokens: 160 };

let server: StaticServer;
let browser: Browser;
let daemon: Daemon;
let page: Page;
let wanted = '';
let hasAdapter = false;

before(async () => {
  const models = path.dirname(process.env.BUILT_MODEL ?? '');
  server = await StaticServer.start({ pkg: process.env.PACKAGE ?? '', models });
  browser = await launch(true);
  daemon = await Daemon.start(['--allow-origin', server.url]);
  page = await openPage(browser, server);
  const worker = () => page.workers().findLast((w) => w.url().includes('engine_worker'));
  await page.exposeFunction('killWorker', () => worker()?.evaluate('self.close()').catch(() => {}));
  hasAdapter = await page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter()));
  wanted = (await disturbed(page, { engine: 'wasm' }, LONG, '', [])).text;
});
after(async () => {
  await browser?.close();
  await daemon?.stop();
  server?.close();
});

// From `kinds[0]` to the others in turn, one move after each of the first chunks.
async function tour(kinds: string[], request = LONG) {
  const act = `await engine.switchTo(${JSON.stringify(kinds.slice(1))}[n])`;
  const at = kinds.slice(1).map((_, i) => 2 + 2 * i);
  const options = { engine: kinds[0], daemon: daemon.address };
  const seen = await disturbed(page, options, request, act, at);
  await page.evaluate(() => engine.close());
  assert.equal(seen.info.engine, kinds.at(-1));
  assert.equal(seen.usage?.completion_tokens, request.max_tokens);
  assert.deepEqual(seen.notices, []);
  return seen.text;
}

test('wasm and daemon, to and fro', async () => {
  assert.equal(await tour(['wasm', 'daemon', 'wasm', 'daemon']), wanted);
  assert.equal(await tour(['daemon', 'wasm', 'daemon', 'wasm']), wanted);
});

test('webgpu, wasm and daemon, to and fro', async (t) => {
  if (!hasAdapter) return t.skip('this Chromium has no WebGPU adapter');
  assert.equal(await tour(['daemon', 'webgpu', 'daemon', 'webgpu', 'wasm', 'webgpu', 'daemon']), wanted);
});

test('a drawn answer goes on as it would have, with the sampler where it was', async () => {
  const drawn = { ...LONG, temperature: 0.9, seed: 12 };
  const { text } = await disturbed(page, { engine: 'wasm' }, drawn, '', []);
  assert.notEqual(text, wanted.slice(0, text.length));
  const seen = await disturbed(page, { engine: 'wasm' }, drawn, 'await killWorker()', [20]);
  assert.equal(seen.text, text);
});
