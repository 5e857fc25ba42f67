// SPDX-License-Identifier: Apache-2.0
// Loading into the module, in Node: what a load that failed has brought is not asked for again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LaminaError } from '../../../web/engine/errors.ts';
import { InModule } from '../../../web/engine/worker/in_module.ts';
import { WasmRunner } from '../../../web/engine/worker/wasm_runner.ts';
import { converted, ModelHere } from './support.ts';

test('a load that broke off goes on where it was, and a later runner loads nothing', async () => {
  using here = await ModelHere.open(converted('shards', '--shard-size', '1M'));
  const asked: number[] = [];
  let broken = true;
  const parts = here.parts(async (index) => {
    asked.push(index);
    if (broken && index === 3) throw new LaminaError('offline', 'gone');
  });
  const inModule = new InModule();
  const first = new WasmRunner(parts, inModule);
  await assert.rejects(first.arrivals.all, { code: 'offline' });
  first.dispose();
  broken = false;
  const runner = new WasmRunner(parts, inModule);
  await runner.arrivals.all;
  const session = runner.engine.createSession();
  session.setPrompt('Once', { temperature: 0, maxTokens: 3 });
  while (!session.finished) await runner.step(session);
  runner.dispose();
  const later = new WasmRunner(parts, inModule);
  await later.arrivals.all;
  later.dispose();
  assert.deepEqual(asked, [0, 1, 2, 3, ...here.shards.slice(3)]);
});

for (const threads of [1, 2]) {
  test(`${threads} threads: two runners that load at once fetch each shard once`, async () => {
    using here = await ModelHere.open(converted(`twice${threads}`, '--dtype', 'i8', '--shard-size', '1M'), threads);
    const asked: number[] = [];
    const parts = here.parts(async (index) => asked.push(index));
    const inModule = new InModule();
    const runners = [new WasmRunner(parts, inModule), new WasmRunner(parts, inModule)];
    await Promise.all(runners.map((runner) => runner.arrivals.all));
    assert.deepEqual(asked, here.shards);
    for (const runner of runners) runner.dispose();
  });
}

test('a load that waits for another one ends with its runner', async () => {
  using here = await ModelHere.open(converted('left', '--shard-size', '1M'));
  let release = () => {};
  const held = new Promise<void>((done) => (release = done));
  const inModule = new InModule();
  const first = new WasmRunner(here.parts(() => held), inModule);
  const left = new WasmRunner(here.parts(), inModule);
  left.dispose();
  await assert.rejects(left.arrivals.all, { code: 'cancelled' });
  const third = new WasmRunner(here.parts(), inModule);
  release();
  await first.arrivals.all;
  await third.arrivals.all;
  first.dispose();
  third.dispose();
});
