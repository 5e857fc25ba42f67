// SPDX-License-Identifier: Apache-2.0
// The models and performance pages as the daemon serves them: its models need its token, and what is
// kept of them answers when it is gone.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launch, offlineReady, open } from '../support/browser.ts';
import { Daemon } from '../support/daemon.ts';

let browser: Browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

async function withDaemon(work: (page: Page, daemon: Daemon) => Promise<void>): Promise<void> {
  const daemon = await Daemon.start();
  const { page, context, errors } = await open(browser, daemon.url);
  try {
    await work(page, daemon);
    assert.deepEqual(errors, []);
  } finally {
    await context.close();
    await daemon.close();
  }
}

const show = (page: Page, view: string) => page.evaluate((name) => {
  location.hash = `#/${name}`;
}, view);

test('a model kept on the device answers when the daemon is gone', () => withDaemon(async (page, daemon) => {
  await offlineReady(page);
  await show(page, 'models');
  const card = page.locator('.model-card').first();
  await card.getByRole('button', { name: 'Keep on this device' }).click();
  await card.locator('.chip.good').waitFor();
  await daemon.kill();
  await page.reload();
  await show(page, 'chat');
  await page.locator('textarea').fill('Tell me a story about an owl.');
  await page.locator('textarea').press('Enter');
  const answer = page.locator('.message.answer');
  await answer.locator('.numbers').waitFor({ timeout: 60_000 });
  const text = await answer.innerText();
  assert.ok(text.length > 60, text);
  assert.match(await page.locator('.badge').innerText(), /WebAssembly/, text);
}));

test('the comparison measures WebAssembly and the daemon, says why WebGPU is not, and is saved', () =>
  withDaemon(async (page) => {
    await show(page, 'performance');
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByRole('button', { name: 'Run again' }).waitFor({ timeout: 120_000 });
    const [saved] = await Promise.all([
      page.waitForEvent('download'), page.getByRole('button', { name: 'Save as JSON' }).click(),
    ]);
    const { rows, format, machine } = JSON.parse(fs.readFileSync(await saved.path(), 'utf8')) as {
      format: string; machine: { isolated: boolean };
      rows: { engine: string; tokensPerSecond?: number; tokens?: number; skipped?: string; memory?: { weights: number } }[];
    };
    assert.equal(format, 'lamina-bench');
    assert.equal(machine.isolated, true);
    const of = (engine: string) => rows.find((row) => row.engine === engine);
    assert.match(of('webgpu')?.skipped ?? '', /WebGPU|adapter/);
    for (const engine of ['wasm', 'daemon']) {
      const row = of(engine);
      assert.ok((row?.tokensPerSecond ?? 0) > 1, JSON.stringify(row));
      assert.equal(row?.tokens, 64);
      assert.ok((row?.memory?.weights ?? 0) > 1e6);
    }
    await page.getByText('This build of the page has no address to send anything to').waitFor();
  }));

test('an answer moves the plot and is counted', () => withDaemon(async (page) => {
  await page.locator('textarea').fill('Tell me a story about a bear.');
  await page.locator('textarea').press('Enter');
  await page.locator('.message.answer .numbers').waitFor({ timeout: 60_000 });
  await show(page, 'performance');
  await page.getByRole('img', { name: /Tokens a second over the last/ }).waitFor();
  await page.locator('.plot-line[d^="M"]').waitFor({ state: 'attached', timeout: 30_000 });
  await page.locator('.memory-kinds').getByText('Weights').waitFor();
}));
