// SPDX-License-Identifier: Apache-2.0
// The store when the network, the tab or the disk goes away, and with several tabs.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as faulty from '../support/faulty_server.mjs';
import {
  checkClean, checkError, checkShards, driver, loadAll, openTab, quick, sentBytes, skip,
  startBrowser, stopBrowser, theBrowser, until, withTab,
} from './support.mjs';

const mb = 1_000_000;

// Runs in the browser: starts to load and goes on while the test acts.
async function startLoading(api, { url, options }) {
  const store = await api.ShardStore.open(options);
  const model = await store.model(url);
  api.state.stop = new AbortController();
  api.state.done = null;
  api.load(model, {
    signal: api.state.stop.signal, onProgress: (p) => { api.state.progress = p; },
  }).then((shards) => { api.state.done = { shards }; },
    (error) => { api.state.done = { error: error.toJSON?.() ?? String(error) }; });
}
const stateOf = ({ state }) => ({ done: state.done, progress: state.progress });

async function ended(run) {
  let state;
  await until(async () => (state = await run(stateOf)).done, 'the end of loading', 30_000);
  return state;
}

const bigger = () => faulty.makeModel({ shards: [mb, 3 * mb, 2 * mb] });

describe('faults', { skip }, () => {
  before(startBrowser);
  after(stopBrowser);

  test('offline in the middle: resumes without fetching verified bytes again', () => withTab(
    async ({ run, server, url, context }) => {
      const files = bigger();
      server.addModel('m', files);
      server.fault('shards/', faulty.slowly(1.5 * mb));
      await run(startLoading, { url, options: { ...quick, parallel: 1, waitOnlineMs: 300 } });
      await until(() => sentBytes(server) > 2 * mb, 'two megabytes');
      await context.setOffline(true);
      server.dropConnections();
      const { done } = await ended(run);
      assert.ok(['offline', 'network'].includes(done.error?.kind), JSON.stringify(done));
      assert.equal(done.error.recoverable, true);
      const before = sentBytes(server);
      const asked = server.shardRequests().length;
      await context.setOffline(false);
      server.noFaults();
      const got = await run(loadAll, { url, options: quick });
      checkShards(got.shards, files);
      assert.equal(got.shards[0].from, 'store');
      const resumed = server.shardRequests().slice(asked);
      assert.ok(!resumed.some((r) => r.path.includes('00000')), 'the first shard was asked again');
      const second = resumed.find((r) => r.path.includes('00001'));
      assert.match(second.range, /^bytes=\d{5,}-$/);
      const total = sentBytes(server);
      assert.ok(total < 6 * mb + 0.7 * mb, `${before} then ${total} bytes sent`);
    }));

  test('offline shortly: the load goes on by itself', () => withTab(
    async ({ run, server, url, context }) => {
      const files = bigger();
      server.addModel('m', files);
      server.fault('shards/', faulty.slowly(1.5 * mb));
      await run(startLoading, { url, options: { backoffMs: 100, retries: 10, parallel: 1 } });
      await until(() => sentBytes(server) > 1.5 * mb, 'some bytes');
      await context.setOffline(true);
      server.dropConnections();
      await new Promise((done) => setTimeout(done, 700));
      server.noFaults();
      await context.setOffline(false);
      const { done } = await ended(run);
      checkShards(done.shards ?? [], files);
    }));

  test('stored: opens and loads without network', () => withTab(
    async ({ run, server, url, context }) => {
      const files = faulty.makeModel();
      server.addModel('m', files);
      await run(loadAll, { url, options: quick });
      await context.setOffline(true);
      const got = await run(loadAll, { url, options: quick });
      assert.equal(got.source, 'store');
      checkShards(got.shards, files);
    }));

  test('the server gone or a captive portal: the stored model serves', () => withTab(
    async ({ run, server, url }) => {
      const files = faulty.makeModel();
      server.addModel('m', files);
      await run(loadAll, { url, options: quick });
      for (const act of [faulty.html, faulty.status(503)]) {
        server.noFaults();
        server.fault('', act);
        const got = await run(loadAll, { url, options: quick });
        assert.equal(got.source, 'store');
        checkShards(got.shards, files);
      }
      server.noFaults();
      server.fault('manifest.json', faulty.status(404));
      await checkError(run(loadAll, { url, options: quick }), 'http_status', 'manifest.json');
    }));

  test("prefer 'store' asks nobody", () => withTab(async ({ run, server, url }) => {
    server.addModel('m', faulty.makeModel());
    await run(loadAll, { url, options: quick });
    server.clearLog();
    const got = await run(loadAll, { url, options: quick, prefer: 'store' });
    assert.equal(got.source, 'store');
    assert.equal(server.requests.length, 0);
  }));

  for (const backend of ['opfs', 'indexeddb']) {
    test(`${backend}: a tab closed in the middle, opened again`, () => withTab(
      async ({ run, page, server, url, context }) => {
        const files = faulty.makeModel({ shards: [mb, 12 * mb, 2 * mb] });
        server.addModel('m', files);
        server.fault('shards/', faulty.slowly(6 * mb));
        await run(startLoading, { url, options: { parallel: 1, backend } });
        await until(() => sentBytes(server) > 8 * mb, 'eight megabytes');
        await page.close();
        const before = sentBytes(server);
        server.noFaults();
        const asked = server.shardRequests().length;
        const tab = await openTab(context, server);
        const got = await tab.run(loadAll, { url, options: { ...quick, backend } });
        checkShards(got.shards, files);
        assert.equal(got.shards[0].from, 'store');
        const again = server.shardRequests().slice(asked);
        assert.match(again.find((r) => r.path.includes('00001')).range ?? '', /^bytes=\d{7,}-$/);
        // At most a chunk of 4 MiB and what was on its way are fetched twice.
        assert.ok(sentBytes(server) - before < 15 * mb - before + 6 * mb);
        if (backend === 'opfs') await checkClean(tab.run);
      }));
  }

  test('a killed worker: the next one goes on', () => withTab(
    async ({ run, page, server, url }) => {
      const files = bigger();
      server.addModel('m', files);
      server.fault('shards/', faulty.slowly(2 * mb));
      await run(startLoading, { url, options: { parallel: 2 } });
      await until(() => sentBytes(server) > 2 * mb, 'two megabytes');
      await page.evaluate(() => globalThis.killWorker());
      server.noFaults();
      checkShards((await run(loadAll, { url, options: quick })).shards, files);
      await checkClean(run);
    }));

  test('two tabs at once: each shard is fetched once', () => withTab(
    async ({ run, server, url, context }) => {
      const files = bigger();
      server.addModel('m', files);
      server.fault('shards/', faulty.slowly(3 * mb));
      const other = await openTab(context, server);
      const [a, b] = await Promise.all([run, other.run].map((go) => go(loadAll, { url })));
      checkShards(a.shards, files);
      checkShards(b.shards, files);
      const asked = server.shardRequests().map((r) => r.path).sort();
      assert.equal(new Set(asked).size, asked.length, String(asked));
      assert.equal(sentBytes(server), 6 * mb);
    }));

  test('two tabs, the one that downloads is closed: the other takes over', () => withTab(
    async ({ run, page, server, url, context }) => {
      const files = bigger();
      server.addModel('m', files);
      server.fault('shards/', faulty.slowly(2 * mb));
      await run(startLoading, { url, options: { parallel: 1 } });
      await until(() => sentBytes(server) > 3 * mb, 'some bytes');
      const other = await openTab(context, server);
      const loading = other.run(loadAll, { url, options: quick });
      await new Promise((done) => setTimeout(done, 300));
      await page.close();
      checkShards((await loading).shards, files);
      assert.ok(sentBytes(server) < 8 * mb, String(sentBytes(server)));
    }));

  test('aborted: says so, keeps what it has', () => withTab(async ({ run, server, url }) => {
    const files = bigger();
    server.addModel('m', files);
    server.fault('shards/', faulty.slowly(2 * mb));
    await run(startLoading, { url, options: { parallel: 1 } });
    await until(() => sentBytes(server) > 3 * mb, 'three megabytes');
    await run(({ state }) => state.stop.abort());
    const { done } = await ended(run);
    assert.equal(done.error.kind, 'aborted');
    assert.equal(done.error.code, 'cancelled');
    server.noFaults();
    const got = await run(loadAll, { url, options: quick });
    checkShards(got.shards, files);
    assert.ok(sentBytes(server) < 8 * mb, String(sentBytes(server)));
  }));

  test('damage in the store is found, fetched anew and told', () => withTab(
    async ({ run, server, url }) => {
      const files = faulty.makeModel();
      server.addModel('m', files);
      await run(loadAll, { url, options: quick });
      const damage = async (_, hash) => {
        const root = await navigator.storage.getDirectory();
        const store = await root.getDirectoryHandle('lamina-store-1');
        const whole = await store.getDirectoryHandle('whole');
        const handle = await (await whole.getFileHandle(hash)).createSyncAccessHandle();
        handle.write(new Uint8Array([1, 2, 3]), { at: 5000 });
        handle.close();
      };
      const hash = faulty.sha256(files.get('shards/00001.bin'));
      await run(damage, hash);
      server.clearLog();
      const got = await run(loadAll, { url, options: quick });
      checkShards(got.shards, files);
      assert.deepEqual(got.notices.map((n) => [n.kind, n.file]), [['repaired', 'shards/00001.bin']]);
      assert.deepEqual(server.shardRequests().map((r) => r.path), ['/models/m/shards/00001.bin']);

      await run(damage, hash);
      server.clearLog();
      const verdicts = await run(async ({ ShardStore }, given) => {
        const model = await (await ShardStore.open()).model(given.url);
        const found = await model.repair();
        return [found, await model.verify()];
      }, { url });
      assert.deepEqual(verdicts[0].bad, ['shards/00001.bin']);
      assert.equal(verdicts[0].good.length, 3);
      assert.equal(verdicts[1].good.length, 4);
      assert.equal(server.shardRequests().length, 1);
    }));

  const setQuota = async (page, origin, quotaSize) => {
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize });
  };

  for (const [where, backend] of [['worker', 'opfs'], ['page', 'opfs']]) {
    test(`no room (${backend} in a ${where}): older models go first, then memory serves`,
      () => withTab(async ({ run, page, server, url, context }) => {
        const [old, wanted] = [1, 2].map((seed) =>
          faulty.makeModel({ name: `m${seed}`, seed, shards: [2 * mb, 2 * mb] }));
        const huge = faulty.makeModel({ name: 'huge', seed: 3, shards: [5 * mb, 5 * mb] });
        server.addModel('old', old);
        server.addModel('m', wanted);
        server.addModel('huge', huge);
        const options = { ...quick, backend };
        const at = (name) => `${server.url}/models/${name}/manifest.json`;
        await run(loadAll, { url: at('old'), options });
        await setQuota(page, server.url, 6 * mb);

        const kept = await run(loadAll, { url, options: { ...options, evict: 'never' } });
        checkShards(kept.shards, wanted);
        assert.ok(kept.notices.some((n) => n.kind === 'not_stored'), JSON.stringify(kept.notices));
        assert.ok(kept.missing.length > 0);

        const got = await run(loadAll, { url, options });
        checkShards(got.shards, wanted);
        assert.ok(got.notices.some((n) => n.kind === 'evicted'), JSON.stringify(got.notices));
        assert.deepEqual(got.missing, []);
        assert.deepEqual(got.models.map((m) => m.name), ['m2']);

        const over = await run(loadAll, { url: at('huge'), options });
        checkShards(over.shards, huge);
        assert.ok(over.notices.some((n) => n.kind === 'not_stored'));

        const strict = { ...options, onQuota: 'fail' };
        const error = await checkError(run(loadAll, { url: at('huge'), options: strict }), 'quota');
        assert.match(error.message, /grants/);
        if (backend === 'opfs') await checkClean((await openTab(context, server)).run);
      }, { where }));
  }

  // The tool's quota does not reach IndexedDB: here a write fails the way the browser says it.
  test('no room (IndexedDB): older models go first, then memory serves', () => withTab(
    async ({ run, server, url }) => {
      const files = faulty.makeModel({ name: 'new', seed: 2, shards: [5 * mb, 5 * mb] });
      server.addModel('old', faulty.makeModel({ name: 'old', shards: [5 * mb, 5 * mb] }));
      server.addModel('m', files);
      const options = { ...quick, backend: 'indexeddb' };
      await run(loadAll, { url: `${server.url}/models/old/manifest.json`, options });
      const failing = (_, count) => {
        const real = IDBObjectStore.prototype.put;
        let left = count;
        IDBObjectStore.prototype.put = function put(value, key) {
          if (!(value instanceof ArrayBuffer) || --left < 0) return real.call(this, value, key);
          throw new DOMException('no room', 'QuotaExceededError');
        };
      };
      await run(failing, 1);
      const got = await run(loadAll, { url, options });
      checkShards(got.shards, files);
      assert.deepEqual(got.notices.map((n) => n.kind), ['evicted']);
      assert.deepEqual(got.missing, []);
      await run(async ({ ShardStore }, given) =>
        (await ShardStore.open({ backend: 'indexeddb' })).remove(given), url);
      await run(failing, 1000);
      const over = await run(loadAll, { url, options });
      checkShards(over.shards, files);
      assert.ok(over.notices.some((n) => n.kind === 'not_stored'));
      assert.deepEqual(over.missing, [0, 1]);
    }));

  test('storage refused by the browser: from memory, and it says so', async () => {
    const server = await faulty.startFaultyServer();
    const profile = await mkdtemp(join(tmpdir(), 'lamina-profile-'));
    try {
      const files = faulty.makeModel();
      server.addModel('m', files);
      await mkdir(join(profile, 'Default'), { recursive: true });
      await writeFile(join(profile, 'Default/Preferences'), JSON.stringify({
        profile: { default_content_setting_values: { cookies: 2 } } }));
      const context = await driver.chromium.launchPersistentContext(profile, driver.options);
      try {
        const { run } = await openTab(context, server);
        const url = `${server.url}/models/m/manifest.json`;
        const got = await run(loadAll, { url, options: quick });
        assert.equal(got.backend, 'memory');
        assert.deepEqual(got.notices.map((n) => n.kind), ['storage_denied']);
        checkShards(got.shards, files);
      } finally {
        await context.close();
      }
    } finally {
      await server.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    }
  });

  test('persist() asks once', () => withTab(async ({ run, server }) => {
    void server;
    const asked = await run(async ({ ShardStore }) => {
      const store = await ShardStore.open();
      let count = 0;
      const real = navigator.storage.persist.bind(navigator.storage);
      navigator.storage.persist = () => {
        ++count;
        return real();
      };
      await store.persist();
      await store.persist();
      return count;
    });
    assert.equal(asked, 1);
  }, { where: 'page' }));

  test('another origin with CORS: resumes by Range', () => withTab(async ({ run, url, server }) => {
    void url;
    const elsewhere = await faulty.startFaultyServer({ cors: true });
    try {
      const files = faulty.makeModel();
      elsewhere.addModel('m', files);
      elsewhere.fault('shards/00001', faulty.cutAfter(120_000), { times: 1 });
      const got = await run(loadAll, {
        url: `${elsewhere.url}/models/m/manifest.json`, options: quick });
      checkShards(got.shards, files);
      assert.equal(elsewhere.shardRequests().filter((r) => r.range).length, 1);
      assert.equal(server.shardRequests().length, 0);
    } finally {
      await elsewhere.close();
    }
  }));

  test('models share equal files, and removing one leaves the other whole', () => withTab(
    async ({ run, server, url }) => {
      const same = faulty.seededBytes(200_000, 7);
      const files = faulty.makeModel({ name: 'a', seed: 1, shards: [1000, same, 1001] });
      const other = faulty.makeModel({ name: 'b', seed: 2, shards: [2000, same, 2001] });
      server.addModel('m', files);
      server.addModel('o', other);
      const otherUrl = `${server.url}/models/o/manifest.json`;
      await run(loadAll, { url, options: quick });
      server.clearLog();
      await run(loadAll, { url: otherUrl, options: quick });
      assert.equal(server.shardRequests().length, 2);
      await run(async ({ ShardStore }, given) => (await ShardStore.open()).remove(given), url);
      server.clearLog();
      const got = await run(loadAll, { url: otherUrl, options: quick });
      checkShards(got.shards, other);
      assert.equal(server.shardRequests().length, 0);
      assert.deepEqual(got.models.map((m) => m.name), ['b']);
    }));

  test('a model in use in another tab is not removed', () => withTab(
    async ({ run, server, url, context }) => {
      server.addModel('m', bigger());
      server.fault('shards/', faulty.slowly(mb));
      await run(startLoading, { url, options: { parallel: 1 } });
      await until(() => sentBytes(server) > 100_000, 'some bytes');
      const other = await openTab(context, server);
      const remove = async ({ ShardStore }, given) => (await ShardStore.open()).remove(given);
      await checkError(other.run(remove, url), 'in_use');
      await run(({ state }) => state.stop.abort());
      await ended(run);
      await other.run(remove, url);
      const left = await other.run(async ({ ShardStore }) => {
        const store = await ShardStore.open();
        await store.collect();
        const root = await navigator.storage.getDirectory();
        const names = [];
        for (const folder of ['whole', 'parts']) {
          const at = await (await root.getDirectoryHandle('lamina-store-1')).getDirectoryHandle(folder);
          for await (const name of at.keys()) names.push(`${folder}/${name}`);
        }
        return names;
      });
      assert.deepEqual(left, []);
    }));

});
