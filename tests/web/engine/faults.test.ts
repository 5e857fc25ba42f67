// SPDX-License-Identifier: Apache-2.0
// The engine against a misbehaving server, network and browser: each ends in the right answer or in
// one clear error, and nothing wrong stays in the store.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { launch, openTab, poisoned } from './browser.ts';
import { delay, LAMINA, SOURCE, WORK } from './support.ts';

const faulty = await import(new URL('../support/faulty_server.mjs', import.meta.url).href);

interface Sent {
  path: string;
  sent: number;
}
interface Server {
  url: string;
  addModel(name: string, files: Map<string, Buffer>): void;
  fault(where: string, act: unknown, options?: { times: number }): void;
  noFaults(): void;
  shardRequests(): Sent[];
  dropConnections(): void;
  clearLog(): void;
  close(): Promise<void>;
}
interface Outcome {
  text?: string | undefined;
  code?: string;
  message?: string;
  recoverable?: boolean;
  notices: { kind: string; file?: string }[];
}

const QUICK = { backoffMs: 20, retries: 3, stallMs: 1000, waitOnlineMs: 400 };
const SOURCE_MODEL = path.join(SOURCE, 'tests/models/storyteller');
const SHARD = 'shards/00002';

let server: Server;
let browser: Browser;
let files: Map<string, Buffer>;
let wanted = '';

before(async () => {
  const folder = path.join(WORK, 'split');
  execFileSync(LAMINA, ['convert', SOURCE_MODEL, folder, '--shard-size', '1M', '--quiet']);
  files = faulty.readModel(folder);
  server = await faulty.startFaultyServer({ mounts: { pkg: process.env.PACKAGE ?? '' } });
  server.addModel('m', files);
  browser = await launch(false);
  const context = await browser.newContext();
  wanted = (await ask(await openTab(context, server))).text ?? '';
  await context.close();
  assert.ok(wanted.length > 20);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

// A greedy answer of a fresh engine, or how it failed.
function ask(page: Page, storage: object = {}, options: object = {}): Promise<Outcome> {
  return page.evaluate(async ([given, more]) => {
    notices.length = 0;
    try {
      const engine = globalThis.engine = await open({
        engine: 'wasm', threads: 1, model: '/models/m/', storage: given, ...more,
      });
      const answer = await engine.completions.create({ prompt: 'Once upon', temperature: 0, max_tokens: 16 });
      await engine.close();
      return { text: answer.choices[0]?.text, notices: [...notices] };
    } catch (error) {
      const { code, message, recoverable } = error as { code: string; message: string; recoverable: boolean };
      return { code, message, recoverable, notices: [...notices] };
    }
  }, [{ ...QUICK, ...storage }, options] as const);
}

async function inContext(body: (page: Page, context: BrowserContext) => Promise<void>): Promise<void> {
  server.noFaults();
  server.clearLog();
  const context = await browser.newContext();
  try {
    await body(await openTab(context, server), context);
  } finally {
    server.noFaults();
    await context.close();
  }
}

// Until the shard that faults are about is partly there.
async function halfway(): Promise<void> {
  const here = (r: Sent) => r.path.includes(SHARD) && r.sent > 100_000;
  while (!server.shardRequests().some(here)) await delay(10);
}

const once = { times: 1 };
const other = () => files.get('shards/00003.bin') as Buffer;
const passing: [string, () => void][] = [
  ['a shard cut short', () => server.fault(SHARD, faulty.truncated(5000), once)],
  ['a body without a length that ends early', () => server.fault(SHARD, faulty.truncatedChunked(5000), once)],
  ['a corrupted shard', () => server.fault(SHARD, faulty.corrupted(), once)],
  ['a broken connection, and Range ignored then', () => {
    server.fault(SHARD, faulty.ignoringRange);
    server.fault(SHARD, faulty.cutAfter(300_000), once);
  }],
  ['a broken connection, and no ETag', () => {
    server.fault(SHARD, faulty.withoutEtag);
    server.fault(SHARD, faulty.cutAfter(300_000), once);
  }],
  ['a server that stalls', () => server.fault(SHARD, faulty.stalling(200_000), once)],
  ['a server that is too busy', () => server.fault(SHARD, faulty.status(503), { times: 2 })],
];

test('faults that pass: the right answer', () => inContext(async (page) => {
  for (const [what, arm] of passing) {
    await page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      await root.removeEntry('lamina-store-1', { recursive: true }).catch(() => {});
    });
    server.noFaults();
    arm();
    const seen = await ask(page);
    assert.deepEqual([seen.code, seen.text], [undefined, wanted], `${what}: ${seen.message}`);
    assert.deepEqual(await poisoned(page), [], what);
  }
}));

