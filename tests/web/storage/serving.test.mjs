// SPDX-License-Identifier: Apache-2.0
// Who signed, older manifests, the service worker's answers, and models moved as files.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import * as faulty from '../support/faulty_server.mjs';
import {
  checkError, checkShards, loadAll, quick, skip, startBrowser, stopBrowser, withTab,
} from './support.mjs';

const keys = faulty.makeKeys();
const others = faulty.makeKeys();

describe('trust', { skip }, () => {
  before(startBrowser);
  after(stopBrowser);

  const signed = () => faulty.makeModel({ keys });
  const withTrust = (name, files, trust, check) => test(name, () => withTab(
    async ({ run, server, url }) => {
      server.addModel('m', files());
      await check(run(loadAll, { url, options: quick, trust }), server);
    }));
  const accepts = (name, files, trust, kind) => withTrust(name, files, trust, async (work) => {
    assert.equal((await work).signature.kind, kind);
  });
  const refuses = (name, files, trust, kind) => withTrust(name, files, trust,
    async (work, server) => {
      await checkError(work, kind);
      assert.equal(server.shardRequests().length, 0);
    });

  accepts('unsigned is taken where nothing is asked', () => faulty.makeModel(), {}, 'unsigned');
  accepts('a signature by somebody', signed, {}, 'unknown_signer');
  accepts('a known key', signed, { known: [keys.text], requireSignature: true }, 'trusted');
  accepts('the pinned key', signed, { pinned: [keys.text] }, 'trusted');
  refuses('unsigned where a signature is required', () => faulty.makeModel(),
    { requireSignature: true }, 'signature_missing');
  refuses('another key than the pinned', signed, { pinned: [others.text] }, 'signature_untrusted');
  refuses('pinned beats known', signed, { pinned: [others.text], known: [keys.text] },
    'signature_untrusted');
  refuses('an unknown key where one is required', signed, { requireSignature: true },
    'signature_untrusted');
  refuses('a key that is none', signed, { pinned: ['ed25519:abc'] }, 'signature_malformed');
  const changed = (file, act) => () => {
    const files = signed();
    files.set(file, act(files.get(file)));
    return files;
  };
  const space = (manifest) => Buffer.concat([manifest, Buffer.from(' ')]);
  refuses('a changed manifest, even where nothing is asked', changed('manifest.json', space), {},
    'signature_mismatch');
  refuses('bytes after the signature', changed('manifest.sig', space), {}, 'signature_malformed');
  refuses('a signature of another model', changed('manifest.sig', () =>
    faulty.makeModel({ seed: 9, keys }).get('manifest.sig')), {}, 'signature_mismatch');
  accepts('a web page in place of the signature is none', () => faulty.makeModel().set(
    'manifest.sig', Buffer.from('<!doctype html>')), {}, 'unsigned');

  const broken = (name, act, kind = 'manifest_invalid') => test(`manifest: ${name}`, () => withTab(
    async ({ run, server, url }) => {
      const files = faulty.makeModel();
      files.set('manifest.json', Buffer.from(act(files.get('manifest.json').toString())));
      server.addModel('m', files);
      await checkError(run(loadAll, { url, options: quick }), kind, 'manifest.json');
    }));
  broken('a path out of the folder', (t) => t.replace('shards/00001.bin', '../../secret'));
  broken('cut short', (t) => t.slice(0, 400));
  broken('a web page', () => '<html>', 'html_instead_of_shard');

  test('an older manifest again', () => withTab(async ({ run, server, url }) => {
    const [first, second] = [1, 2].map((seed) => faulty.makeModel({ seed, keys }));
    const trust = { pinned: [keys.text] };
    server.addModel('m', first);
    await run(loadAll, { url, options: quick, trust });
    server.addModel('m', second);
    const got = await run(loadAll, { url, options: quick, trust });
    checkShards(got.shards, second);
    assert.ok(got.notices.some((n) => n.kind === 'superseded'));
    assert.equal(got.models.length, 1);
    server.addModel('m', first);
    await checkError(run(loadAll, { url, options: quick, trust }), 'manifest_replayed');
    const kept = await run(loadAll, { url, options: quick, trust, prefer: 'store' });
    checkShards(kept.shards, second);
    const back = await run(loadAll, { url, options: quick, trust: { ...trust, replay: 'accept' } });
    checkShards(back.shards, first);
    assert.ok(back.notices.some((n) => n.kind === 'replayed'));
  }));

  test('an older manifest with newer shards: the hash names the shard', () => withTab(
    async ({ run, server, url }) => {
      const [old, now] = [1, 2].map((seed) => faulty.makeModel({ seed }));
      server.addModel('m', new Map(now).set('manifest.json', old.get('manifest.json')));
      await checkError(run(loadAll, { url, options: quick }), 'hash_mismatch', 'tokenizer.json');
      server.addModel('m', new Map(now).set('manifest.json', old.get('manifest.json'))
        .set('tokenizer.json', old.get('tokenizer.json')));
      await checkError(run(loadAll, { url, options: quick }), 'hash_mismatch', 'shards/00000.bin');
    }));
});

