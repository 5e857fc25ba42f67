// SPDX-License-Identifier: Apache-2.0
// The store's logic where no browser is needed.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { before, describe, test } from 'node:test';
import { putBlob } from '../../../web/storage/backend.ts';
import { IdbBackend } from '../../../web/storage/backend_idb.ts';
import { MemoryBackend } from '../../../web/storage/backend_memory.ts';
import { parseBase64, sha256 } from '../../../web/storage/bytes.ts';
import { StoreCore } from '../../../web/storage/core.ts';
import { download } from '../../../web/storage/download.ts';
import { Gate } from '../../../web/storage/gate.ts';
import { parseContentRange, strongEtag, transportDefaults } from '../../../web/storage/http.ts';
import { Keep } from '../../../web/storage/keep.ts';
import { Locks } from '../../../web/storage/locks.ts';
import { parseManifest } from '../../../web/storage/manifest.ts';
import { BufferPool, inOrder } from '../../../web/storage/pipeline.ts';
import { Meter } from '../../../web/storage/progress.ts';
import { Records } from '../../../web/storage/records.ts';
import { parseRange } from '../../../web/storage/serve.ts';
import { makeModel, seededBytes, sha256 as hashOf } from '../support/faulty_server.mjs';

const bytesOf = (count, seed) => new Uint8Array(seededBytes(count, seed));
const mib = 2 ** 20;

describe('what is stored', () => {
  const entry = (bytes) => ({ file: 'f', bytes: bytes.length, sha256: hashOf(bytes) });
  const coreWith = async (bytes, stored = bytes) => {
    const backend = new MemoryBackend(mib);
    await putBlob(backend, hashOf(bytes), stored);
    const notices = [];
    const options = { verify: 'always', onNotice: ({ kind }) => notices.push(kind) };
    return { core: new StoreCore(backend, new Locks(), null, options), backend, notices };
  };

  test('is in its place when it is good', async () => {
    const bytes = bytesOf(1000, 1);
    const { core, notices } = await coreWith(bytes);
    for (const verify of ['always', 'once']) {
      const place = new Uint8Array(1000);
      const read = await core.readVerified(entry(bytes), new Uint8Array(1000), { place, verify });
      assert.deepEqual([read.found, read.bytes, place], ['good', bytes, bytes]);
    }
    assert.deepEqual(notices, []);
  });

  test('is removed when it is wrong, and nowhere', async () => {
    const bytes = bytesOf(1000, 1);
    const { core, backend, notices } = await coreWith(bytes, bytesOf(1000, 2));
    const place = new Uint8Array(1000);
    const read = await core.readVerified(entry(bytes), new Uint8Array(1000), { place });
    assert.deepEqual([read.found, place], ['bad', new Uint8Array(1000)]);
    assert.equal(await backend.size(hashOf(bytes)), -1);
    assert.deepEqual(notices, ['repaired']);
  });

  test('may be given back over another buffer', async () => {
    const bytes = bytesOf(1000, 1);
    const { core } = await coreWith(bytes);
    const hasher = { check: async (b) => ({ bytes: structuredClone(b, { transfer: [b.buffer] }), good: true }) };
    const into = new Uint8Array(1000);
    const read = await core.readVerified(entry(bytes), into, { hasher });
    assert.deepEqual([into.length, read.bytes], [0, bytes]);
  });
});

