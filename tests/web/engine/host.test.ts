// SPDX-License-Identifier: Apache-2.0
// The worker's host in Node: answers, moves and losses that meet.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { AsyncQueue } from '../../../web/engine/async_queue.ts';
import { LaminaError } from '../../../web/engine/errors.ts';
import type { GenerateRequest, GenerationEvent } from '../../../web/engine/transport.ts';
import type { Notice } from '../../../web/engine/types.ts';
import { setAssets } from '../../../web/engine/worker/assets.ts';
import { LocalHost } from '../../../web/engine/worker/host.ts';
import type { RunnerParts } from '../../../web/engine/worker/runner.ts';
import { WebGpuRunner } from '../../../web/engine/worker/webgpu_runner.ts';
import { StaticServer } from './browser.ts';
import { Gate, made, PlayedGpu, reset, script } from './played_gpu.ts';
import { converted, SOURCE } from './support.ts';

const SENTENCE = 'Once upon a time there was an owl who lived in a tall tree. ';
const REQUEST: GenerateRequest = {
  prompt: { kind: 'text', text: SENTENCE }, sampling: { temperature: 0 }, stop: [], seed: 1,
  ignoreEos: true, maxTokens: 24,
};
const never = new AbortController().signal;
const ignore = () => {};

let server: StaticServer;
let wanted = '';
let notices: AsyncQueue<Omit<Notice, 'cause'>>;

before(async () => {
  server = await StaticServer.start({ model: converted('host', '--dtype', 'i8', '--shard-size', '1M') });
  const modules = process.env.LAMINA_MODULES ?? path.join(SOURCE, 'build/wasm');
  setAssets(`${pathToFileURL(modules).href}/`);
  const { fetch } = globalThis;
  globalThis.fetch = async (from, init) => {
    const url = new URL(from instanceof Request ? from.url : from);
    if (url.protocol !== 'file:') return fetch(from, init);
    return new Response(fs.readFileSync(url), { headers: { 'content-type': 'application/wasm' } });
  };
  WebGpuRunner.create = async (parts: RunnerParts) => new PlayedGpu(parts.model, parts) as never;
  wanted = await answer(await started('wasm'));
  assert.ok(wanted.length > 40);
});
after(() => server?.close());
beforeEach(reset);

async function opened(engine: 'auto' | 'webgpu' | 'wasm'): Promise<LocalHost> {
  notices = new AsyncQueue();
  return LocalHost.open({
    model: `${server.url}/model/manifest.json`, engine, softwareGpu: true, threads: 1, contextSize: 1024,
    memoryBudget: undefined, trust: undefined, storage: { backend: 'memory' }, headers: undefined,
  }, notices as never);
}

async function started(engine: 'auto' | 'webgpu' | 'wasm'): Promise<LocalHost> {
  const host = await opened(engine);
  await host.start(ignore);
  return host;
}

/** On a GPU, with the weights in the module. */
async function onGpu(): Promise<LocalHost> {
  const host = await started('wasm');
  await host.switchTo('webgpu', ignore);
  return host;
}

async function rest(events: AsyncIterable<GenerationEvent>): Promise<string> {
  let text = '';
  for await (const event of events) {
    if (event.kind === 'token') text += event.text;
    if (event.kind === 'done' && event.finish === 'cancelled') text += ' [cancelled]';
  }
  return text;
}

const answer = (host: LocalHost, signal = never) => rest(host.generate(REQUEST, signal));

/** An answer after its first token, and the text of that. */
async function begun(host: LocalHost, signal = never) {
  const events = host.generate(REQUEST, signal);
  for (;;) {
    const { value } = await events.next();
    if (value?.kind === 'token' && value.text !== '') return { events, text: value.text };
  }
}

/** Lets everything happen that needs nobody. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; ++i) await new Promise((next) => setImmediate(next));
}

/** An engine with a conversation that moves to the CPU, and waits at the gate for its KV. */
async function movingWhileIdle() {
  const host = await onGpu();
  await answer(host);
  const gate = new Gate();
  script.export = () => gate.pass();
  const moved = host.switchTo('wasm', ignore);
  await gate.arrived;
  return { host, gate, moved };
}

test('an answer that begins while an idle engine moves', async () => {
  const { host, gate, moved } = await movingWhileIdle();
  const step = new Gate();
  script.step = () => step.pass();
  const asked = answer(host);
  asked.catch(ignore);
  await settle();
  gate.release();
  await moved;
  step.release();
  assert.equal(await asked, wanted);
  assert.equal(host.info().engine, 'wasm');
  assert.equal(await answer(host), wanted);
});

test('an engine whose cache cannot be filled: the answer stays, and so does the next', async () => {
  const host = await started('wasm');
  const { events, text } = await begun(host);
  script.adopted = async () => {
    throw new LaminaError('device', 'lost as it came');
  };
  const moved = host.switchTo('webgpu', ignore);
  const going = rest(events);
  await assert.rejects(moved, { code: 'device' });
  assert.equal(text + await going, wanted);
  assert.deepEqual(made.map((gpu) => gpu.disposed), [true]);
  assert.equal(host.info().engine, 'wasm');
  assert.equal(await answer(host), wanted);
});