// A manifest that was stored once would serve in place of a page, so its faults come first.
const lasting: [string, string, RegExp, () => void][] = [
  ['a manifest of HTML', 'integrity', /manifest/, () => server.fault('manifest.json', faulty.html)],
  ['a manifest cut short', 'invalid_model|io|integrity', /manifest/, () => server.fault('manifest.json', faulty.truncated(400))],
  ['a corrupted tokenizer', 'integrity', /tokenizer/, () => server.fault('tokenizer.json', faulty.corrupted(50))],
  ['corrupted', 'integrity', /00002/, () => server.fault(SHARD, faulty.corrupted())],
  ['cut short', 'io|integrity', /00002/, () => server.fault(SHARD, faulty.truncated(5000))],
  ['another shard', 'integrity', /00002/, () => server.fault(SHARD, (given: { answer: (g: object) => unknown }) =>
    given.answer({ ...given, body: other() }))],
  ['HTML', 'integrity', /00002.*web page/, () => server.fault(SHARD, faulty.html)],
  ['HTML called binary', 'integrity', /00002.*web page/, () => server.fault(SHARD, faulty.htmlAsBinary)],
  ['not found', 'io', /00002.*404/, () => server.fault(SHARD, faulty.status(404))],
];

test('faults that last: one error by name, and the store is clean; then it works', () => inContext(async (_, context) => {
  for (const [what, code, message, arm] of lasting) {
    const page = await openTab(context, server);
    server.noFaults();
    arm();
    const seen = await ask(page);
    assert.match(seen.code ?? `an answer: ${seen.text}`, new RegExp(`^(${code})$`), `${what}: ${seen.message}`);
    assert.match(seen.message ?? '', message, `${what}: ${seen.message}`);
    assert.deepEqual(await poisoned(page), [], what);
    await page.close();
    assert.equal(context.pages().flatMap((p) => p.workers()).length, 0, `${what}: no worker is left`);
  }
  server.noFaults();
  assert.equal((await ask(await openTab(context, server))).text, wanted);
}));

test('the model changes on the server in the middle: an error, and at the next call the new one', () => inContext(async (page) => {
  const newer = faulty.readModel(path.join(WORK, 'split'));
  newer.set('shards/00002.bin', Buffer.from(newer.get('shards/00002.bin') as Buffer).reverse());
  server.fault(SHARD, (given: { answer: (g: object, m: object) => unknown }) => {
    server.addModel('m', newer);
    return given.answer(given, { cutAfter: 300_000 });
  }, once);
  const seen = await ask(page);
  server.addModel('m', files);
  assert.equal(seen.code, 'integrity', seen.message);
  assert.deepEqual(await poisoned(page), []);
  assert.equal((await ask(page)).text, wanted);
}));

test('offline in the middle: an error, then it goes on from there; stored, it needs no network', () => inContext(async (page, context) => {
  server.fault(SHARD, faulty.slowly(400_000));
  const running = ask(page);
  await halfway();
  await context.setOffline(true);
  server.dropConnections();
  const seen = await running;
  assert.equal(seen.code, 'offline', seen.message);
  assert.equal(seen.recoverable, true);
  server.noFaults();
  server.clearLog();
  await context.setOffline(false);
  assert.equal((await ask(page)).text, wanted);
  const sent = server.shardRequests().reduce((sum, r) => sum + r.sent, 0);
  assert.ok(sent < 6.9e6, `${sent} bytes were sent again`);
  server.fault('manifest.json', faulty.status(503));
  const stored = await ask(page);
  assert.equal(stored.text, wanted);
  assert.deepEqual(stored.notices.map((n) => n.kind), ['offline']);
}));

