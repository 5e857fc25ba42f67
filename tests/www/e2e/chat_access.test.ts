// SPDX-License-Identifier: Apache-2.0
// For everybody: axe finds nothing on any page in any theme, views scroll and the page does not, and a
// conversation needs no pointer.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { open, SOURCE } from '../support/browser.ts';
import { answered, ask, greedy, importConversation } from '../support/chat.ts';
import { hosted } from '../support/host.ts';

const AXE = fs.readFileSync(path.join(SOURCE, 'www/node_modules/axe-core/axe.min.js'), 'utf8');
const RICH = `# Title\n\n## Part\n\nSome *text* with a [link](https://example.org).\n\n- one\n- two\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n
\`\`\`js\n// a comment\nconst x = "text" + 1;\nclass A { f() { return null; } }\n\`\`\`\n\n> quoted\n`;

const host = hosted();

interface Violation {
  id: string;
  nodes: { html: string; failureSummary?: string }[];
}

async function violations(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: AXE }); // past the page's policy, as a debugger is
  const { violations: all } = await page.evaluate(() =>
    (globalThis as unknown as { axe: { run: () => Promise<{ violations: Violation[] }> } }).axe.run());
  return all.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} ${failureSummary ?? ''}`));
}

// Whatever takes the focus could push the frame out of sight then.
const pageScrolls = (page: Page) => page.evaluate(() => {
  const { scrollHeight, clientHeight } = document.documentElement;
  return scrollHeight > clientHeight;
});

for (const theme of ['light', 'dark']) {
  for (const [device, width, height] of [['desktop', 1280, 800], ['mobile', 390, 844]] as const) {
    test(`axe finds nothing: ${theme}, ${device}`, async () => {
      const { page, context } = await open(host.browser, host.server.url, { 'lamina.theme': theme, 'lamina.engine': 'wasm', ...greedy(24) });
      await page.setViewportSize({ width, height });
      const seen: string[] = [];
      const look = async (where: string) => {
        seen.push(...(await violations(page)).map((one) => `${where}: ${one}`));
        if (await pageScrolls(page)) seen.push(`${where}: the page itself scrolls, and not its view`);
      };
      await look('empty');
      await ask(page, 'Tell me a story about an owl and a bell.');
      await answered(page);
      await look('answer');
      await page.locator('.badge').click();
      await look('engine');
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'Conversation settings' }).click();
      await look('options');
      await page.keyboard.press('Escape');
      await importConversation(page, host.server.url, 'Rich', ['Show me everything', RICH]);
      await look('settings');
      await page.evaluate(() => document.querySelector<HTMLElement>('.conversation a[title=Rich]')?.click());
      await page.locator('.hljs-keyword').first().waitFor();
      await look('markdown');
      for (const view of ['models', 'performance']) {
        await page.goto(`${host.server.url}#/${view}`);
        await page.locator('main h1').waitFor();
        await look(view);
      }
      if (device === 'mobile') {
        await page.getByRole('button', { name: 'Open the sidebar' }).click();
        await page.waitForTimeout(300);
        await look('sidebar');
      }
      assert.deepEqual(seen, []);
      await context.close();
    });
  }
}

const focused = (page: Page) => page.evaluate(() => {
  const at = document.activeElement;
  return at?.getAttribute('aria-label') ?? at?.textContent?.trim() ?? '';
});

async function tabTo(page: Page, name: string, key = 'Tab'): Promise<void> {
  for (let i = 0; i < 40; ++i) {
    if ((await focused(page)).startsWith(name)) return;
    await page.keyboard.press(key);
  }
  assert.fail(`${name} is not reached with ${key}; at ${await focused(page)}`);
}

test('a conversation with the keyboard alone', async () => {
  const { page, context, errors } = await open(host.browser, host.server.url, { 'lamina.engine': 'wasm', ...greedy(30) });
  await page.locator('.composer textarea').waitFor();
  assert.equal(await focused(page), 'Your message');
  await page.keyboard.type('What is the opposite of dark?');
  await page.keyboard.press('Enter');
  const first = await answered(page);
  await tabTo(page, 'Another answer', 'Shift+Tab');
  await page.keyboard.press('Enter');
  await page.getByText('2/2').waitFor();
  await answered(page);
  await tabTo(page, 'Edit', 'Shift+Tab');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('What is the opposite of happy?');
  await page.keyboard.press('Enter');
  await page.locator('.bubble', { hasText: 'happy' }).waitFor();
  assert.notEqual(await answered(page), first);
  await page.keyboard.press('Control+k');
  assert.equal(await focused(page), 'Search conversations');
  await page.keyboard.type('opposite');
  await tabTo(page, 'Actions for');
  await page.keyboard.press('Enter');
  assert.equal(await focused(page), 'Rename');
  await page.keyboard.press('Enter');
  await page.keyboard.type('By keyboard');
  await page.keyboard.press('Enter');
  await page.locator('.conversation', { hasText: 'By keyboard' }).waitFor();
  await tabTo(page, 'Engine:');
  await page.keyboard.press('Enter');
  await page.locator('.engine-panel').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('.engine-panel').waitFor({ state: 'detached' });
  assert.match(await focused(page), /^Engine:/);
  assert.deepEqual(errors, []);
  await context.close();
});

test('the first Tab skips to the content', async () => {
  const { page, context } = await open(host.browser, `${host.server.url}#/settings`);
  await page.locator('main h1').waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await focused(page), 'Skip to the content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.localName), 'main');
  await context.close();
});

test('answers are told by sentences', async () => {
  const { page, context } = await open(host.browser, host.server.url, { 'lamina.engine': 'wasm', ...greedy(60) });
  await ask(page, 'Tell me a story about an owl and a bell.');
  const text = await answered(page);
  await page.waitForFunction(() => document.querySelector('[role=log]')?.textContent?.includes('complete') ?? false);
  const told = await page.locator('[role=log] p').allTextContents();
  assert.ok(told.length <= 12 && told.length >= 3, `${told.length} announcements`);
  assert.ok(told.slice(1, -1).join(' ').startsWith(text.slice(0, 30)));
  await context.close();
});

test('without motion nothing moves', async () => {
  const { page, context } = await open(host.browser, host.server.url);
  await page.emulateMedia({ reducedMotion: 'reduce' });
  const slow = await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue('--slow').trim());
  assert.equal(Number.parseFloat(slow), 0);
  await context.close();
});
