// SPDX-License-Identifier: Apache-2.0
// The models page in Chromium against a plain static host: estimate, download, pause, damage and
// repair, delete and again, out to a file and in again, answers without network.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { BUILT, launch, offlineReady, open, until } from '../support/browser.ts';
import { answered, ask } from '../support/chat.ts';
import { StaticServer } from '../support/static_server.ts';
import { MODEL, shardedModel } from '../support/models.ts';

let browser: Browser;
let site: string;

// The built page with the demo model, and with the same in nine shards.
before(async () => {
  browser = await launch();
  site = fs.mkdtempSync(path.join(os.tmpdir(), 'lamina-site-'));
  fs.cpSync(BUILT, site, { recursive: true });
  fs.rmSync(path.join(site, 'models'), { recursive: true, force: true });
  fs.cpSync(MODEL, path.join(site, 'models/storyteller'), { recursive: true });
  shardedModel(path.join(site, 'models/tales'));
  fs.writeFileSync(path.join(site, 'models/index.json'), JSON.stringify({
    models: [{ name: 'tales', path: 'tales/' }, { name: 'storyteller', path: 'storyteller/' }],
  }));
});
after(async () => {
  await browser.close();
  fs.rmSync(site, { recursive: true, force: true });
});

const card = (page: Page) => page.locator('.model-card').first();

async function withModels(work: (page: Page, server: StaticServer) => Promise<void>): Promise<void> {
  const server = await StaticServer.start(site);
  const { page, context, errors } = await open(browser, `${server.url}#/models`);
  try {
    await offlineReady(page);
    await page.waitForFunction(() => globalThis.crossOriginIsolated);
    await card(page).getByText('Fits').waitFor();
    await work(page, server);
    assert.deepEqual(errors, []);
  } finally {
    await context.close();
    await server.down().catch(() => {});
  }
}

/** The page of a host that offers no models. */
async function withoutModels(work: (page: Page, server: StaticServer) => Promise<void>): Promise<void> {
  const empty = fs.mkdtempSync(path.join(os.tmpdir(), 'lamina-empty-'));
  fs.cpSync(BUILT, empty, { recursive: true });
  fs.rmSync(path.join(empty, 'models'), { recursive: true, force: true });
  const server = await StaticServer.start(empty);
  const { page, context, errors } = await open(browser, `${server.url}#/models`);
  try {
    await page.waitForFunction(() => globalThis.crossOriginIsolated);
    await page.getByText('No models yet').waitFor();
    await work(page, server);
    assert.deepEqual(errors, []);
  } finally {
    await context.close();
    await server.down().catch(() => {});
    fs.rmSync(empty, { recursive: true });
  }
}

async function answersAsImported(page: Page, server: StaticServer): Promise<void> {
  await card(page).locator('.chip.good').waitFor();
  await card(page).getByRole('button', { name: 'Use' }).click();
  assert.ok((await tell(page, 'Tell me a story about an owl.')).length > 40);
  await page.locator('.badge', { hasText: 'WebAssembly' }).waitFor();
  assert.equal(server.count('.bin'), 0);
}

/** As from a window of files. */
async function drop(page: Page, file: string): Promise<void> {
  const place = page.locator('.import');
  await place.scrollIntoViewIfNeeded();
  const box = await place.boundingBox();
  assert.ok(box);
  const cdp = await page.context().newCDPSession(page);
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await cdp.send('Input.dispatchDragEvent', {
      type, x: box.x + box.width / 2, y: box.y + 20, data: { items: [], files: [file], dragOperationsMask: 1 },
    });
  }
  await cdp.detach();
}

async function download(page: Page): Promise<void> {
  await card(page).getByRole('button', { name: /Keep on this device|Continue/ }).click();
  await card(page).locator('.chip.good').waitFor();
}

async function choose(page: Page, action: string): Promise<void> {
  await card(page).getByRole('button', { name: /^More for/ }).click();
  await page.getByRole('menuitem', { name: action }).click();
}

