// SPDX-License-Identifier: Apache-2.0
// What a model may be made to write, on the real page under its policy: nothing runs, nothing is
// fetched, nothing but text and links is there.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { open } from '../support/browser.ts';
import { importConversation } from '../support/chat.ts';
import { hosted } from '../support/host.ts';
import { INERT, notInert } from '../support/inert.ts';
import { XSS_CORPUS } from '../unit/xss_corpus.ts';

const host = hosted({ isolated: false });

const found = (page: Page) => page.evaluate(notInert, INERT);

test('the corpus is inert, as answers and as questions', async () => {
  const { page, context, errors } = await open(host.browser, host.server.url);
  const beacons: string[] = [];
  page.on('request', (request) => {
    if (!request.url().startsWith(host.server.url) && !/^(blob|data):/.test(request.url())) beacons.push(request.url());
  });
  const dialogs: string[] = [];
  page.on('dialog', (dialog) => (dialogs.push(dialog.message()), void dialog.dismiss()));
  await importConversation(page, host.server.url, 'Hostile', XSS_CORPUS.flatMap((text) => [text, text]));
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
  const { page, context } = await open(host.browser, host.server.url);
  await importConversation(page, host.server.url, '<img src=x onerror="globalThis.xss=1">', ['a', 'b']);
  assert.equal(await page.locator('.conversation img').count(), 0);
  assert.equal(await page.evaluate(() => (globalThis as { xss?: unknown }).xss), undefined);
  await context.close();
});

test('the policy holds: no inline script, no foreign worker, no HTML from strings', async () => {
  const { page, context } = await open(host.browser, host.server.url);
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
