// SPDX-License-Identifier: Apache-2.0
// How fast the shard store loads a model in Chromium: first from a server on this machine, then
// from the store with and without hashing, and the worker's peak heap meanwhile.
//   node bench/web_storage.mjs MODEL_FOLDER [--parallel N] [--repeat N] [--backend opfs|indexeddb]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { findChromium } from '../tests/web/support/browser.mjs';
import { startFaultyServer } from '../tests/web/support/faulty_server.mjs';
import { heapOf } from '../tests/web/support/heap.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    parallel: { type: 'string', default: '3' }, repeat: { type: 'string', default: '3' },
    backend: { type: 'string', default: 'opfs' },
  },
});
const found = findChromium();
if (found.why || positionals.length !== 1) {
  console.error(found.why ?? 'give the folder of a model');
  process.exit(2);
}

// Runs in the browser.
async function load({ ShardStore }, { url, options }) {
  const store = await ShardStore.open(options);
  const start = performance.now();
  const model = await store.model(url);
  let bytes = 0;
  const from = { store: 0, network: 0 };
  for await (const shard of model.shards()) {
    bytes += shard.bytes.length;
    from[shard.from] += 1;
  }
  return { seconds: (performance.now() - start) / 1000, bytes, from, backend: store.backend };
}

// Runs in the browser: what WebCrypto alone reaches here, `parallel` digests of 44 MB at once.
async function digestOnly(_, { parallel }) {
  const buffers = Array.from({ length: parallel }, () => new Uint8Array(44_000_000));
  const rounds = 4;
  const start = performance.now();
  for (let i = 0; i < rounds; ++i) {
    await Promise.all(buffers.map((bytes) => crypto.subtle.digest('SHA-256', bytes)));
  }
  const seconds = (performance.now() - start) / 1000;
  for (const { buffer } of buffers) buffer.transfer(0);
  return (rounds * parallel * 44) / seconds;
}

const server = await startFaultyServer({ folder: resolve(positionals[0]) });
const profile = await mkdtemp(join(tmpdir(), 'lamina-bench-'));
const context = await found.chromium.launchPersistentContext(profile, found.options);
try {
  const page = await context.newPage();
  const heaps = await heapOf(page);
  await page.goto(`${server.url}/tests/web/support/harness.html`);
  await page.waitForFunction(() => globalThis.ready === true);
  const measure = async (name, verify) => {
    const options = { parallel: Number(values.parallel), backend: values.backend, verify };
    const stop = heaps.peak('harness_worker');
    const answer = await page.evaluate(([text, given]) => globalThis.inWorker(text, given),
      [String(load), { url: `${server.url}/models/folder/manifest.json`, options }]);
    const peak = stop();
    if (answer.error) throw new Error(answer.error.message);
    const { seconds, bytes, from, backend } = answer.value;
    const mb = (n) => Math.round(n / 1e6);
    console.log(JSON.stringify({
      name, backend, parallel: options.parallel, megabytes: mb(bytes),
      seconds: Number(seconds.toFixed(3)), mb_per_second: Math.round(bytes / 1e6 / seconds), from,
      peak_heap_mb: mb(peak.heap), peak_buffers_mb: mb(peak.buffers), peak_both_mb: mb(peak.both),
    }));
  };
  const digest = async () => {
    const { value } = await page.evaluate(([text, given]) => globalThis.inWorker(text, given),
      [String(digestOnly), { parallel: Number(values.parallel) }]);
    console.log(JSON.stringify({ name: 'SHA-256 alone', mb_per_second: Math.round(value) }));
  };
  await measure('first load: network, hash, store', 'always');
  for (let i = 0; i < Number(values.repeat); ++i) {
    await digest();
    await measure('cached, hashed', 'always');
  }
  for (let i = 0; i < Number(values.repeat); ++i) await measure('cached, not hashed', 'once');
} finally {
  await context.close();
  await server.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}
