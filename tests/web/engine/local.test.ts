// SPDX-License-Identifier: Apache-2.0
// The engine in WebAssembly: Chromium without a GPU adapter.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { disturbed, equip, launch, openPage, StaticServer } from './browser.ts';
import { LAMINA } from './support.ts';

const LONG = { prompt: 'Once upon a time', temperature: 0, ignore_eos: true, max_tokens: 400 };

let server: StaticServer;
let browser: Browser;
let wanted = '';

before(async () => {
  const models = path.dirname(process.env.BUILT_MODEL ?? '');
  server = await StaticServer.start({ pkg: process.env.PACKAGE ?? '', models });
  browser = await launch(false);
  const args = ['run', '--raw', '-t', '1', '--temp', '0', '-n', '60', '-p', LONG.prompt];
  wanted = execFileSync(LAMINA, args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
});
after(async () => {
  await browser?.close();
  server?.close();
});

const newPage = async (isolated = true): Promise<Page> => {
  server.isolated = isolated;
  return openPage(browser, server);
};

const greedy = (page: Page, options: object) => page.evaluate(async ([o, long]) => {
  const engine = globalThis.engine = await open(o);
  const answer = await engine.completions.create({ ...long, ignore_eos: false, max_tokens: 60 });
  return { info: engine.info, plan: engine.plan, text: answer.choices[0]?.text, usage: answer.usage };
}, [options, LONG] as const);

test('the greedy answer is the native one on threads, and the store has the model then', async () => {
  const page = await newPage();
  const first = await greedy(page, { engine: 'wasm', threads: 2 });
  assert.equal(first.text?.trimEnd(), wanted.trimEnd());
  assert.equal(first.info.threads, 2);
  assert.equal(first.plan?.downloadBytes, first.plan && first.plan.downloadBytes + first.plan.storedBytes);
  assert.ok((first.plan?.downloadBytes ?? 0) > 6e6 && first.plan?.fits);
  assert.ok(first.usage.timings.predicted_per_second > 0);
  const before = server.asked.filter((file) => file.includes('/shards/')).length;
  assert.ok(before > 0);
  await page.reload();
  await equip(page);
  const second = await greedy(page, { engine: 'wasm', threads: 2 });
  assert.equal(second.text, first.text);
  assert.equal(second.plan?.downloadBytes, 0);
  assert.equal(server.asked.filter((file) => file.includes('/shards/')).length, before);
  await page.context().close();
});

test('without COOP and COEP there is one thread, a hint, and the same answer', async () => {
  const page = await newPage(false);
  const { info, text } = await greedy(page, { engine: 'wasm' });
  assert.equal(text?.trimEnd(), wanted.trimEnd());
  assert.equal(info.threads, 1);
  assert.match(info.hints.join(), /cross-origin isolated/);
  const told = await page.evaluate(() => notices);
  assert.deepEqual(told.map((n) => n.kind), ['hint']);
  assert.match(told[0]?.text ?? '', /COOP and COEP/);
  await page.context().close();
});

test('auto without an adapter is wasm, and says why', async () => {
  const page = await newPage();
  const { info, text } = await greedy(page, { engine: 'auto' });
  assert.equal(text?.trimEnd(), wanted.trimEnd());
  assert.equal(info.engine, 'wasm');
  assert.equal(info.fallbacks.length, 1);
  assert.deepEqual([info.fallbacks[0]?.from, info.fallbacks[0]?.to], ['webgpu', 'wasm']);
  assert.ok(info.fallbacks[0]?.reason && info.reason.includes(info.fallbacks[0].reason));
  assert.deepEqual(await page.evaluate(() => notices.map((n) => [n.kind, n.code])), [['fallback', 'unsupported']]);
  const code = await page.evaluate(() => open({ engine: 'webgpu' }).catch((e) => e.code));
  assert.equal(code, 'unsupported');
  await page.context().close();
});

test('a plan before the download', async () => {
  const page = await newPage();
  const before = server.asked.filter((file) => file.includes('/shards/')).length;
  const [plan, small] = await page.evaluate(async () => {
    const model = '/models/storyteller/';
    return [
      await lamina.planModel({ model, engine: 'wasm', contextSize: 1024 }),
      await lamina.planModel({ model, engine: 'wasm', memoryBudget: 1e6 }),
    ];
  });
  assert.equal(plan?.contextSize, 1024);
  assert.ok(plan && plan.fits && plan.memory.kv > 1e6 && plan.downloadBytes > 6e6);
  assert.equal(small?.fits, false);
  assert.match(small?.reason ?? '', /budget/);
  assert.equal(server.asked.filter((file) => file.includes('/shards/')).length, before);
  const code = await page.evaluate(() => open({ engine: 'wasm', memoryBudget: 1e6 }).catch((e) => e.code));
  assert.equal(code, 'resource_exhausted');
  await page.context().close();
});

test('the page stays free while an answer comes; abort ends it', async () => {
  const page = await newPage();
  const seen = await page.evaluate(async (long) => {
    const engine = await open({ engine: 'wasm' });
    const tasks: number[] = [];
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration)))
      .observe({ entryTypes: ['longtask'] });
    const abort = new AbortController();
    let chunks = 0;
    let finish;
    const stream = await engine.completions.create({ ...long, max_tokens: 1500, stream: true }, abort);
    for await (const chunk of stream) {
      if (++chunks === 200) abort.abort();
      finish = chunk.choices[0]?.finish_reason;
    }
    await new Promise((r) => setTimeout(r, 100));
    const after = await engine.completions.create({ ...long, max_tokens: 5 });
    const error = await engine.completions.create(long, abort).catch((e) => e.code);
    return { tasks, chunks, finish, after: after.usage.completion_tokens, error };
  }, LONG);
  assert.deepEqual(seen.tasks.filter((ms) => ms > 50), []);
  assert.ok(seen.chunks >= 200 && seen.chunks < 260, String(seen.chunks));
  assert.deepEqual([seen.finish, seen.after, seen.error], ['stop', 5, 'cancelled']);
  await page.context().close();
});

test('a killed worker costs a notice, not the answer', async () => {
  const page = await newPage();
  const workers = () => page.workers().findLast((w) => w.url().includes('engine_worker'));
  await page.exposeFunction('killWorker', () => workers()?.evaluate('self.close()').catch(() => {}));
  const whole = await disturbed(page, { engine: 'wasm' }, LONG, '', []);
  await page.evaluate(() => engine.close());
  const seen = await disturbed(page, { engine: 'wasm' }, LONG, 'await killWorker()', [40]);
  assert.equal(seen.text, whole.text);
  assert.equal(seen.usage?.completion_tokens, 400);
  assert.deepEqual(seen.notices.map((n) => [n.kind, n.code]), [['worker_restarted', 'worker_lost']]);
  await page.context().close();
});

test('answers take turns; a disposed engine says so', async () => {
  const page = await newPage();
  const seen = await page.evaluate(async (long) => {
    const engine = await open({ engine: 'wasm' });
    const ask = () => engine.completions.create({ ...long, max_tokens: 30 });
    const texts = (await Promise.all([ask(), ask(), ask()])).map((a) => a.choices[0]?.text);
    const cut = new AbortController();
    const [one, two] = [ask(), engine.completions.create({ ...long, max_tokens: 30 }, cut)];
    cut.abort();
    const code = await two.catch((e) => e.code);
    await one;
    await engine.close();
    return { texts, code, closed: await ask().catch((e) => e.code) };
  }, LONG);
  assert.equal(new Set(seen.texts).size, 1);
  assert.deepEqual([seen.code, seen.closed], ['cancelled', 'closed']);
  await page.context().close();
});