test('a tab closed in the middle, then two at once', () => inContext(async (page, context) => {
  server.fault(SHARD, faulty.slowly(400_000));
  ask(page).catch(() => {});
  await halfway();
  await page.close();
  server.noFaults();
  server.clearLog();
  const tabs = await Promise.all([openTab(context, server), openTab(context, server)]);
  const seen = await Promise.all(tabs.map((tab) => ask(tab)));
  assert.deepEqual(seen.map((s) => s.text ?? s.message), [wanted, wanted]);
  const paths = server.shardRequests().map((r) => r.path);
  assert.equal(new Set(paths).size, paths.length, `each shard once: ${paths}`);
  assert.deepEqual(await poisoned(tabs[0]), []);
}));

test('a worker killed while it loads: an error, then it works', () => inContext(async (page) => {
  server.fault(SHARD, faulty.slowly(400_000));
  const running = ask(page);
  await halfway();
  await page.workers().find((w) => w.url().includes('engine_worker'))?.evaluate('self.close()').catch(() => {});
  assert.equal((await running).code, 'worker_lost');
  server.noFaults();
  assert.equal((await ask(page)).text, wanted);
  assert.deepEqual(await poisoned(page), []);
}));

test('no room: another model goes and it is told, else memory serves, or an error where asked for', () => inContext(async (page, context) => {
  const cdp = await context.newCDPSession(page);
  const quota = (megabytes: number) =>
    cdp.send('Storage.overrideQuotaForOrigin', { origin: server.url, quotaSize: megabytes * 1e6 });
  await quota(3);
  const small = await ask(page);
  assert.equal(small.text, wanted, small.message);
  assert.ok(small.notices.some((n) => n.kind === 'not_stored'), JSON.stringify(small.notices));
  const strict = await ask(page, { onQuota: 'fail' });
  assert.equal(strict.code, 'quota_exceeded', strict.message);
  assert.deepEqual(await poisoned(page), []);
  await quota(14);
  const another = path.join(WORK, 'grouped');
  execFileSync(LAMINA, ['convert', SOURCE_MODEL, another, '--group', '32', '--shard-size', '1M', '--quiet']);
  server.addModel('another', faulty.readModel(another));
  const first = await ask(page, {}, { model: '/models/another/' });
  assert.deepEqual([first.code, first.notices.map((n) => n.kind)], [undefined, []], first.message);
  const second = await ask(page);
  assert.equal(second.text, wanted);
  assert.deepEqual(second.notices.map((n) => n.kind), ['evicted']);
  const kept = await ask(page, { evict: 'never' }, { model: '/models/another/' });
  assert.equal(kept.code, undefined, kept.message);
  assert.ok(kept.notices.every((n) => n.kind === 'not_stored') && kept.notices.length > 0);
  assert.deepEqual(await poisoned(page), []);
}));

test('without the private file system: IndexedDB, or memory alone', () => inContext(async (page) => {
  for (const [backend, requests] of [['indexeddb', 0], ['memory', 1]] as const) {
    server.clearLog();
    const first = await ask(page, { backend });
    assert.deepEqual([first.text ?? first.message, first.notices], [wanted, []], backend);
    const sent = server.shardRequests().length;
    assert.ok(sent > 5);
    const second = await ask(page, { backend });
    assert.equal(second.text, wanted);
    assert.equal(server.shardRequests().length, sent * (1 + requests), backend);
  }
}));

test('a damaged file in the store is found, told and fetched again', () => inContext(async (page) => {
  assert.equal((await ask(page)).text, wanted);
  const blob: string = faulty.sha256(files.get('shards/00002.bin'));
  await page.evaluate(async (name) => {
    const root = await navigator.storage.getDirectory();
    const whole = await (await root.getDirectoryHandle('lamina-store-1')).getDirectoryHandle('whole');
    const writer = await (await whole.getFileHandle(name)).createWritable({ keepExistingData: true });
    await writer.write({ type: 'write', position: 5000, data: new Uint8Array(64).fill(3) });
    await writer.close();
  }, blob);
  server.clearLog();
  const seen = await ask(page);
  assert.equal(seen.text, wanted);
  assert.deepEqual(seen.notices.map((n) => n.kind), ['repaired']);
  assert.equal(seen.notices[0]?.file, 'shards/00002.bin');
  assert.equal(server.shardRequests().length, 1);
  assert.deepEqual(await poisoned(page), []);
}));
