// SPDX-License-Identifier: Apache-2.0
// Engines that are asked before their weights are here, in Chromium, with a server that keeps the last
// shard back until it is told.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launch, openTab, poisoned } from './browser.ts';
import { LAMINA, SOURCE, WORK } from './support.ts';

const faulty = await import(new URL('../support/faulty_server.mjs', import.meta.url).href);

interface Given {
  answer(given: object): unknown;
  body: Uint8Array;
}
interface Server {
  url: string;
  addModel(name: string, files: Map<string, Buffer>): void;
  fault(where: string, act: (given: Given) => unknown): void;
  noFaults(): void;
  close(): Promise<void>;
}

const REQUEST = { prompt: 'Once upon a time', temperature: 0, max_tokens: 16 };

let server: Server;
let browser: Browser;
let last = '';
let wanted = '';
let release = () => {};

before(async () => {
  const folder = path.join(WORK, 'early-split');
  const source = path.join(SOURCE, 'tests/models/storyteller');
  execFileSync(LAMINA, ['convert', source, folder, '--dtype', 'i8', '--shard-size', '512K', '--quiet']);
  const files = faulty.readModel(folder) as Map<string, Buffer>;
  last = [...files.keys()].filter((file) => file.startsWith('shards/')).sort().at(-1) ?? '';
  server = await faulty.startFaultyServer({ mounts: { pkg: process.env.PACKAGE ?? '' } });
  server.addModel('m', files);
  browser = await launch(true);
  await inTab(async (page) => {
    wanted = await page.evaluate(async (request) => {
      const engine = await open({ engine: 'wasm', model: '/models/m/' });
      await engine.loaded; // as it is
      const answer = await engine.completions.create(request);
      await engine.close();
      return answer.choices[0]?.text ?? '';
    }, REQUEST);
  });
  assert.ok(wanted.length > 20);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

// A fresh store, and the page's way to let the last shard go.
async function inTab(body: (page: Page) => Promise<void>): Promise<void> {
  const context = await browser.newContext();
  try {
    const page = await openTab(context, server);
    await page.exposeFunction('release', () => release());
    await body(page);
  } finally {
    server.noFaults();
    await context.close();
  }
}

function hold(change = (given: Given): object => given): void {
  const held = new Promise<void>((done) => {
    release = done;
  });
  server.fault(last, async (given) => {
    await held;
    return given.answer(change(given));
  });
}

declare global {
  function release(): Promise<void>;
}

for (const threads of [1, 2]) {
  test(`${threads} threads: an answer that is asked for while weights come`, () => inTab(async (page) => {
    hold();
    const seen = await page.evaluate(async ([request, n]) => {
      const stages: string[] = [];
      const engine = await open({
        engine: 'wasm', early: true, threads: n, model: '/models/m/',
        onProgress: ({ stage }: { stage: string }) => stages.push(stage),
      });
      let loaded = false;
      const all = engine.loaded.then(() => (loaded = true));
      const asked = engine.completions.create(request);
      const stop = new AbortController();
      const aborted = engine.completions.create(request, { signal: stop.signal })
        .catch((error: { code: string }) => error.code);
      stop.abort();
      const before = [loaded, stages.includes('ready'), engine.info.engine];
      await release();
      const text = (await asked).choices[0]?.text;
      await all;
      const again = (await engine.completions.create(request)).choices[0]?.text;
      await engine.close();
      return { before, text, again, aborted: await aborted, stages, notices };
    }, [REQUEST, threads] as const);
    assert.deepEqual(seen.before, [false, false, 'wasm']);
    assert.deepEqual([seen.text, seen.again, seen.aborted], [wanted, wanted, 'cancelled']);
    assert.equal(seen.stages.at(-1), 'ready');
  }));
}

test('an answer that waits for weights can be aborted, and the next one is right', () => inTab(async (page) => {
  hold();
  const seen = await page.evaluate(async (request) => {
    const engine = await open({ engine: 'wasm', early: true, model: '/models/m/' });
    const stop = new AbortController();
    const events = engine.generate({
      prompt: { kind: 'text', text: request.prompt }, sampling: { temperature: 0 }, stop: [], seed: 1, ignoreEos: false,
    }, stop.signal);
    const kinds: string[] = [];
    for await (const event of events) {
      kinds.push(event.kind === 'done' ? event.finish : event.kind);
      stop.abort(); // at 'started', before the last shard
    }
    await release();
    await engine.loaded;
    const text = (await engine.completions.create(request)).choices[0]?.text;
    await engine.close();
    return { kinds, text };
  }, REQUEST);
  assert.equal(seen.kinds[0], 'started');
  assert.equal(seen.kinds.at(-1), 'cancelled');
  assert.equal(seen.text, wanted);
}));

test('a shard that is wrong: one error for the load, the answer and what is asked later', () => inTab(async (page) => {
  hold((given) => ({ ...given, body: given.body.map((byte, i) => (i === 1000 ? byte ^ 64 : byte)) }));
  const codes = await page.evaluate(async (request) => {
    const engine = await open({ engine: 'wasm', early: true, model: '/models/m/' });
    const codeOf = (work: Promise<unknown>) =>
      work.then(() => 'none', (error: { code: string; message: string }) => error.code);
    const asked = codeOf(engine.completions.create(request));
    await release();
    return [await asked, await codeOf(engine.loaded), await codeOf(engine.completions.create(request))];
  }, REQUEST);
  assert.deepEqual(codes, ['integrity', 'integrity', 'integrity']);
  assert.deepEqual(await poisoned(page), []);
}));

test('a move that is asked for while weights come', (t) => inTab(async (page) => {
  const hasAdapter = await page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter()));
  if (!hasAdapter) return t.skip('this Chromium has no WebGPU adapter');
  hold();
  const seen = await page.evaluate(async (request) => {
    const engine = await open({ engine: 'webgpu', early: true, model: '/models/m/' });
    const asked = engine.completions.create(request);
    const moved = engine.switchTo('wasm');
    await release();
    const text = (await asked).choices[0]?.text;
    await moved;
    await engine.loaded;
    const { engine: kind } = await engine.refreshInfo();
    const again = (await engine.completions.create(request)).choices[0]?.text;
    await engine.close();
    return { text, again, kind };
  }, REQUEST);
  assert.deepEqual(seen, { text: wanted, again: wanted, kind: 'wasm' });
}));