/** The answer to a message, in the chat of the page as it is. */
async function tell(page: Page, text: string): Promise<string> {
  if (!(await page.evaluate(() => location.hash.startsWith('#/chat')))) await page.evaluate(() => (location.hash = '#/chat'));
  await ask(page, text);
  return answered(page);
}

test('a manifest that cannot be read is told, and read when it can be', () => withModels(async (page, server) => {
  server.instead.set('/models/tales/manifest.json', '{"format":"nothing"}');
  await page.reload();
  await card(page).getByRole('alert').getByText('manifest.json').waitFor();
  server.instead.clear();
  await card(page).getByRole('button', { name: 'Try again' }).click();
  await card(page).getByText('9 shards').waitFor();
  assert.equal(await card(page).getByRole('alert').count(), 0);
}));

test('before anything is downloaded: size, precision, signature and what it needs', () =>
  withModels(async (page, server) => {
    const text = await card(page).innerText();
    for (const part of [/6\.9 MB/, /9 shards/, /int8/, /2,048 tokens/, /Not signed/, /weights 6\.9 MB/]) assert.match(text, part);
    assert.equal(server.count('.bin'), 0);
  }));

test('a download shows its shards, pauses, goes on by range; every byte comes once', () =>
  withModels(async (page, server) => {
    server.modelRate = 400_000;
    await card(page).getByRole('button', { name: 'Keep on this device' }).click();
    await card(page).locator('.shard-done').first().waitFor();
    await page.waitForTimeout(1000);
    await card(page).getByRole('button', { name: 'Pause' }).click();
    await card(page).getByText('Paused').waitFor();
    let asked = -1; // what was under way may still come; then nothing more is asked
    for (let end = Date.now() + 15_000; server.count('.bin') !== asked && Date.now() < end;) {
      asked = server.count('.bin');
      await page.waitForTimeout(1500);
    }
    assert.equal(server.count('.bin'), asked, 'it is not asked on and on while it is paused');
    assert.ok(asked < 9, `${asked} shards were asked for before and during the pause`);
    server.modelRate = 0;
    await card(page).getByRole('button', { name: 'Resume' }).click();
    await card(page).locator('.chip.good').waitFor();
    assert.ok(server.asked.some(({ range }) => range !== undefined), 'it went on where it was');
    assert.equal(await card(page).locator('.shard').count(), 0);
    await page.locator('#storage-title').locator('..').getByText(/used by models/).waitFor();
  }));

test('a damaged shard is found and that one alone is fetched again', () => withModels(async (page, server) => {
  await download(page);
  await page.evaluate(async () => {
    const top = await navigator.storage.getDirectory();
    const whole = await (await top.getDirectoryHandle('lamina-store-1')).getDirectoryHandle('whole');
    const { shards } = await (await fetch('models/tales/manifest.json')).json() as { shards: { sha256: string }[] };
    const file = await whole.getFileHandle(shards[4]?.sha256 ?? '');
    const writer = await file.createWritable({ keepExistingData: true });
    await writer.write({ type: 'write', position: 1000, data: new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]) });
    await writer.close();
  });
  const asked = server.count('.bin');
  await choose(page, 'Verify');
  await card(page).getByText('1 damaged: shards/00004.bin').waitFor();
  assert.equal(server.count('.bin'), asked, 'checking asks the server nothing');
  await choose(page, 'Repair');
  await card(page).getByText(/fetched again: shards\/00004\.bin/).waitFor();
  assert.equal(server.count('.bin'), asked + 1);
  await choose(page, 'Verify');
  await card(page).getByText('files are as they should be').waitFor();
}));

test('deleted and loaded again', () => withModels(async (page, server) => {
  await download(page);
  const once = server.count('.bin');
  await choose(page, 'Delete from this device');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await card(page).getByRole('button', { name: 'Keep on this device' }).waitFor();
  // Its tokenizer stays: the model beside it has the same.
  await page.locator('#storage-title').locator('..').getByText(/^1\d\d kB used by models/).waitFor();
  await download(page);
  assert.equal(server.count('.bin'), 2 * once);
}));

