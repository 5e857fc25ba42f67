// SPDX-License-Identifier: Apache-2.0
// A conversation on a plain static host, computed in WebAssembly.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { open, type Opened } from '../support/browser.ts';
import { answered, answers, ask, begun, composer, greedy, LONG, stopButton } from '../support/chat.ts';
import { hosted } from '../support/host.ts';

const STORY = 'Tell me a story about an owl and a bell.';

const host = hosted();

async function chat(work: (opened: Opened) => Promise<void>, storage: Record<string, unknown> = greedy(40)): Promise<void> {
  const opened = await open(host.browser, host.server.url, { 'lamina.engine': 'wasm', ...storage });
  await work(opened);
  assert.deepEqual(opened.errors, []);
  await opened.context.close();
}

test('a first visit: one click to an answer, which is there after a reload', () => chat(async ({ page }) => {
  await page.getByRole('button', { name: STORY }).click();
  await begun(page);
  const text = await answered(page);
  assert.match(text, /There once was/);
  await page.locator('.numbers', { hasText: 'tokens/s' }).waitFor();
  await page.locator('.badge', { hasText: 'WebAssembly' }).waitFor();
  assert.match(page.url(), /#\/chat\/\w+$/);
  await page.reload();
  assert.equal(await answered(page), text);
  await page.locator('.conversation.here', { hasText: STORY.slice(0, 20) }).waitFor();
}));

test('an example that is clicked the moment a new chat is asked for begins a conversation of its own', () => chat(async ({ page }) => {
  await ask(page, 'What is the opposite of dark?');
  await answered(page);
  const old = page.url();
  await page.evaluate((story) => {
    const find = (words: string) => [...document.querySelectorAll<HTMLElement>('a, button')].find((b) => b.textContent?.trim() === words);
    // As soon as the button is there, before anything else that waits.
    new MutationObserver((_, observer) => {
      const button = find(story);
      if (button) observer.disconnect();
      button?.click();
    }).observe(document.body, { subtree: true, childList: true });
    find('New chat')?.click();
  }, STORY);
  await page.waitForFunction((url) => location.href !== url && /chat\/\w+$/.test(location.href), old);
  await answered(page);
  assert.equal(await page.locator('.message.user').count(), 1);
  assert.equal(await page.locator('.conversation').count(), 2);
}));

test('stop ends the answer with what there is, by button and by key; it can go on', () => chat(async ({ page }) => {
  await ask(page, STORY);
  await begun(page);
  await stopButton(page).click();
  const first = await answered(page);
  await page.getByText('Stopped', { exact: true }).waitFor();
  assert.ok(first.length > 12);
  await page.getByRole('button', { name: 'Continue this answer' }).click();
  await page.waitForFunction((n) => (document.querySelector('.message.answer.last .markdown')?.textContent ?? '').length > n + 20, first.length);
  await page.keyboard.press('Escape');
  const second = await answered(page);
  assert.ok(second.startsWith(first), `${JSON.stringify(second)} goes on from ${JSON.stringify(first)}`);
}, LONG));

test('an answer that was stopped goes on as if it had not been', () => chat(async ({ page }) => {
  await ask(page, STORY);
  const whole = await answered(page);
  await page.goto(`${host.server.url}#/chat`);
  await page.evaluate(() => localStorage.setItem('lamina.sampling', JSON.stringify({ temperature: 0, maxTokens: 20, seed: 1 })));
  await page.reload();
  await ask(page, STORY);
  await answered(page);
  await page.getByRole('button', { name: 'Continue this answer' }).click();
  await page.getByText('Continue').waitFor({ state: 'detached' });
  await page.waitForFunction((n) => (document.querySelector('.message.answer.last .markdown')?.textContent ?? '').length >= n, whole.length);
  assert.equal(await answered(page), whole);
}));

test('another answer is a branch beside the first', () => chat(async ({ page }) => {
  await ask(page, STORY);
  const first = await answered(page);
  await page.getByRole('button', { name: 'Another answer' }).click();
  await page.getByText('2/2').waitFor();
  const second = await answered(page);
  assert.notEqual(first, second);
  await page.getByRole('button', { name: 'Previous version' }).click();
  await page.getByText('1/2').waitFor();
  assert.equal(await answered(page), first);
  await page.reload();
  assert.equal(await answered(page), first);
}, { 'lamina.sampling': { temperature: 1.2, maxTokens: 30 } }));

test('an edited question is a branch with its own answer', () => chat(async ({ page }) => {
  await ask(page, 'What is the opposite of dark?');
  const first = await answered(page);
  await page.locator('.message.user').hover();
  await page.getByRole('button', { name: 'Edit' }).click();
  const field = page.getByRole('textbox', { name: 'Edit your message' });
  await field.fill('What is the opposite of happy?');
  await field.press('Enter');
  await page.getByText('2/2').waitFor();
  const second = await answered(page);
  assert.notEqual(first, second);
  await page.locator('.message.user').hover();
  await page.getByRole('button', { name: 'Previous version' }).click();
  await page.locator('.bubble', { hasText: 'dark' }).waitFor();
  assert.equal(await answered(page), first);
}));

test('the system prompt and the length are heeded', () => chat(async ({ page }) => {
  await page.getByRole('button', { name: 'Conversation settings' }).click();
  await page.getByLabel('Longest answer, in tokens').fill('5');
  await page.getByLabel('System prompt').fill('Be brief.');
  await page.getByRole('button', { name: 'Done' }).click();
  await ask(page, STORY);
  await answered(page);
  await page.getByText('5 tokens', { exact: true }).waitFor();
  await page.getByText('The length you set is reached').waitFor();
  await page.locator('.gauge').waitFor();
  await page.getByRole('button', { name: 'Conversation settings' }).click();
  assert.equal(await page.getByLabel('System prompt').inputValue(), 'Be brief.');
}));

test('a message is read while the model arrives, and answered by itself', () => chat(async ({ page }) => {
  host.server.modelRate = 1_000_000;
  await ask(page, STORY);
  await page.getByText('Your question is read while the rest of the model arrives.').waitFor();
  assert.equal(await page.locator('.message.answer .numbers').count(), 0);
  host.server.modelRate = 0;
  assert.match(await answered(page), /once/);
}));

test('conversations are found, renamed, exported, deleted and brought back', () => chat(async ({ page }) => {
  await ask(page, 'What is the opposite of dark?');
  await answered(page);
  await page.getByRole('button', { name: 'New chat' }).click();
  await ask(page, STORY);
  await answered(page);
  assert.equal(await page.locator('.conversation').count(), 2);
  await page.keyboard.press('Control+k');
  await page.keyboard.type('light');
  await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 1);
  await page.getByRole('searchbox').fill('');
  const row = page.locator('.conversation', { hasText: 'opposite' });
  await row.hover();
  await row.getByRole('button').click();
  await page.getByRole('menuitem', { name: 'Rename' }).click();
  await page.keyboard.type('Light and dark');
  await page.keyboard.press('Enter');
  const named = page.locator('.conversation', { hasText: 'Light and dark' });
  await named.hover();
  await named.getByRole('button').click();
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: 'Export as Markdown' }).click()]);
  assert.equal(file.suggestedFilename(), 'Light-and-dark.md');
  assert.match(fs.readFileSync(await file.path(), 'utf8'), /^# Light and dark\n[^]*## Model/);
  await named.hover();
  await named.getByRole('button').click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.conversation').length === 1);
  await page.getByRole('button', { name: 'Undo' }).click();
  await named.waitFor();
}));

