// SPDX-License-Identifier: Apache-2.0
// A conversation as its user sees it.

import type { Locator, Page } from 'playwright-core';

export const composer = (page: Page): Locator => page.getByRole('textbox', { name: 'Your message' });
export const answers = (page: Page): Locator => page.locator('.message.answer');
export const stopButton = (page: Page): Locator => page.getByRole('button', { name: 'Stop' });

/** Greedy, so that the same question has the same answer; `longest` tokens, 0 for no limit. */
export function greedy(longest = 0): Record<string, unknown> {
  return { 'lamina.sampling': { temperature: 0, maxTokens: longest, seed: 1 } };
}

/** Long enough to be met in the middle: what was said is likelier to be said again, without an end. */
export const LONG = { 'lamina.sampling': { temperature: 0, repeatPenalty: 0.3, maxTokens: 1500 } };

/** Until the question is the conversation's last. */
export async function ask(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  await composer(page).press('Enter');
  await page.waitForFunction((said) => document.querySelector('.message:nth-last-child(2) .bubble')?.textContent === said, text);
}

/** Until nothing is being answered; the last answer's text. */
export async function answered(page: Page, ms = 60_000): Promise<string> {
  await page.locator('.message.answer.last .actions').waitFor({ timeout: ms });
  await page.locator('.message.answer.last .markdown[data-drawn]').waitFor({ state: 'attached' });
  return lastText(page);
}

export async function lastText(page: Page): Promise<string> {
  return (await page.locator('.message.answer.last .markdown').first().innerText()).trim();
}

/** Until the last answer has some text. */
export async function begun(page: Page, ms = 60_000): Promise<void> {
  await page.waitForFunction(
    () => (document.querySelector('.message.answer.last .markdown')?.textContent ?? '').length > 12, undefined, { timeout: ms });
}

/** As the settings' file field takes it. */
export function conversationFile(title: string, said: readonly string[]): { name: string; mimeType: string; buffer: Buffer } {
  const messages = said.map((content, i) => ({
    id: `m${i}`, conversation: 'c', parent: i === 0 ? null : `m${i - 1}`, role: i % 2 === 0 ? 'user' : 'assistant', content,
    created: 1_760_000_000_000 + i, end: 'done',
  }));
  const conversation = { id: 'c', title, named: true, created: 1, updated: 1_760_000_000_000, systemPrompt: '', leaf: messages.at(-1)?.id ?? null };
  const file = { format: 'lamina-conversations', version: 1, conversations: [{ conversation, messages }] };
  return { name: 'conversations.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(file)) };
}

export async function importConversation(page: Page, base: string, title: string, said: readonly string[]): Promise<void> {
  await page.goto(`${base}#/settings`);
  await page.locator('input[type=file]').setInputFiles(conversationFile(title, said));
  await page.locator('.conversation a', { hasText: title.slice(0, 20) }).first().waitFor({ state: 'attached' });
}
