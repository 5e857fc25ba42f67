// SPDX-License-Identifier: Apache-2.0
// What a model may be made to write, on the real page under its policy: nothing runs, nothing is
// fetched, nothing but text and links is there.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { BUILT, launch, open } from '../support/browser.ts';
import { importConversation } from '../support/chat.ts';
import { StaticServer } from '../support/static_server.ts';
import { XSS_CORPUS } from '../unit/xss_corpus.ts';

let browser: Browser;
let server: StaticServer;
before(async () => {
  browser = await launch();
  server = await StaticServer.start(BUILT);
});
after(async () => {
  await browser?.close();
  await server?.down();
});

const ELEMENTS = [
  'a', 'blockquote', 'br', 'button', 'code', 'div', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol', 'p', 'pre', 's',
  'span', 'strong', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul',
];

// What in the answers could do something.
const found = (page: Page) => page.evaluate((allowed) => {
  const bad: string[] = [];
  for (const element of document.querySelectorAll('.markdown *')) {
    if (!allowed.includes(element.localName)) bad.push(element.outerHTML.slice(0, 200));
    for (const { name, value } of element.attributes) {
      const good = ['href', 'title', 'class', 'start', 'tabindex', 'target', 'rel', 'role', 'aria-label', 'type'].includes(name);
      if (!good || (name === 'href' && !/^(https?:|mailto:)/i.test(value))) bad.push(`${name}=${value}`);
    }
  }
  return bad;
}, ELEMENTS);

test('the corpus is inert, as answers and as questions', async () => {
  const { page, context, errors } = await open(browser, server.url);
  const beacons: string[] = [];
  page.on('request', (request) => {
    if (!request.url().startsWith(server.url) && !/^(blob|data):/.test(request.url())) beacons.push(request.url());
  });
  const dialogs: string[] = [];
  page.on('dialog', (dialog) => (dialogs.push(dialog.message()), void dialog.dismiss()));
  await importConversation(page, server.url, 'Hostile', XSS_CORPUS.flatMap((text) => [text, text]));
  await page.locator('.conversation a', { hasText: 'Hostile' }).click();
  await page.waitForFunction((n) => document.querySelectorAll('.message.answer').length === n, XSS_CORPUS.length);
  await page.waitForFunction(() => document.querySelector('.message.answer .markdown:not([data-drawn])') === null
    && document.querySelector('.hljs-tag') !== null);
  assert.deepEqual(await found(page), []);
  for (const link of await page.locator('.markdown a').all()) await link.hover({ force: true, timeout: 2000 }).catch(() => {});
  assert.equal(await page.evaluate(() => (globalThis as { xss?: unknown }).xss), undefined);
  assert.deepEqual(beacons, []);
  assert.deepEqual(dialogs, []);
  assert.deepEqual(errors, [], 'no violation of the policy either: nothing was tried');
  const link = page.locator('.markdown a').first();
  assert.equal(await link.getAttribute('target'), '_blank');
  assert.match((await link.getAttribute('rel')) ?? '', /noopener noreferrer/);
  await context.close();
});

test('a title with markup is text', async () => {
  const { page, context } = await open(browser, server.url);
  await importConversation(page, server.url, '<img src=x onerror="globalThis.xss=1">', ['a', 'b']);
  assert.equal(await page.locator('.conversation img').count(), 0);
  assert.equal(await page.evaluate(() => (globalThis as { xss?: unknown }).xss), undefined);
  await context.close();
});

test('the policy holds: no inline script, no foreign worker, no HTML from strings', async () => {
  const { page, context } = await open(browser, server.url);
  const tried = await page.evaluate(() => {
    const outcome = (work: () => unknown): string => {
      try {
        work();
        return 'done';
      } catch (thrown) {
        return (thrown as Error).name;
      }
    };
    return {
      html: outcome(() => (document.createElement('div').innerHTML = '<b>x</b>')),
      worker: outcome(() => new Worker('data:text/javascript,1')),
      foreign: outcome(() => new Worker('./assets/other.js')),
      script: outcome(() => (document.createElement('script').text = '1')),
      policy: outcome(() => (globalThis as { trustedTypes?: TrustedTypePolicyFactory }).trustedTypes?.createPolicy('mine', {})),
    };
  });
  assert.deepEqual(tried, { html: 'TypeError', worker: 'TypeError', foreign: 'TypeError', script: 'TypeError', policy: 'TypeError' });
  await context.close();
});
