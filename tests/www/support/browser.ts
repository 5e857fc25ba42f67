// SPDX-License-Identifier: Apache-2.0
// Chromium for the page's tests.

import { createRequire } from 'node:module';
import path from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';

export const SOURCE = path.join(import.meta.dirname, '../../..');
/** The built page; LAMINA_WWW_OUT names another folder. */
export const BUILT = process.env['LAMINA_WWW_OUT'] ?? path.join(SOURCE, 'build/www');

const { chromium } = createRequire(`${SOURCE}/www/package.json`)('playwright-core') as
  typeof import('playwright-core');

const FLAGS = [
  '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** `webgpu`: on SwiftShader; else the browser has no adapter. */
export function launch(options: { webgpu?: boolean } = {}): Promise<Browser> {
  const gpu = options.webgpu ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'] : [];
  const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
  const { VK_DRIVER_FILES: _, VK_ICD_FILENAMES: __, ...env } = process.env as Record<string, string>;
  return chromium.launch({ executablePath, args: [...FLAGS, ...gpu], env });
}

export interface Opened {
  context: BrowserContext;
  page: Page;
  /** What went wrong on the page, and what its policy refused. */
  errors: string[];
}

/** A context of its own, so with nothing stored. `storage` is put into localStorage first. */
export async function open(
  browser: Browser, url: string, storage: Readonly<Record<string, unknown>> = {},
): Promise<Opened> {
  const context = await browser.newContext({ acceptDownloads: true, locale: 'en-US' });
  const entries = Object.entries(storage).map(([name, value]) => [name, JSON.stringify(value)] as const);
  await context.addInitScript((all) => {
    for (const [name, value] of all) if (localStorage.getItem(name) === null) localStorage.setItem(name, value);
  }, entries);
  const page = await context.newPage();
  const errors = watch(page);
  await page.goto(url);
  return { context, page, errors };
}

export function watch(page: Page): string[] {
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource|ERR_/.test(message.text())) errors.push(message.text());
  });
  return errors;
}

/** Until `check`, run on the page again and again, gives true; page.waitForFunction() takes no promises. */
export async function until(page: Page, check: () => Promise<boolean>, ms = 30_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await page.evaluate(check).catch(() => false))) { // a page that reloads answers nothing
    if (Date.now() > end) throw new Error(`not so within ${ms} ms: ${check}`);
    await page.waitForTimeout(50);
  }
}

/** Until the page would open without network. */
export function offlineReady(page: Page): Promise<void> {
  return until(page, async () => {
    const found = await navigator.serviceWorker.getRegistration();
    return found?.active?.state === 'activated' && navigator.serviceWorker.controller !== null;
  });
}