describe('manifest', () => {
  const good = () => JSON.parse(makeModel().get('manifest.json').toString());
  const parse = (value) => parseManifest(
    new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value)), 'm');

  test('tells files, shards, layers and their order', () => {
    const table = parse(good());
    assert.equal(table.shards.length, 3);
    assert.deepEqual(table.shards.map((s) => s.layers), [[], [0], []]);
    assert.deepEqual(table.order, [0, 1, 2]);
    assert.equal(table.shardBytes, 750_001);
  });

  test('shards of earlier layers come first, whatever their number', () => {
    const m = good();
    m.tensors = [{ name: 'lm_head', parts: [{ shard: 0 }] },
      { name: 'layers.1.qkv', parts: [{ shard: 1 }] },
      { name: 'layers.0.qkv', parts: [{ shard: 2 }, { shard: 1 }] },
      { name: 'token_embedding', parts: [{ shard: 2 }] }];
    assert.deepEqual(parse(m).order, [2, 1, 0]);
    assert.deepEqual(parse(m).shards[1].layers, [0, 1]);
  });

  const refused = {
    'another format': (m) => { m.format = 'other'; },
    'no version': (m) => { delete m.version; },
    'a hash in capitals': (m) => { m.shards[0].sha256 = m.shards[0].sha256.toUpperCase(); },
    'a short hash': (m) => { m.shards[0].sha256 = 'ab'; },
    'a hash with a line after it': (m) => { m.shards[0].sha256 += '\n'; },
    'a path in a shard': (m) => { m.shards[1].file = '../x'; },
    'shards out of order': (m) => { m.shards.reverse(); },
    'an empty shard': (m) => { m.shards[0].bytes = 0; },
    'a negative size': (m) => { m.shards[0].bytes = -1; },
    'a fraction': (m) => { m.shards[0].bytes = 1.5; },
    'a size in text': (m) => { m.shards[0].bytes = '12'; },
    'a path in a side file': (m) => { m.tokenizer.file = 'a/b.json'; },
    'a hidden side file': (m) => { m.tokenizer.file = '.htaccess'; },
    'a side file over the manifest': (m) => { m.tokenizer.file = 'manifest.json'; },
    'a side file twice': (m) => { m.files = [m.tokenizer]; },
    'one hash of two sizes': (m) => { m.shards[1].sha256 = m.shards[0].sha256; },
    'a shard that is not there': (m) => { m.tensors[0].parts[0].shard = 3; },
    'shards that are no list': (m) => { m.shards = {}; },
    'null': () => null,
  };
  for (const [name, change] of Object.entries(refused)) {
    test(`refuses ${name}`, () => {
      const m = good();
      const changed = change(m);
      assert.throws(() => parse(changed === null ? 'null' : m),
        { kind: 'manifest_invalid', code: 'invalid_model' });
    });
  }
  test('refuses what it cannot read', () => {
    for (const text of ['', '{', '[]', '{"format":"lamina"']) assert.throws(() => parse(text));
    assert.throws(() => parseManifest(new Uint8Array([0xff, 0xfe]), 'm'));
    assert.throws(() => parse({ ...good(), version: 2 }), { kind: 'manifest_unsupported' });
    const huge = good();
    huge.shards[0].bytes = 2 ** 30;
    assert.throws(() => parse(huge), { kind: 'manifest_unsupported', message: /--shard-size/ });
  });
});

describe('headers', () => {
  test('Content-Range', () => {
    assert.deepEqual(parseContentRange('bytes 5-9/10'), { first: 5, last: 9, total: 10 });
    assert.deepEqual(parseContentRange('bytes 5-9/*'), { first: 5, last: 9, total: -1 });
    for (const text of [null, '', 'bytes 9-5/10', 'bytes 5-10/10', 'bytes */10', 'items 1-2/3',
      'bytes 1-2/3, 4-5/6', 'bytes -1-2/3', `bytes ${'9'.repeat(20)}-1/2`]) {
      assert.equal(parseContentRange(text), null, String(text));
    }
  });
  test('Range', () => {
    assert.deepEqual(parseRange('bytes=0-0', 10), { first: 0, count: 1 });
    assert.deepEqual(parseRange('bytes=3-', 10), { first: 3, count: 7 });
    assert.deepEqual(parseRange('bytes=3-99', 10), { first: 3, count: 7 });
    assert.deepEqual(parseRange('bytes=-4', 10), { first: 6, count: 4 });
    assert.deepEqual(parseRange('bytes=-40', 10), { first: 0, count: 10 });
    assert.equal(parseRange('bytes=10-', 10), 'unsatisfiable');
    assert.equal(parseRange('bytes=-0', 10), 'unsatisfiable');
    for (const text of ['bytes=', 'bytes=-', 'bytes=5-3', 'bytes=0-1,3-4', 'x', 'bytes=a-b']) {
      assert.equal(parseRange(text, 10), null, text);
    }
  });
  test('only strong ETags count', () => {
    assert.equal(strongEtag(new Headers({ ETag: '"a"' })), '"a"');
    assert.equal(strongEtag(new Headers({ ETag: 'W/"a"' })), null);
    assert.equal(strongEtag(new Headers()), null);
  });
  test('base64 in one way only', () => {
    assert.deepEqual([...parseBase64('AAE=', 2)], [0, 1]);
    for (const text of ['AAE', 'AAF=', 'AA==', ' AAE=', 'AA-=']) assert.equal(parseBase64(text, 2), null);
  });
});

