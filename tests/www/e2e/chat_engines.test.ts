// SPDX-License-Identifier: Apache-2.0
// Engines under a conversation: the badge's reasons, moves in mid-answer, the daemon, its loss.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { launch, offlineReady, open } from '../support/browser.ts';
import { answered, ask, begun, greedy, lastText, LONG, stopButton } from '../support/chat.ts';
import { Daemon } from '../support/daemon.ts';
import { hosted } from '../support/host.ts';

const STORY = 'Tell me a story about an owl and a bell.';

const host = hosted({ webgpu: true });

async function withDaemon(work: (daemon: Daemon) => Promise<void>): Promise<void> {
  const daemon = await Daemon.start();
  try {
    await work(daemon);
  } finally {
    await daemon.close();
  }
}

// Not "Moving to …".
const badge = (page: Page, engine: string) =>
  page.locator('.badge', { hasText: new RegExp(`^\\s*${engine}`) }).waitFor({ timeout: 60_000 });

async function moveTo(page: Page, engine: string): Promise<void> {
  await page.locator('.badge').click();
  await page.locator('.engine-kind', { hasText: engine }).click();
}

test('the badge says what computes and why', async () => {
  const { page, context, errors } = await open(host.browser, host.server.url, { 'lamina.engine': 'wasm', ...greedy(8) });
  await ask(page, STORY);
  await answered(page);
  await page.locator('.badge').click();
  const facts = await page.locator('.facts').innerText();
  assert.match(facts, /WebAssembly, 2 threads/);
  assert.match(facts, /storyteller/);
  assert.match(facts, /asked for/);
  assert.deepEqual(errors, []);
  await context.close();
});

test('without WebGPU the page says that it is slow, and answers', async () => {
  const plain = await launch();
  const { page, context } = await open(plain, host.server.url, greedy(8));
  await ask(page, STORY);
  await answered(page);
  await page.getByText('Low-performance mode.').first().waitFor();
  await badge(page, 'WebAssembly');
  await page.getByRole('button', { name: 'Dismiss' }).first().click();
  assert.equal(await page.locator('.slow-notice').count(), 0);
  await context.close();
  await plain.close();
});

test('time per operation, on WebGPU and in WebAssembly', async () => {
  const { page, context, errors } = await open(host.browser, host.server.url, { 'lamina.engine': 'webgpu', ...greedy(4) });
  await ask(page, STORY);
  await answered(page);
  const table = page.getByRole('region', { name: 'Time per operation' }).getByRole('table');
  const measured = async () => {
    await page.evaluate(() => (location.hash = '#/performance'));
    await page.getByRole('button', { name: 'Measure', exact: true }).click();
    await table.waitFor({ timeout: 120_000 });
    const rows = await table.locator('tbody tr').allInnerTexts();
    for (const row of rows) assert.match(row, /[1-9][\d.,]* µs/);
    return rows;
  };
  assert.ok((await measured()).length > 5);
  await moveTo(page, 'WebAssembly');
  await badge(page, 'WebAssembly');
  const rows = await measured();
  for (const op of ['qkv_rope', 'attention', 'matmul_add', 'gate_up_silu', 'logits']) {
    assert.ok(rows.some((row) => row.startsWith(op)), `${op} in ${rows.join('\n')}`);
  }
  assert.deepEqual(errors, []);
  await context.close();
});

test('a greedy answer moves from WebAssembly to WebGPU and stays the same', async () => {
  const { page, context, errors } = await open(host.browser, host.server.url, { 'lamina.engine': 'wasm', ...greedy(100) });
  await ask(page, STORY);
  const whole = await answered(page);
  await page.getByRole('button', { name: 'Another answer' }).click();
  await begun(page);
  await moveTo(page, 'WebGPU');
  await badge(page, 'WebGPU');
  await page.getByText('2/2').waitFor();
  assert.equal((await answered(page)).slice(0, 60), whole.slice(0, 60));
  assert.deepEqual(errors, []);
  await context.close();
});