test('out to a file, and in again where there is no such model', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lamina-tar-'));
  const tar = path.join(folder, 'model.tar');
  await withModels(async (page) => {
    await download(page);
    const [saved] = await Promise.all([page.waitForEvent('download'), choose(page, 'Export as one file')]);
    await saved.saveAs(tar);
  });
  await withoutModels(async (page, server) => {
    await page.locator('input[type=file]').last().setInputFiles(tar);
    await answersAsImported(page, server);
  });
  fs.rmSync(folder, { recursive: true });
});

test('a folder is chosen, imported and answers', () => withoutModels(async (page, server) => {
  await page.locator('input[type=file]').first().setInputFiles(path.join(site, 'models/tales'));
  await page.locator('.toast', { hasText: 'is imported' }).waitFor();
  await answersAsImported(page, server);
}));

test('a folder is dropped, imported and answers', () => withoutModels(async (page, server) => {
  await drop(page, path.join(site, 'models/tales'));
  await answersAsImported(page, server);
}));

test('a folder that is no model is dropped: the message says what is missing', () => withoutModels(async (page) => {
  await drop(page, path.join(site, 'models/tales/shards'));
  await page.getByText('choose the whole model folder').waitFor();
}));

test('an address is typed in, its model loads from there and answers', () => withoutModels(async (page) => {
  const other = await StaticServer.start(path.join(site, 'models'));
  other.shared = true;
  const type = async (address: string) => {
    await page.getByLabel('Address of a model folder').fill(address);
    await page.getByRole('button', { name: 'Add', exact: true }).click();
  };
  await type('https://models.example/tales/');
  await page.getByText('This page fetches from its own server alone').waitFor();
  await type(`${other.url}tales/`);
  await card(page).getByText('9 shards').waitFor();
  await download(page);
  await card(page).getByRole('button', { name: 'Use' }).click();
  assert.ok((await tell(page, 'Tell me a story about an owl.')).length > 40);
  assert.equal(other.count('.bin'), 9);
  await page.reload();
  await page.evaluate(() => (location.hash = '#/models'));
  await card(page).locator('.chip.good').waitFor();
  await other.down();
}));

test('what is not the model is not imported, and the message says what to do', () => withModels(async (page) => {
  const input = page.locator('input[type=file]').last();
  await input.setInputFiles([{ name: 'x.tar', mimeType: 'application/x-tar', buffer: Buffer.alloc(1024, 65) }]);
  await page.getByText('this is not a .tar file that Lamina has written').waitFor();
  await input.setInputFiles([{ name: 'holiday.json', mimeType: 'application/json', buffer: Buffer.from('{}') }]);
  await page.getByText('choose the whole model folder').waitFor();
}));

test('without network a stored model answers, after a reload too', () => withModels(async (page, server) => {
  await card(page).getByRole('button', { name: 'Use' }).click();
  const story = await tell(page, 'Tell me a story about an owl.');
  assert.ok(story.length > 40, story);
  await server.down();
  await page.goto(server.url);
  const another = await tell(page, 'Tell me a story about a fox.');
  assert.ok(another.length > 40, another);
}));

test('two tabs: one deletes, the other goes on with what it has loaded', () => withModels(async (page) => {
  await card(page).getByRole('button', { name: 'Use' }).click();
  await tell(page, 'Tell me a story about a bear.');
  const beside = await page.context().newPage();
  await beside.goto(page.url().replace(/#.*/, '#/models'));
  await beside.locator('.model-card .chip.good').first().waitFor();
  await choose(beside, 'Delete from this device');
  await beside.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await until(beside, async () => document.querySelector('.model-card .chip.good') === null);
  const more = await tell(page, 'Tell me a story about a whale.');
  assert.ok(more.length > 40, more);
}));