describe('backends', () => {
  before(() => {
    createRequire(new URL('../../../web/', import.meta.url))('fake-indexeddb/auto');
  });
  const kinds = { memory: () => new MemoryBackend(100 * mib), indexeddb: () => IdbBackend.open() };
  for (const [name, open] of Object.entries(kinds)) {
    test(`${name}: a part is nothing until it is committed`, async () => {
      const backend = await open();
      const bytes = bytesOf(9 * mib + 5, 1);
      const hash = hashOf(bytes);
      let part = await backend.openPart(hash);
      for (let at = 0; at < 8.5 * mib; at += mib / 2) {
        await part.append(bytes.subarray(at, at + mib / 2));
      }
      await part.close();
      assert.equal(await backend.size(hash), -1);
      assert.equal(await backend.read(hash, 0, new Uint8Array(1)), false);
      part = await backend.openPart(hash);
      assert.ok(part.length >= 8 * mib && part.length <= 8.5 * mib);
      const into = new Uint8Array(bytes.length);
      await part.read(into);
      assert.deepEqual(into.subarray(0, part.length), bytes.subarray(0, part.length));
      await part.append(bytes.subarray(part.length));
      await part.commit();
      assert.equal(await backend.size(hash), bytes.length);
      assert.ok(await backend.read(hash, 0, into));
      assert.equal(hashOf(into), hash);
      const piece = new Uint8Array(100);
      assert.ok(await backend.read(hash, 4 * mib - 50, piece));
      assert.deepEqual(piece, bytes.subarray(4 * mib - 50, 4 * mib + 50));
      assert.deepEqual(await backend.list(), { whole: [hash], parts: [] });
      await backend.remove(hash);
      assert.deepEqual(await backend.list(), { whole: [], parts: [] });
    });
  }
});

/** A Transport whose server is `answer(range, count of requests)`. */
function serverOf(answer) {
  const asked = [];
  const fetch = async (url, { headers, signal }) => {
    const range = headers.Range ? Number(/bytes=(\d+)-/.exec(headers.Range)[1]) : 0;
    asked.push({ range, ifRange: headers['If-Range'] });
    signal.throwIfAborted();
    return answer(range, asked.length);
  };
  return { ...transportDefaults, fetch, backoffMs: 1, retries: 3, asked };
}

