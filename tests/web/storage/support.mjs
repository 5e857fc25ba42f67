// SPDX-License-Identifier: Apache-2.0
// One browser for a test file; each test has a storage of its own.
import assert from 'node:assert/strict';
import { findChromium } from '../support/browser.mjs';
import { sha256, shardFile, startFaultyServer } from '../support/faulty_server.mjs';

const found = findChromium();
export const skip = found.why ?? false;

let browser = null;

export async function startBrowser() {
  browser = await found.chromium.launch(found.options);
}

export async function stopBrowser() {
  await browser?.close();
}

export const driver = found;
export const theBrowser = () => browser;

/** A tab with the harness; run(f, argument) runs f beside the store. */
export async function openTab(context, server, where = 'worker') {
  const page = await context.newPage();
  await page.goto(`${server.url}/tests/web/support/harness.html`);
  await page.waitForFunction(() => globalThis.ready === true);
  return tabOf(page, where);
}

export function tabOf(page, where) {
  const run = async (work, argument) => {
    const entry = where === 'worker' ? 'inWorker' : 'inPage';
    const answer = await page.evaluate(([name, text, given]) => globalThis[name](text, given),
      [entry, String(work), argument]);
    if (!answer.error) return answer.value;
    throw Object.assign(new Error(answer.error.message), answer.error);
  };
  const events = () => page.evaluate(() => globalThis.events);
  return { page, run, events };
}

/** Runs `body` with a server and an empty browser profile, and closes both. */
export async function withTab(body, { where = 'worker', server: options } = {}) {
  const server = await startFaultyServer(options);
  const context = await browser.newContext();
  try {
    const tab = await openTab(context, server, where);
    await body({ ...tab, server, context, url: `${server.url}/models/m/manifest.json` });
  } finally {
    await context.close();
    await server.close();
  }
}

/** Quick retries, so that tests of failures take no time. */
export const quick = { backoffMs: 20, retries: 3, stallMs: 1000, waitOnlineMs: 500 };

// Runs in the browser: opens a store and a model, loads everything; a test's usual case.
export async function loadAll({ ShardStore, load }, { url, options, trust, prefer }) {
  const notices = [];
  const store = await ShardStore.open({ ...options, onNotice: (n) => notices.push(n) });
  const model = await store.model(url, { trust, prefer });
  const shards = await load(model);
  const { models, bytes } = await store.usage();
  return { backend: store.backend, source: model.source, signature: model.signature, shards,
    notices, models, bytes, missing: await model.missing() };
}

/** Right bytes in the right order. */
export function checkShards(shards, files) {
  const wanted = [];
  for (let i = 0; files.has(shardFile(i)); ++i) {
    wanted.push({ index: i, sha256: sha256(files.get(shardFile(i))) });
  }
  assert.deepEqual(shards.map(({ index, sha256: hash }) => ({ index, sha256: hash })), wanted);
}

/** One clear error: its kind, the file in the text, and nothing wrong left in the store. */
export async function checkError(work, kind, file) {
  const error = await work.then(() => null, (e) => e);
  assert.ok(error, `no error, wanted ${kind}`);
  assert.equal(error.kind, kind, error.message);
  if (file) assert.ok(error.message.includes(file), error.message);
  return error;
}

// Runs in the browser: hashes of whole blobs that are not what their names say.
export async function poisoned({ hashOf }) {
  const root = await navigator.storage.getDirectory();
  const wrong = [];
  const store = await root.getDirectoryHandle('lamina-store-1', { create: true });
  const whole = await store.getDirectoryHandle('whole', { create: true });
  for await (const [name, handle] of whole.entries()) {
    const bytes = await (await handle.getFile()).arrayBuffer();
    if ((await hashOf(bytes)) !== name) wrong.push(name);
  }
  return wrong;
}

export async function checkClean(run) {
  assert.deepEqual(await run(poisoned), []);
}

/** Body bytes of shards that the server has written. */
export function sentBytes(server) {
  return server.shardRequests().reduce((sum, r) => sum + r.sent, 0);
}

export async function until(condition, what, ms = 10_000) {
  const end = performance.now() + ms;
  while (!(await condition())) {
    assert.ok(performance.now() < end, `never came: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}