test('moves that are asked for together', async () => {
  const host = await started('wasm');
  const { events, text } = await begun(host);
  const kinds = ['webgpu', 'webgpu', 'wasm', 'webgpu', 'wasm'] as const;
  const moved = Promise.all(kinds.map((kind) => host.switchTo(kind, ignore)));
  await settle(); // while the answer stands still
  const [all] = await Promise.all([rest(events), moved]);
  assert.equal(text + all, wanted);
  assert.deepEqual(made.map((gpu) => gpu.disposed), [true, true]);
  assert.equal(host.info().engine, 'wasm'); // as was asked last
});

test('an answer left while it moves', async () => {
  const host = await onGpu();
  const { events } = await begun(host);
  const gate = new Gate();
  script.export = () => gate.pass();
  const moved = host.switchTo('wasm', ignore);
  const next = events.next();
  await gate.arrived;
  const left = events.return();
  const after = host.switchTo('webgpu', ignore);
  gate.release();
  await next;
  await left;
  await moved;
  await after;
  assert.equal(await answer(host), wanted);
});

test('an answer aborted while weights come, while it moves, while a device is made anew', async () => {
  const stops = Array.from({ length: 3 }, () => new AbortController());
  const gates = stops.map(() => new Gate());
  const host = await opened('webgpu');
  script.load = () => gates[0]!.pass();
  const loaded = host.start(ignore);
  await host.usable;
  const waiting = host.generate(REQUEST, stops[0]!.signal);
  assert.equal((await waiting.next()).value?.kind, 'started');
  stops[0]!.abort();
  assert.equal(await rest(waiting), ' [cancelled]');
  gates[0]!.release();
  await loaded;
  await host.switchTo('wasm', ignore);
  await host.switchTo('webgpu', ignore);

  script.export = () => gates[1]!.pass();
  const moving = await begun(host, stops[1]!.signal);
  const moved = host.switchTo('wasm', ignore);
  const rest1 = rest(moving.events);
  await gates[1]!.arrived;
  stops[1]!.abort();
  gates[1]!.release();
  await moved;
  assert.match(moving.text + await rest1, / \[cancelled\]$/);
  await host.switchTo('webgpu', ignore);

  const lost = await begun(host, stops[2]!.signal);
  script.load = () => gates[2]!.pass();
  script.step = async () => {
    throw new LaminaError('device', 'lost');
  };
  const rest2 = rest(lost.events);
  await gates[2]!.arrived;
  stops[2]!.abort();
  gates[2]!.release();
  assert.match(lost.text + await rest2, / \[cancelled\]$/);
  reset();
  assert.equal(host.info().engine, 'webgpu');
  assert.equal(await answer(host), wanted);
});

test('times per op, and a move meanwhile', async () => {
  const { host, gate, moved } = await movingWhileIdle();
  const times = host.opTimes();
  await settle();
  gate.release();
  await moved;
  assert.ok((await times)!.length > 3);
  assert.equal(await answer(host), wanted);
});

test('a queued answer that is aborted ends before those that it waits for', async () => {
  const host = await started('wasm');
  const { events, text } = await begun(host);
  const stop = new AbortController();
  const queued = answer(host, stop.signal);
  const behind = answer(host);
  await settle();
  stop.abort();
  assert.equal(await queued, ' [cancelled]');
  assert.equal(text + await rest(events), wanted);
  assert.equal(await behind, wanted);
});

test('a GPU whose weights cannot come, while the user moves away from it', async () => {
  const host = await opened('auto');
  const [gpu, cpu] = [new Gate(), new Gate()];
  script.load = async () => {
    await gpu.pass();
    throw new LaminaError('device', 'lost while it loaded');
  };
  const loaded = host.start(ignore);
  await host.usable;
  const asked = answer(host);
  const moved = host.switchTo('wasm', ({ loaded: bytes }) => bytes > 0 && cpu.reached());
  await cpu.arrived; // its load is under way
  gpu.release();
  await Promise.all([loaded, moved]);
  assert.equal(await asked, wanted);
  assert.equal(host.info().engine, 'wasm');
  assert.equal(await answer(host), wanted);
});

test('a GPU lost while the user moves away from it', async () => {
  const host = await onGpu();
  const { events, text } = await begun(host);
  let losses = 0;
  script.step = async () => {
    if (++losses <= 3) throw new LaminaError('device', 'lost');
  };
  const moved = host.switchTo('wasm', ignore);
  assert.equal(text + await rest(events), wanted);
  await moved;
  assert.equal(host.info().engine, 'wasm');
});

test('a loss in an answer: twice another device, then the CPU', async () => {
  const host = await onGpu();
  let steps = 0;
  script.step = async () => {
    if (++steps % 3 === 0) throw new LaminaError('device', 'lost');
  };
  assert.equal(await answer(host), wanted);
  assert.equal(host.info().engine, 'wasm');
  assert.equal(host.info().fallbacks.length, 1);
  assert.deepEqual(made.map((gpu) => gpu.disposed), [true, true, true]);
  notices.end();
  const kinds: string[] = [];
  for await (const { kind } of notices) kinds.push(kind);
  assert.deepEqual(kinds.filter((kind) => kind !== 'hint'), ['device_lost', 'device_lost', 'fallback']);
});
