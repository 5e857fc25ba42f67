// SPDX-License-Identifier: Apache-2.0
// The page's engine between transports that tests hold: every one that was opened is closed again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from '../../../web/engine/engine.ts';
import { LaminaError } from '../../../web/engine/errors.ts';
import type { GenerationEvent, Transport } from '../../../web/engine/transport.ts';
import type { EngineInfo, EngineKind } from '../../../web/engine/types.ts';

class Played implements Transport {
  readonly kind: EngineKind;
  closed = false;
  broken = false;
  /** What computes behind it now, and what it was asked to move to. */
  now: EngineKind;
  readonly asked: EngineKind[] = [];
  switchTo?: (kind: EngineKind) => Promise<void>;

  constructor(kind: EngineKind) {
    this.kind = this.now = kind;
    if (kind === 'daemon') return;
    this.switchTo = async (to) => {
      this.asked.push(to);
      this.now = to;
    };
  }

  async info(): Promise<EngineInfo> {
    return { engine: this.now } as EngineInfo;
  }
  async *generate(): AsyncGenerator<GenerationEvent, void, void> {
    if (this.broken) throw new LaminaError('worker_lost', 'it was killed');
    yield { kind: 'done', finish: 'length', usage: { promptTokens: 1, cachedTokens: 0, completionTokens: 0 } };
  }
  async encode(): Promise<null> {
    return null;
  }
  async close(): Promise<void> {
    this.closed = true;
  }
}

/** An engine on a first transport; `coming` is done as another one is opened. */
async function engineOn(kind: EngineKind, coming: (next: Played) => Promise<void> = async () => {}) {
  const all = [new Played(kind)];
  const open = async (wanted: EngineKind) => {
    const next = new Played(wanted);
    all.push(next);
    await coming(next);
    return next;
  };
  const engine = new Engine({ transport: all[0]!, plan: null, open, onNotice: () => {} }, await all[0]!.info());
  return { engine, all, alive: () => all.filter((transport) => !transport.closed) };
}

// Transports are left a second after their answers.
async function until(state: () => boolean): Promise<void> {
  for (const begun = Date.now(); !state() && Date.now() < begun + 20_000;) {
    await new Promise((next) => setTimeout(next, 20));
  }
  assert.ok(state());
}

test('moves that are asked for together happen one after the other', async () => {
  const { engine, all, alive } = await engineOn('wasm');
  const kinds = ['daemon', 'wasm', 'daemon'] as const;
  await Promise.all(kinds.map((kind) => engine.switchTo(kind)));
  assert.equal(engine.info.engine, 'daemon');
  assert.deepEqual(all.map(({ kind }) => kind), ['wasm', ...kinds]);
  await until(() => alive().length === 1);
  assert.equal(alive()[0], all.at(-1));
  await engine.close();
});

test('an engine that opens and then fails leaves all as it was', async () => {
  const { engine, all, alive } = await engineOn('wasm', async (next) => {
    next.info = () => Promise.reject(new LaminaError('connection_lost', 'gone again'));
  });
  await assert.rejects(engine.switchTo('daemon'), { code: 'connection_lost' });
  assert.equal((await engine.refreshInfo()).engine, 'wasm');
  assert.deepEqual(alive(), [all[0]]);
  await engine.close();
});

test('an engine that is closed while another one opens', async () => {
  let opened = () => {};
  const { engine, alive } = await engineOn('wasm', () => new Promise((done) => (opened = done)));
  const moved = engine.switchTo('daemon');
  await new Promise((next) => setImmediate(next));
  await engine.close();
  opened();
  await assert.rejects(moved, { code: 'closed' });
  assert.deepEqual(alive(), []);
});

test('a worker that ends, and a move before it is started again', async () => {
  let opened = () => {};
  const { engine, all, alive } = await engineOn('wasm', async (next) => {
    if (next.kind === 'wasm') await new Promise<void>((done) => (opened = done));
  });
  all[0]!.broken = true;
  const request = { prompt: { kind: 'text', text: '' }, sampling: {}, stop: [], seed: 1, ignoreEos: false } as const;
  const asked = engine.generate({ ...request, stop: [] }).next();
  await until(() => all.length === 2);
  const moved = engine.switchTo('daemon');
  await new Promise((next) => setImmediate(next));
  opened();
  await moved;
  assert.equal((await asked).value?.kind, 'done');
  assert.equal((await engine.refreshInfo()).engine, 'daemon');
  await until(() => alive().length === 1);
  await engine.close();
});

test('an engine that has fallen to the CPU by itself can be moved back', async () => {
  const { engine, all } = await engineOn('webgpu');
  all[0]!.now = 'wasm'; // it tells by a notice alone
  await engine.switchTo('webgpu');
  assert.deepEqual(all[0]!.asked, ['webgpu']);
  assert.equal(engine.info.engine, 'webgpu');
  await engine.close();
});
