// SPDX-License-Identifier: Apache-2.0
// What an answer is drawn as, what is inert, and what needs no pointer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Firefox } from '../../web/support/firefox.ts';
import { conversationFile, greedy } from '../support/chat.ts';
import { INERT, notInert } from '../support/inert.ts';
import { XSS_CORPUS } from '../unit/xss_corpus.ts';
import { FIREFOX, hosted, Visit } from './support.ts';

const RICH = `# Title\n\nSome *text* with a [link](https://example.org).\n\n- one\n- two\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n
\`\`\`js\n// a comment\nconst x = "text" + 1;\n\`\`\`\n\n> quoted\n`;

const host = hosted();

async function imported(here: Visit, title: string, said: readonly string[]): Promise<void> {
  await here.page.run(() => (location.hash = '#/settings'));
  await here.page.until(() => document.querySelector('input[type=file]') !== null);
  await here.page.run((text) => {
    const input = document.querySelector('input[type=file]') as HTMLInputElement;
    const files = new DataTransfer();
    files.items.add(new File([text], 'conversations.json', { type: 'application/json' }));
    input.files = files.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  }, String(conversationFile(title, said).buffer));
  await here.click('.conversation a', title.slice(0, 20));
  await here.page.until((n) => document.querySelectorAll('.message.answer').length === n
    && document.querySelector('.message.answer .markdown:not([data-drawn])') === null, said.length / 2);
}

test('Markdown is drawn, its code in colours', async () => {
  const here = await Visit.begin(host.firefox, host.server.url);
  await imported(here, 'Rich', ['Show me everything', RICH]);
  await here.page.until(() => document.querySelector('.markdown .hljs-keyword') !== null);
  const drawn = await here.page.run(() => ['h1', 'em', 'a[href]', 'li', 'table', 'blockquote', 'pre code']
    .filter((css) => document.querySelector(`.message.answer .markdown ${css}`) === null));
  assert.deepEqual(drawn, []);
  assert.deepEqual(here.page.errors, []);
  await here.page.close();
});

async function corpusIsInert(firefox: Firefox, { untyped = false } = {}): Promise<void> {
  const here = await Visit.begin(firefox, host.server.url);
  if (untyped) assert.equal(await here.page.run(() => 'trustedTypes' in globalThis), false);
  await imported(here, 'Hostile', XSS_CORPUS.flatMap((text) => [text, text]));
  await here.page.until(() => document.querySelector('.hljs-tag') !== null);
  assert.deepEqual(await here.page.run(notInert, INERT), []);
  assert.equal(await here.page.run(() => typeof (globalThis as { xss?: unknown }).xss), 'undefined');
  const { requests, dialogs, errors } = here.page;
  assert.deepEqual(requests.filter((url) => !url.startsWith(host.server.url) && !/^(blob|data|about):/.test(url)), []);
  assert.deepEqual(dialogs, []);
  assert.deepEqual(errors, []);
  await here.page.close();
}

test('the corpus is inert, as answers and as questions', () => corpusIsInert(host.firefox));

test('without Trusted Types, as in older Firefoxes, DOMPurify is still in the way', async () => {
  const older = await Firefox.start(FIREFOX, { 'dom.security.trusted_types.enabled': false });
  try {
    await corpusIsInert(older, { untyped: true });
  } finally {
    await older.close();
  }
});

async function tabTo(here: Visit, name: string, key = 'Tab'): Promise<void> {
  for (let i = 0; i < 40; ++i) {
    if ((await here.focused()).startsWith(name)) return;
    await here.page.press(key);
  }
  assert.fail(`${name} is not reached with ${key}; at ${await here.focused()}`);
}

test('a conversation with the keyboard alone', async () => {
  const here = await Visit.begin(host.firefox, host.server.url, { 'lamina.engine': 'wasm', ...greedy(30) });
  await here.page.until(() => document.activeElement?.getAttribute('aria-label') === 'Your message');
  await here.page.type('What is the opposite of dark?');
  await here.page.press('Enter');
  await here.asked('What is the opposite of dark?');
  assert.match(await here.answered(), /light/);
  await tabTo(here, 'Another answer', 'Shift+Tab');
  await here.page.press('Enter');
  await here.sees('.branches', '2/2');
  await here.answered();
  await here.page.press('Control+k');
  assert.equal(await here.focused(), 'Search conversations');
  await tabTo(here, 'Engine:');
  await here.page.press('Enter');
  await here.sees('.engine-panel .facts');
  await here.page.press('Escape');
  await here.page.until(() => document.querySelector('.engine-panel') === null);
  assert.match(await here.focused(), /^Engine:/);
  assert.deepEqual(here.page.errors, []);
  await here.page.close();
});
