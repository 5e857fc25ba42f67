// SPDX-License-Identifier: Apache-2.0
// The service worker on a plain static host that sends no headers: offline, isolation, updates, the
// way out.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { BUILT, launch, offlineReady, open, until } from '../support/browser.ts';
import { StaticServer } from '../support/static_server.ts';

let browser: Browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

const builds = (page: Page) => page.evaluate(async () =>
  (await caches.keys()).filter((name) => name.startsWith('lamina-shell-')));
const buildOf = (page: Page) => page.locator('meta[name=lamina-build]').getAttribute('content');

async function withServer(work: (server: StaticServer) => Promise<void>, folder = BUILT): Promise<void> {
  const server = await StaticServer.start(folder);
  try {
    await work(server);
  } finally {
    await server.down().catch(() => {});
  }
}

test('a host without headers: the worker adds them, and the page opens without network', () =>
  withServer(async (server) => {
    const { page, context, errors } = await open(browser, server.url);
    await page.waitForFunction(() => globalThis.crossOriginIsolated, undefined, { timeout: 30_000 });
    await offlineReady(page);
    const title = await page.title();
    await server.down();
    await page.reload();
    assert.equal(await page.title(), title);
    await page.waitForSelector('main');
    for (const view of ['models', 'performance', 'settings']) {
      await page.goto(`${server.url}#/${view}`);
      await page.waitForSelector('main h1');
    }
    assert.deepEqual(errors, []);
    await context.close();
  }));

test('what this machine does not run is not fetched', () => withServer(async (server) => {
  const { page, context } = await open(browser, server.url);
  await offlineReady(page);
  assert.ok(server.count('lamina-relaxed-shared.wasm') > 0);
  assert.equal(server.count('lamina-simd128-shared.wasm'), 0);
  await context.close();
}));

test('an update waits for the page to ask, and the tab beside it goes on', async () => {
  const next = await nextBuild();
  await withServer(async (server) => {
    const { page, context } = await open(browser, server.url);
    await offlineReady(page);
    const first = await buildOf(page);
    const beside = await context.newPage();
    await beside.goto(server.url);
    for (const [file, bytes] of next) server.instead.set(file, bytes);
    await page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.update());
    const offer = page.getByRole('button', { name: 'Update now' });
    await offer.waitFor();
    await page.reload();
    assert.equal(await buildOf(page), first, 'nothing changes unasked, not by a reload either');
    await offer.waitFor();
    await offer.click();
    await page.waitForFunction((old) =>
      document.querySelector<HTMLMetaElement>('meta[name=lamina-build]')?.content !== old, first);
    assert.equal(await buildOf(page), 'feedfacefeedface');
    assert.equal(await buildOf(beside), first);
    await beside.evaluate(() => (location.hash = '#/performance'));
    await beside.waitForSelector('main h1'); // a script of the old build
    assert.equal((await builds(page)).length, 2, 'the old build is kept while a tab is of it');
    await beside.close();
    await page.reload();
    await until(page, async () => (await caches.keys()).filter((name) => name.startsWith('lamina-shell')).length === 1);
    await context.close();
  });
});

// Path and content of what differs in another build: index.html, and sw.js, which knows its hash.
async function nextBuild(): Promise<[string, string][]> {
  const old = fs.readFileSync(path.join(BUILT, 'index.html'), 'utf8');
  const hex = async (text: string) => Buffer.from(
    await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))).toString('hex');
  const name = /name="lamina-build" content="(\w+)"/.exec(old)?.[1] ?? '';
  const page = old.replace(name, 'feedfacefeedface');
  const worker = fs.readFileSync(path.join(BUILT, 'sw.js'), 'utf8')
    .replaceAll(name, 'feedfacefeedface').replaceAll(await hex(old), await hex(page));
  return [['/index.html', page], ['/sw.js', worker]];
}

test('a damaged build is not installed', () => withServer(async (server) => {
  server.instead.set('/icon.svg', '<svg xmlns="http://www.w3.org/2000/svg"/>');
  const { page, context } = await open(browser, server.url);
  while (server.count('/icon.svg') < 3) await page.waitForTimeout(50); // the page's own, and two of the worker
  await until(page, async () => {
    const found = await navigator.serviceWorker.getRegistration();
    return found === undefined || (!found.installing && !found.waiting && !found.active);
  });
  assert.deepEqual(await builds(page), []);
  await context.close();
}));

test('the switch on the server removes worker and copies, without the page doing anything', () =>
  withServer(async (server) => {
    const { page, context } = await open(browser, server.url);
    await offlineReady(page);
    server.instead.set('/service-worker.json', '{"enabled": false}');
    await page.reload();
    await until(page, async () => (await caches.keys()).length === 0);
    await page.reload(); // the registration lasts as long as pages that it controls
    await until(page, async () => (await navigator.serviceWorker.getRegistrations()).length === 0);
    assert.deepEqual(await page.evaluate(() => caches.keys()), []);
    await context.close();
  }));
