// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Turns } from '../../../web/engine/worker/turns.ts';

test('turns come in order, one at a time, whatever ends them', async () => {
  const turns = new Turns();
  const said: string[] = [];
  const say = (name: string) => async () => {
    said.push(`${name} begins`);
    await new Promise((next) => setImmediate(next));
    said.push(`${name} ends`);
    if (name === 'b') throw new Error(name);
  };
  const all = ['a', 'b', 'c'].map((name) => turns.run(say(name)));
  assert.equal(turns.count, 3);
  const results = await Promise.allSettled(all);
  assert.deepEqual(results.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
  assert.deepEqual(said, ['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]));
  assert.equal(turns.count, 0);
});

test('who is aborted leaves the queue, and those behind still wait for those before', async () => {
  const turns = new Turns();
  const end = await turns.take();
  const stop = new AbortController();
  const left = turns.take(stop.signal);
  let came = false;
  const behind = turns.run(() => {
    came = true;
  });
  stop.abort();
  await assert.rejects(left, { code: 'cancelled' });
  assert.equal(turns.count, 2);
  await new Promise((next) => setImmediate(next));
  assert.equal(came, false);
  end();
  await behind;
  await assert.rejects(turns.run(() => {}, AbortSignal.abort()), { code: 'cancelled' });
  assert.equal(turns.count, 0);
});