describe('serving', { skip }, () => {
  before(startBrowser);
  after(stopBrowser);

  // Runs in the browser: what the store answers.
  const ask = async ({ ShardStore, hashOf }, { url, headers, method, options }) => {
    const store = await ShardStore.open(options);
    const answer = await store.respond(new Request(url, { headers, method }));
    if (!answer) return null;
    const body = await answer.arrayBuffer();
    return { status: answer.status, bytes: body.byteLength, sha256: await hashOf(body),
      headers: Object.fromEntries(answer.headers) };
  };

  for (const backend of ['opfs', 'indexeddb']) {
    test(`${backend}: answers as the daemon does`, () => withTab(async ({ run, server, url }) => {
      const files = faulty.makeModel({ shards: [5_000_000, 1000] });
      server.addModel('m', files);
      const options = { ...quick, backend };
      await run(loadAll, { url, options });
      const bytes = files.get('shards/00000.bin');
      const etag = `"${faulty.sha256(bytes)}"`;
      const at = new URL('shards/00000.bin', url).href;
      const go = (more) => run(ask, { url: at, options, ...more });

      const whole = await go({});
      assert.deepEqual([whole.status, whole.bytes, whole.sha256, whole.headers.etag],
        [200, 5_000_000, faulty.sha256(bytes), etag]);
      const part = await go({ headers: { Range: 'bytes=4194300-4194309' } });
      assert.deepEqual([part.status, part.headers['content-range'], part.sha256],
        [206, 'bytes 4194300-4194309/5000000', faulty.sha256(bytes.subarray(4194300, 4194310))]);
      const last = await go({ headers: { 'Range': 'bytes=-7', 'If-Range': etag } });
      assert.deepEqual([last.status, last.bytes], [206, 7]);
      assert.equal((await go({ headers: { 'Range': 'bytes=1-2', 'If-Range': '"x"' } })).status, 200);
      assert.equal((await go({ headers: { Range: 'bytes=5000000-' } })).status, 416);
      assert.equal((await go({ headers: { 'If-None-Match': etag } })).status, 304);
      assert.equal((await go({ method: 'HEAD' })).bytes, 0);
      assert.equal(await go({ method: 'POST' }), null);
      assert.equal(await go({ url: `${at}?sha256=${'0'.repeat(64)}` }), null);
      assert.equal((await go({ url: `${at}?sha256=${faulty.sha256(bytes)}` })).status, 200);
      for (const path of ['shards/00009.bin', '../m2/manifest.json', 'other.json', 'shards/../x']) {
        assert.equal(await go({ url: new URL(path, url).href }), null, path);
      }
    }));
  }

  test('a service worker serves the stored model, offline too', () => withTab(
    async ({ run, page, server, url, context }) => {
      const files = faulty.makeModel();
      server.addModel('m', files);
      await run(loadAll, { url, options: quick });
      await page.evaluate(async () => {
        await navigator.serviceWorker.register('/tests/web/support/service_worker.mjs',
          { type: 'module', scope: '/' });
        await navigator.serviceWorker.ready;
        while (!navigator.serviceWorker.controller) {
          await new Promise((done) => setTimeout(done, 20));
        }
      });
      server.clearLog();
      await context.setOffline(true);
      const got = await page.evaluate(async (base) => {
        const out = {};
        for (const file of ['manifest.json', 'tokenizer.json', 'shards/00001.bin']) {
          const answer = await fetch(new URL(file, base));
          out[file] = [answer.status, (await answer.arrayBuffer()).byteLength];
        }
        return out;
      }, url);
      for (const [file, answer] of Object.entries(got)) {
        assert.deepEqual(answer, [200, files.get(file).length], file);
      }
      const loaded = await run(loadAll, { url, options: quick });
      assert.equal(loaded.source, 'store');
      checkShards(loaded.shards, files);
      assert.equal(server.shardRequests().length, 0);
    }));

  test('out to files and in again, in an empty browser', () => withTab(
    async ({ run, server, url }) => {
      const files = faulty.makeModel({ keys });
      server.addModel('m', files);
      const trust = { pinned: [keys.text] };
      const got = await run(async (api, given) => {
        const store = await api.ShardStore.open();
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('exported', { create: true });
        await api.exportModel(await store.model(given.url, { trust: given.trust }), folder);
        await store.remove(given.url);
        const left = (await store.usage()).bytes;
        const model = await store.importModel(folder, { trust: given.trust });
        return { left, signature: model.signature.kind, shards: await api.load(model) };
      }, { url, trust });
      assert.equal(got.left, 0);
      assert.equal(got.signature, 'trusted');
      checkShards(got.shards, files);
      assert.ok(got.shards.every((s) => s.from === 'store'));

      const bad = async ({ ShardStore }, given) => {
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('exported');
        const shards = await folder.getDirectoryHandle('shards');
        const stream = await (await shards.getFileHandle('00001.bin'))
          .createWritable({ keepExistingData: true });
        await stream.write(new Uint8Array([1, 2, 3]));
        await stream.close();
        const store = await ShardStore.open();
        for (const model of await store.list()) await store.remove(model.sha256);
        await store.importModel(folder, given);
      };
      await checkError(run(bad, {}), 'hash_mismatch', 'shards/00001.bin');
    }));
});