const entity = (bytes, from = 0, more = {}) => new Response(bytes.subarray(from), {
  status: from ? 206 : 200,
  headers: { 'ETag': '"e"', 'Content-Length': bytes.length - from,
    ...(from ? { 'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
    ...more },
});

/** A body that breaks after `count` bytes. */
function broken(bytes, count, from = 0) {
  let at = from;
  const stream = new ReadableStream({
    pull(controller) {
      if (at >= from + count) return controller.error(new TypeError('reset'));
      controller.enqueue(bytes.slice(at, Math.min(at + 65536, from + count)));
      at += 65536;
      return undefined;
    },
  });
  return new Response(stream, { status: from ? 206 : 200, headers: { ETag: '"e"',
    ...(from ? { 'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}) } });
}

async function fetchInto(backend, bytes, transport, { signal, gate = new Gate(), onFailure } = {}) {
  const hash = await sha256(bytes);
  const entry = { file: 'shards/00000.bin', bytes: bytes.length, sha256: hash };
  const keep = await Keep.open(backend, hash, onFailure ?? (async () => false));
  const buffer = new Uint8Array(bytes.length);
  const meter = new Meter(undefined, [entry]);
  try {
    await download({ entry, url: 'http://h/s', buffer, keep, gate, meter, signal, transport,
      nameOf: () => undefined });
    return { stored: await keep.commit(), buffer };
  } finally {
    await keep.close();
  }
}

describe('download', () => {
  const bytes = bytesOf(3 * mib, 5);

  test('a broken connection goes on where it stopped', async () => {
    const backend = new MemoryBackend(10 * mib);
    const transport = serverOf((from, count) => count < 3
      ? broken(bytes, mib, from) : entity(bytes, from));
    const { stored, buffer } = await fetchInto(backend, bytes, transport);
    assert.ok(stored);
    assert.deepEqual(buffer, bytes);
    assert.deepEqual(transport.asked.map((a) => a.range), [0, mib, 2 * mib]);
    assert.deepEqual(transport.asked.map((a) => a.ifRange), [undefined, '"e"', '"e"']);
  });

  test('another download goes on from the kept part, under its ETag', async () => {
    const backend = new MemoryBackend(10 * mib);
    const dead = serverOf((from, count) => {
      if (count === 1) return broken(bytes, mib);
      throw new TypeError('down');
    });
    await assert.rejects(fetchInto(backend, bytes, dead), { kind: 'network', recoverable: true });
    assert.equal(dead.asked.length, 1 + 3);
    const transport = serverOf((from) => entity(bytes, from));
    await fetchInto(backend, bytes, transport);
    assert.deepEqual(transport.asked, [{ range: mib, ifRange: '"e"' }]);
  });

  test('a whole part is not asked for again, a longer one is forgotten', async () => {
    const backend = new MemoryBackend(20 * mib);
    const hash = await sha256(bytes);
    const part = await backend.openPart(hash);
    await part.append(bytes);
    const none = serverOf(() => assert.fail('asked'));
    assert.ok((await fetchInto(backend, bytes, none)).stored);
    await backend.remove(hash);
    await (await backend.openPart(hash)).append(bytesOf(4 * mib, 6));
    const transport = serverOf((from) => entity(bytes, from));
    await fetchInto(backend, bytes, transport);
    assert.deepEqual(transport.asked.map((a) => a.range), [0]);
  });

  test('a wrong kept part costs one whole download', async () => {
    const backend = new MemoryBackend(20 * mib);
    await (await backend.openPart(await sha256(bytes))).append(bytesOf(mib, 9));
    const transport = serverOf((from) => entity(bytes, from));
    const { buffer } = await fetchInto(backend, bytes, transport);
    assert.deepEqual(buffer, bytes);
    assert.deepEqual(transport.asked.map((a) => a.range), [mib, 0]);
  });

  test('wrong bytes twice: an error, and nothing is kept', async () => {
    const backend = new MemoryBackend(20 * mib);
    const transport = serverOf((from) => entity(bytesOf(3 * mib, 6), from));
    await assert.rejects(fetchInto(backend, bytes, transport),
      { kind: 'hash_mismatch', file: 'shards/00000.bin' });
    assert.equal(transport.asked.length, 2);
    assert.deepEqual(await backend.list(), { whole: [], parts: [] });
  });

  test('a Content-Range from elsewhere is not believed', async () => {
    const backend = new MemoryBackend(20 * mib);
    const transport = serverOf((from, count) => count === 1 ? broken(bytes, mib)
      : from ? entity(bytes, from, { 'Content-Range': `bytes 0-${mib}/${bytes.length}` })
        : entity(bytes));
    assert.deepEqual((await fetchInto(backend, bytes, transport)).buffer, bytes);
    assert.deepEqual(transport.asked.map((a) => a.range), [0, mib, 0]);
  });

  test('no room: the bytes arrive all the same, and the store stays empty', async () => {
    const backend = new MemoryBackend(mib);
    let failures = 0;
    const { stored, buffer } = await fetchInto(backend, bytes, serverOf((from) =>
      entity(bytes, from)), { onFailure: async () => (++failures, false) });
    assert.equal(stored, false);
    assert.equal(failures, 1);
    assert.deepEqual(buffer, bytes);
    assert.deepEqual(await backend.list(), { whole: [], parts: [] });
  });

  test('room made: the write is repeated and nothing is lost', async () => {
    const backend = new MemoryBackend(4 * mib);
    const old = bytesOf(2 * mib, 8);
    const part = await backend.openPart(hashOf(old));
    await part.append(old);
    await part.commit();
    const onFailure = async () => {
      await backend.remove(hashOf(old));
      return true;
    };
    const { stored } = await fetchInto(backend, bytes, serverOf((from) => entity(bytes, from)),
      { onFailure });
    assert.ok(stored);
    const back = new Uint8Array(bytes.length);
    assert.ok(await backend.read(hashOf(bytes), 0, back));
    assert.deepEqual(back, bytes);
  });

  test('aborted while it waits to try again', async () => {
    const stop = new AbortController();
    const transport = { ...serverOf(() => {
      setTimeout(() => stop.abort(), 10);
      throw new TypeError('down');
    }), backoffMs: 60_000 };
    await assert.rejects(fetchInto(new MemoryBackend(mib), bytes, transport,
      { signal: stop.signal }), { kind: 'aborted', code: 'cancelled' });
  });
});

describe('pipeline', () => {
  const later = (ms) => new Promise((done) => setTimeout(done, ms));

  test('in order, bounded, and the consumer counts', async () => {
    let live = 0;
    let most = 0;
    const seen = [];
    const load = async (i) => {
      most = Math.max(most, ++live);
      await later(i % 2 ? 1 : 8);
      return i;
    };
    for await (const i of inOrder([0, 1, 2, 3, 4, 5, 6], 3, load, () => --live)) seen.push(i);
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6]);
    assert.equal(most, 3);
    assert.equal(live, 0);
  });

  test('a failure stops the others and is told in its turn', async () => {
    const stopped = [];
    const load = async (i, signal) => {
      if (i === 1) throw new Error('one');
      if (i === 2) await new Promise((done) => signal.addEventListener('abort', done));
      if (i === 2) stopped.push(i);
      return i;
    };
    const seen = [];
    await assert.rejects(async () => {
      for await (const i of inOrder([0, 1, 2, 3], 3, load, () => {})) seen.push(i);
    }, { message: 'one' });
    assert.deepEqual([seen, stopped], [[0], [2]]);
  });

  test('buffers come back, transferred ones do not, dropped ones are freed', () => {
    const pool = new BufferPool();
    const first = pool.take(100);
    const { buffer } = first;
    pool.give(first);
    assert.equal(pool.take(60).buffer, buffer);
    pool.give(new Uint8Array(buffer, 0, 60));
    pool.take(200);
    assert.equal(buffer.detached, true);
    const gone = pool.take(10);
    structuredClone(gone, { transfer: [gone.buffer] });
    pool.give(gone);
    assert.equal(pool.take(5).length, 5);
  });
});

describe('records', () => {
  const file = (seed, bytes) => ({ file: 'shards/00000.bin', bytes, sha256: hashOf(bytesOf(bytes, seed)) });
  const store = async (backend, seed, bytes) => {
    const part = await backend.openPart(file(seed, bytes).sha256);
    await part.append(bytesOf(bytes, seed));
    await part.commit();
  };

  test('garbage is what no model names and nobody fetches', async () => {
    const backend = new MemoryBackend(mib);
    const records = new Records(backend, new Locks(undefined));
    for (const seed of [1, 2, 3]) await store(backend, seed, 10);
    await (await backend.openPart(file(4, 10).sha256)).append(bytesOf(5, 4));
    const sha = hashOf(bytesOf(1, 9));
    await records.putModel({ sha256: sha, url: 'u', name: 'n', manifestBytes: 1, signature: null,
      files: [file(1, 10)], addedAt: 1, usedAt: 1 });
    const busy = async (hash) => hash === file(2, 10).sha256;
    assert.equal(await records.collect(busy), 2);
    assert.deepEqual((await backend.list()).whole.sort(),
      [file(1, 10).sha256, file(2, 10).sha256].sort());
  });

  test('an address remembers what it gave before', async () => {
    const records = new Records(new MemoryBackend(mib), new Locks(undefined));
    const [a, b] = [1, 2].map((seed) => hashOf(bytesOf(1, seed)));
    await records.noteSource('u', a);
    assert.equal(await records.isSuperseded('u', a), false);
    await records.noteSource('u', b);
    assert.equal(await records.isSuperseded('u', a), true);
    assert.equal(await records.isSuperseded('v', a), false);
    await records.noteSource('u', a);
    assert.deepEqual([await records.isSuperseded('u', a), await records.isSuperseded('u', b)],
      [false, true]);
  });
});

describe('progress', () => {
  test('every file of a load is counted by itself', () => {
    const entry = (n, bytes) => ({ file: `shards/0000${n}.bin`, bytes, sha256: String(n) });
    let clock = 0;
    const told = [];
    const meter = new Meter((p) => told.push(p), [entry(0, 100), entry(1, 50)], () => (clock += 200));
    meter.fromNetwork('shards/00000.bin', 60);
    meter.fromStore('shards/00001.bin', 50);
    meter.fileDone('shards/00001.bin');
    meter.lost('shards/00000.bin', 60);
    meter.fromNetwork('shards/00000.bin', 100);
    meter.fileDone('shards/00000.bin');
    const done = told.map((p) => p.files.map((file) => file.bytesDone));
    assert.deepEqual(done, [[60, 0], [60, 50], [60, 50], [100, 50], [100, 50]]);
    assert.deepEqual(told.at(-1).files.map((file) => file.bytesTotal), [100, 50]);
    assert.equal(told.at(-1).state, 'done');
  });
});
