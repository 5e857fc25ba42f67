// SPDX-License-Identifier: Apache-2.0
// Hashes checked on other threads, in Node: nothing is put in its place that is not what it should be.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { HashThreads } from '../../../web/engine/worker/hash_threads.ts';
import { sha256 } from '../../../web/storage/bytes.ts';

const bytesOf = (n: number, seed: number) => Uint8Array.from({ length: n }, (_, i) => i * 7 + seed);
const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const shared = (n: number) => new Uint8Array(new SharedArrayBuffer(n));

test('good bytes come back and are in their place, wrong ones only come back', async () => {
  const hasher = new HashThreads(2);
  const all = Array.from({ length: 7 }, (_, i) => bytesOf(1000 * (7 - i), i));
  await Promise.all(all.map(async (bytes, i) => {
    const [copy, place] = [bytes.slice(), shared(bytes.length)];
    const wrong = i % 2 === 1;
    const checked = await hasher.check(copy, hashOf(wrong ? bytesOf(5, 0) : bytes), place);
    assert.equal(copy.length, 0); // it was taken away
    assert.equal(checked.good, !wrong);
    assert.deepEqual(checked.bytes, bytes);
    assert.deepEqual(place.slice(), wrong ? new Uint8Array(bytes.length) : bytes);
  }));
  await hasher.stop();
  await assert.rejects(hasher.check(bytesOf(1, 0), ''), { code: 'closed' });
});

for (const [why, url] of [['is missing', 'file:///nonexistent/thread.js'], ['is refused', 'http://localhost/thread.js']]) {
  test(`where the thread's file ${why} the hash is checked here`, async () => {
    const hasher = new HashThreads(2, new URL(url!));
    const [bytes, place] = [bytesOf(100, 1), shared(100)];
    const checked = await hasher.check(bytes, await sha256(bytes), place);
    assert.deepEqual([checked.good, checked.bytes], [true, bytes]);
    assert.deepEqual(place.slice(), bytes);
    await hasher.stop();
  });
}

test('stopping waits for what is being checked, so nobody writes to a place afterwards', async () => {
  const hasher = new HashThreads(1);
  const bytes = bytesOf(3_000_000, 4), place = shared(bytes.length);
  await hasher.check(bytesOf(1, 0), ''); // it has started
  const checking = hasher.check(bytes.slice(), hashOf(bytes), place);
  await new Promise((next) => setImmediate(next)); // it is under way
  await hasher.stop();
  assert.deepEqual(place.slice(), bytes);
  assert.equal((await checking).good, true);
});