test('from the daemon: the token leaves the address, and the daemon answers', () => withDaemon(async (daemon) => {
  const { page, context, errors } = await open(host.browser, daemon.url, greedy(30));
  await badge(page, 'Daemon');
  assert.ok(!page.url().includes(daemon.token));
  assert.ok(!(await page.evaluate(() => JSON.stringify({ ...localStorage }))).includes(daemon.token));
  await page.getByRole('button', { name: STORY }).click();
  assert.match(await answered(page), /once/);
  await page.getByText('on Daemon').waitFor();
  const first = await answered(page);
  await page.getByRole('button', { name: 'Continue this answer' }).click();
  await page.waitForFunction((n) => (document.querySelector('.message.answer.last .markdown')?.textContent ?? '').length > n + 20, first.length);
  assert.ok((await answered(page)).startsWith(first));
  await page.reload();
  await badge(page, 'Daemon');
  await ask(page, 'What is the opposite of dark?');
  assert.match(await answered(page), /light/);
  assert.deepEqual(errors, []);
  await context.close();
}));

test('an answer moves from the browser to the daemon and goes on', () => withDaemon(async (daemon) => {
  const { page, context, errors } = await open(host.browser, daemon.url, { 'lamina.engine': 'wasm', ...LONG });
  await badge(page, 'WebAssembly');
  await ask(page, STORY);
  await begun(page);
  await moveTo(page, 'Daemon');
  await badge(page, 'Daemon');
  await page.getByText('on WebAssembly, then Daemon').waitFor({ timeout: 60_000 });
  assert.ok((await answered(page)).length > 100);
  assert.deepEqual(errors, []);
  await context.close();
}));

test('an answer moves from the daemon to the browser and goes on', () => withDaemon(async (daemon) => {
  const { page, context, errors } = await open(host.browser, daemon.url, LONG);
  await badge(page, 'Daemon');
  const atFullSpeed = daemon.slowDown(); // it answers 1,500 tokens in less time than a move takes
  await ask(page, STORY);
  await begun(page);
  await moveTo(page, 'WebAssembly');
  await badge(page, 'WebAssembly');
  atFullSpeed();
  const before = (await lastText(page)).length;
  await page.waitForFunction((n) => (document.querySelector('.message.answer.last .markdown')?.textContent ?? '').length > n + 40, before, { timeout: 60_000 });
  await stopButton(page).click();
  await page.getByText('on Daemon, then WebAssembly').waitFor({ timeout: 60_000 });
  assert.match(await lastText(page), /^(There once was|Once)/);
  assert.deepEqual(errors, []);
  await context.close();
}));

test('an answer goes on in the browser where the daemon is killed', () => withDaemon(async (daemon) => {
  const { page, context } = await open(host.browser, daemon.url, LONG);
  await badge(page, 'Daemon');
  await offlineReady(page);
  await moveTo(page, 'WebAssembly'); // so that the model is stored here
  await badge(page, 'WebAssembly');
  await moveTo(page, 'Daemon');
  await badge(page, 'Daemon');
  await ask(page, STORY);
  await begun(page);
  await daemon.kill();
  await page.getByText('the daemon is away', { exact: false }).first().waitFor();
  await page.getByText(/The daemon was lost|cannot go on/).first().waitFor({ timeout: 90_000 });
  assert.equal(await page.locator('.toast.error').allInnerTexts().then((all) => all.join()), '');
  assert.ok((await answered(page, 90_000)).length > 100);
  await context.close();
}));

test('a wrong token is told in words', () => withDaemon(async (daemon) => {
  const { page, context } = await open(host.browser, daemon.url.replace(daemon.token, 'wrong-token-0123456789'), greedy(8));
  await page.locator('.model-status.failed', { hasText: 'token' }).waitFor();
  await context.close();
}));
