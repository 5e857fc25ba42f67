// SPDX-License-Identifier: Apache-2.0
// The store against servers that answer wrongly: the right bytes or one clear error.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import * as faulty from '../support/faulty_server.mjs';
import {
  checkClean, checkError, checkShards, loadAll, quick, sentBytes, skip, startBrowser, stopBrowser,
  withTab,
} from './support.mjs';

describe('loading', { skip }, () => {
  before(startBrowser);
  after(stopBrowser);

  const files = faulty.makeModel();

  /** Loads with a fault at the second shard. */
  const withFault = (name, act, check, options) => test(name, () => withTab(async (tab) => {
    tab.server.addModel('m', files);
    const fault = tab.server.fault('shards/00001', act, options);
    await check({ ...tab, fault, go: () => tab.run(loadAll, { url: tab.url, options: quick }) });
  }));
  const heals = (name, act, more = () => {}) => withFault(name, act, async (tab) => {
    const got = await tab.go();
    assert.ok(tab.fault.used > 0, 'the fault never came to pass');
    checkShards(got.shards, files);
    assert.deepEqual(got.missing, []);
    more(tab.server.shardRequests().filter((r) => r.path.includes('00001')), got);
    await checkClean(tab.run);
  }, { times: 1 });
  const fails = (name, act, kind, more = () => {}) => withFault(name, act, async (tab) => {
    const error = await checkError(tab.go(), kind, 'shards/00001.bin');
    more(tab.server.shardRequests().filter((r) => r.path.includes('00001')), error);
    await checkClean(tab.run);
    tab.server.noFaults();
    checkShards((await tab.go()).shards, files);
  });

  for (const backend of ['opfs', 'indexeddb', 'memory']) {
    for (const where of ['worker', 'page']) {
      test(`${backend} in a ${where}: loads, then again from the store`, () => withTab(
        async ({ run, server, url }) => {
          server.addModel('m', files);
          const options = { ...quick, backend };
          const first = await run(loadAll, { url, options });
          assert.equal(first.backend, backend);
          checkShards(first.shards, files);
          assert.ok(first.shards.every((s) => s.from === 'network'));
          assert.equal(server.shardRequests().length, 3);
          if (backend === 'memory') return;
          server.clearLog();
          const second = await run(loadAll, { url, options });
          checkShards(second.shards, files);
          assert.ok(second.shards.every((s) => s.from === 'store'));
          assert.equal(server.shardRequests().length, 0);
          assert.equal(second.models.length, 1);
          assert.equal(second.models[0].complete, true);
        }, { where }));
    }
  }

  heals('a connection cut in a shard goes on by Range', faulty.cutAfter(120_000), (requests) => {
    assert.equal(requests.length, 2);
    const first = Number(/bytes=(\d+)-/.exec(requests[1].range)[1]);
    assert.ok(first > 0 && first <= 120_000, requests[1].range);
    assert.equal(requests[1].status, 206);
    assert.match(requests[1].ifRange, /^"[0-9a-f]{64}"$/);
    assert.ok(requests[0].sent + requests[1].sent <= 200_001 + 120_000 - first);
  });
  heals('a corrupted shard is fetched once more, whole', faulty.corrupted(), (requests) => {
    assert.deepEqual(requests.map((r) => r.range), [null, null]);
  });
  heals('a busy server is asked again', faulty.status(503, { 'Retry-After': '0' }));
  heals('a slow server is waited for', faulty.slowly(400_000));
  heals('a stalled answer is asked for anew', faulty.stalling(50_000), (requests) => {
    assert.match(requests[1].range, /^bytes=\d+-$/);
  });
  heals('a truncated answer is asked for anew', faulty.truncated(100_000));
  heals('a short body without a length goes on by Range', faulty.truncatedChunked(100_000));

  fails('a corrupted shard', faulty.corrupted(), 'hash_mismatch', (requests, error) => {
    assert.equal(requests.length, 2);
    assert.match(error.message, /SHA-256 is [0-9a-f]{64}, the manifest says/);
  });
  fails('a swapped shard', faulty.replaced(files.get('shards/00002.bin')), 'size_mismatch');
  fails('a truncated shard', faulty.truncated(100_000), 'size_mismatch');
  fails('a truncated shard without a length', faulty.truncatedChunked(150_000), 'size_mismatch');
  fails('a longer shard', faulty.replaced(Buffer.alloc(200_002)), 'size_mismatch');
  fails('a web page with status 200', faulty.html, 'html_instead_of_shard');
  fails('a web page with a binary type', faulty.htmlAsBinary, 'html_instead_of_shard');
  fails('a missing file', faulty.status(404), 'http_status', (requests, error) => {
    assert.equal(requests.length, 1);
    assert.equal(error.status, 404);
  });
  fails('a refusal', faulty.status(401), 'http_status');
  fails('a failing server', faulty.status(500), 'http_status', (requests) => {
    assert.equal(requests.length, 1 + quick.retries);
  });
  fails('connections that always break', faulty.cutAfter(0), 'network');

  test('a shard of the same size from another model', () => withTab(async ({ run, server, url }) => {
    const other = faulty.makeModel({ seed: 2 });
    server.addModel('m', files);
    server.fault('shards/00001', faulty.replaced(other.get('shards/00001.bin')));
    await checkError(run(loadAll, { url, options: quick }), 'hash_mismatch', 'shards/00001.bin');
    await checkClean(run);
  }));

  test('two shards of one size swapped: the message says which', () => withTab(
    async ({ run, server, url }) => {
      const same = faulty.makeModel({ shards: [1000, 1000, 1000] });
      server.addModel('m', same);
      server.fault('shards/00001', faulty.replaced(same.get('shards/00002.bin')));
      const error = await checkError(run(loadAll, { url, options: quick }), 'hash_mismatch');
      assert.match(error.message, /shards\/00001\.bin.*these are the bytes of shards\/00002\.bin/);
    }));

  /** A cut first answer, then `act` for what follows. */
  const afterCut = (name, act, check) => test(name, () => withTab(async (tab) => {
    tab.server.addModel('m', files);
    tab.server.fault('shards/00001', act);
    tab.server.fault('shards/00001', faulty.cutAfter(120_000), { times: 1 });
    await check(tab, () => tab.run(loadAll, { url: tab.url, options: quick }),
      () => tab.server.shardRequests().filter((r) => r.path.includes('00001')));
  }));

  afterCut('an ignored Range: the whole answer is used', faulty.ignoringRange,
    async (tab, go, requests) => {
      checkShards((await go()).shards, files);
      assert.equal(requests().length, 2);
      assert.equal(requests()[1].status, 200);
    });
  afterCut('a refused Range (416): asked for whole', faulty.refusingRange,
    async (tab, go, requests) => {
      checkShards((await go()).shards, files);
      assert.deepEqual(requests().map((r) => r.range !== null), [false, true, false]);
    });
  afterCut('a changed ETag in mid-shard, If-Range honoured: the new file is refused',
    faulty.replaced(faulty.seededBytes(200_001, 99)), async (tab, go) => {
      tab.server.noFaults();
      const changed = new Map(files).set('shards/00001.bin', faulty.seededBytes(200_001, 99));
      tab.server.fault('shards/00001', (given) => {
        tab.server.addModel('m', changed);
        return given.answer(given, { cutAfter: 120_000 });
      }, { times: 1 });
      await checkError(go(), 'etag_changed', 'shards/00001.bin');
      await checkClean(tab.run);
      tab.server.addModel('m', files);
      checkShards((await go()).shards, files);
    });
  afterCut('a changed ETag in a 206 answer: asked for whole', (given) => {
    if (!given.range) return false;
    given.headers.ETag = '"other"';
    delete given.request.headers['if-range'];
    return false;
  }, async (tab, go, requests) => {
    checkShards((await go()).shards, files);
    assert.deepEqual(requests().map((r) => r.range !== null), [false, true, false]);
  });
  afterCut('no ETag: the range is taken and the hash decides', faulty.withoutEtag,
    async (tab, go) => {
      checkShards((await go()).shards, files);
      await checkClean(tab.run);
    });

  test('shards arrive in the order of layers, at most `parallel` at once', () => withTab(
    async ({ run, server, url }) => {
      const many = faulty.makeModel({ shards: Array.from({ length: 9 }, (_, i) => 50_000 + i) });
      server.addModel('m', many);
      server.fault('shards/', faulty.slowly(200_000));
      const got = await run(loadAll, { url, options: { ...quick, parallel: 3 } });
      checkShards(got.shards, many);
      const asked = server.shardRequests().map((r) => Number(/(\d{5})\.bin/.exec(r.path)[1]));
      asked.forEach((index, at) => assert.ok(Math.abs(index - at) < 3, `${asked}`));
    }));

  test('a consumer that stops asking stops the downloads', () => withTab(
    async ({ run, server, url }) => {
      const many = faulty.makeModel({ shards: Array.from({ length: 9 }, (_, i) => 50_000 + i) });
      server.addModel('m', many);
      await run(async ({ ShardStore }, given) => {
        const store = await ShardStore.open();
        const model = await store.model(given.url);
        for await (const { index } of model.shards()) {
          if (index === 1) await new Promise((done) => setTimeout(done, 500));
          if (index === 1) break;
        }
      }, { url });
      assert.equal(server.shardRequests().length, 4);
    }));

  test('progress tells bytes, files, rate and end', () => withTab(async ({ run, server, url }) => {
    server.addModel('m', files);
    server.fault('shards/', faulty.slowly(500_000));
    const seen = await run(async ({ ShardStore, load }, given) => {
      const told = [];
      const model = await (await ShardStore.open()).model(given.url);
      await load(model, { onProgress: (p) => told.push(p) });
      return told;
    }, { url });
    const last = seen.at(-1);
    assert.deepEqual([last.state, last.bytesDone, last.bytesTotal, last.filesDone, last.filesTotal],
      ['done', 750_001, 750_001, 3, 3]);
    assert.equal(last.bytesFromNetwork, 750_001);
    assert.ok(seen.length > 3 && seen.some((p) => p.rate > 0 && p.etaSeconds > 0));
    for (let i = 1; i < seen.length; ++i) assert.ok(seen[i].bytesDone >= seen[i - 1].bytesDone);
  }));

  test('pause stops the network, resume goes on by Range', () => withTab(
    async ({ run, server, url }) => {
      const big = faulty.makeModel({ shards: [2_000_000, 1_000_000] });
      server.addModel('m', big);
      server.fault('shards/', faulty.slowly(1_500_000));
      const got = await run(async ({ ShardStore, load }, given) => {
        const states = new Set();
        const model = await (await ShardStore.open({ parallel: 1 })).model(given.url);
        let paused = false;
        const loading = load(model, { onProgress: (p) => {
          states.add(p.state);
          if (paused || p.bytesDone < 500_000) return;
          paused = true;
          model.pause();
          setTimeout(() => model.resume(), 600);
        } });
        return { shards: await loading, states: [...states] };
      }, { url });
      checkShards(got.shards, big);
      assert.ok(got.states.includes('paused'), String(got.states));
      const [first, second] = server.shardRequests();
      assert.ok(second.range, 'the second request has a range');
      assert.ok(second.at - first.at > 600);
      assert.ok(sentBytes(server) < 3_000_000 + 400_000, String(sentBytes(server)));
    }));
});
