// SPDX-License-Identifier: Apache-2.0
// Chromium for tests. chromium() is null, with the reason in `why`, where there is none.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const web = join(dirname(fileURLToPath(import.meta.url)), '../../../web/');
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

export const args = [
  '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
];

/** Playwright's driver with its options, or {why} when there is no browser to drive. */
export function findChromium() {
  if (!existsSync(executablePath)) return { why: `no ${executablePath} here (Debian: chromium)` };
  try {
    const { chromium } = createRequire(web)('playwright-core');
    return { chromium, options: { executablePath, headless: true, args } };
  } catch {
    return { why: 'no playwright-core: run npm ci in web/' };
  }
}
