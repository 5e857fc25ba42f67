// SPDX-License-Identifier: Apache-2.0
// Calls over a channel, as between a page and its worker.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LaminaError } from '../../../web/engine/errors.ts';
import { RpcClient, serve, type Port } from '../../../web/engine/worker/rpc.ts';

const tick = () => new Promise((done) => setTimeout(done, 5));

let left = 0;
const handlers = {
  double: async (n: number) => 2 * n,
  fail: async (_: null) => {
    throw new LaminaError('device', 'no device');
  },
  trap: async (_: null) => {
    throw new WebAssembly.RuntimeError('unreachable');
  },
  wait: (_: null, signal: AbortSignal) => new Promise<string>((done) => {
    signal.addEventListener('abort', () => done('late'));
  }),
  count: async function* (n: number, signal: AbortSignal): AsyncGenerator<number, void, void> {
    try {
      for (let i = 0; i < n && !signal.aborted; ++i) {
        yield i;
        await tick();
      }
    } finally {
      ++left;
    }
  },
  breaks: async function* (_: null): AsyncGenerator<number, void, void> {
    yield 1;
    throw new LaminaError('integrity', 'shard 3');
  },
};

function connect(t: { after: (done: () => void) => void }): RpcClient<typeof handlers> {
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  serve(port1 as unknown as Port, handlers);
  return new RpcClient<typeof handlers>(port2 as unknown as Port);
}

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of stream) values.push(value);
  return values;
}

test('results, streams and errors with their codes', async (t) => {
  const rpc = connect(t);
  assert.deepEqual(await Promise.all([1, 2, 3].map((n) => rpc.call('double', n))), [2, 4, 6]);
  assert.deepEqual(await all(rpc.stream('count', 4)), [0, 1, 2, 3]);
  await assert.rejects(rpc.call('fail', null), { code: 'device', message: 'no device', recoverable: true });
  await assert.rejects(rpc.call('trap', null), { code: 'worker_lost' });
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const n of rpc.stream('breaks', null)) seen.push(n);
  }, { code: 'integrity' });
  assert.deepEqual(seen, [1]);
  await assert.rejects(rpc.call('toString' as never, null as never), { code: 'protocol' });
});

test('aborts reach the other side, and leaving a stream is one', async (t) => {
  const rpc = connect(t);
  const abort = new AbortController();
  const waiting = rpc.call('wait', null, abort.signal);
  await tick();
  abort.abort();
  await assert.rejects(waiting, { code: 'cancelled' });
  await assert.rejects(rpc.call('double', 1, abort.signal), { code: 'cancelled' });
  left = 0;
  for await (const n of rpc.stream('count', 1000)) if (n === 3) break;
  await tick().then(tick).then(tick);
  assert.equal(left, 1);
  const again = new AbortController();
  const values: number[] = [];
  for await (const n of rpc.stream('count', 1000, again.signal)) {
    values.push(n);
    if (n === 3) again.abort();
  }
  assert.ok(values.length >= 4 && values.length < 10, String(values));
});

test('a side that ends fails everything, now and later', async (t) => {
  const rpc = connect(t);
  const waiting = rpc.call('wait', null);
  const stream = rpc.stream('count', 1000);
  await stream.next();
  rpc.end(new LaminaError('worker_lost', 'it was killed'));
  await assert.rejects(waiting, { code: 'worker_lost' });
  await assert.rejects(all(stream), { code: 'worker_lost' });
  await assert.rejects(rpc.call('double', 1), { code: 'worker_lost' });
});