test('all conversations leave as JSON and come in again', () => chat(async ({ page }) => {
  await ask(page, STORY);
  const text = await answered(page);
  await page.goto(`${host.server.url}#/settings`);
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export all as JSON' }).click()]);
  await page.getByRole('button', { name: 'Delete all' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByText('Your conversations will be listed here').waitFor();
  await page.locator('input[type=file]').setInputFiles(await file.path());
  await page.locator('.conversation a').click();
  assert.equal(await answered(page), text);
}));

test('a page that is closed in mid-answer keeps what was written', () => chat(async ({ page }) => {
  await ask(page, STORY);
  await begun(page);
  await page.reload();
  await page.getByText('Interrupted').waitFor();
  assert.ok((await answered(page)).length > 0);
}, { 'lamina.sampling': { temperature: 1, maxTokens: 0, repeatPenalty: 1 } }));

test('a model that is not there is told, and answers begin when it is', () => chat(async ({ page }) => {
  host.server.instead.set('/models/storyteller/manifest.json', '{"format":"nothing"}');
  await ask(page, STORY);
  const failed = page.locator('.answer-failed');
  await failed.waitFor(); // the answer's own failure, not that of the load that began with the writing
  host.server.instead.clear();
  await failed.getByRole('button', { name: 'Try again' }).click();
  assert.match(await answered(page), /once/);
}));

test('what is written stays in the field until it is sent', () => chat(async ({ page }) => {
  await composer(page).fill('Half a thought');
  await page.goto(`${host.server.url}#/settings`);
  await page.goBack();
  assert.equal(await composer(page).inputValue(), 'Half a thought');
  await composer(page).press('Shift+Enter');
  assert.equal(await answers(page).count(), 0);
}));
