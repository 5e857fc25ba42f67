// SPDX-License-Identifier: Apache-2.0
// How quickly the page is there, and whether conversations leave memory behind:
//   node bench/www.mjs [--rounds 5] [--conversations 50]
// It starts build/release/bin/lamina with build/www (both as ./run leaves them; LAMINA and
// LAMINA_WWW_OUT name others) and Chromium (CHROMIUM, default /usr/bin/chromium). Cold: a new profile.
// Warm: the same profile again, by its service worker. First paint is the browser's own entry
// first-contentful-paint; interactive is when the message field is there and the last task of over
// 50 ms has ended. Memory is the page's heap after collection, with the conversation in view.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const root = path.join(import.meta.dirname, '..');
const { chromium } = createRequire(path.join(root, 'www/package.json'))('playwright-core');
const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, conversations: { type: 'string', default: '50' } },
});
const rounds = Number(values.rounds);
const conversations = Number(values.conversations);
const goals = { paint: 1000, interactive: 2000 };

async function startDaemon() {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'lamina-bench-'));
  const env = { ...process.env, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home, XDG_STATE_HOME: home };
  const ui = process.env.LAMINA_WWW_OUT ?? path.join(root, 'build/www');
  const lamina = process.env.LAMINA ?? path.join(root, 'build/release/bin/lamina');
  const daemon = spawn(lamina, ['serve', '--ui', ui, '--port', '0', '--backend', 'cpu'], { env });
  let said = '';
  const url = await new Promise((resolve, reject) => {
    for (const stream of [daemon.stdout, daemon.stderr]) {
      stream.on('data', (chunk) => {
        said += chunk;
        const found = /https?:\/\/\S+#token=\S+/.exec(said);
        if (found) resolve(found[0]);
      });
    }
    daemon.on('exit', (code) => reject(new Error(`lamina serve ended with ${code}: ${said}`)));
  });
  const stop = async () => {
    const ended = new Promise((done) => daemon.once('exit', done));
    daemon.kill('SIGKILL');
    await ended;
    fs.rmSync(home, { recursive: true, force: true });
  };
  return { url, stop };
}

// In the page, before anything else of it.
function watchStart() {
  const seen = { paint: 0, field: 0, busyUntil: 0 };
  globalThis.laminaStart = seen;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === 'first-contentful-paint') seen.paint = entry.startTime;
  }).observe({ type: 'paint', buffered: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) seen.busyUntil = entry.startTime + entry.duration;
  }).observe({ type: 'longtask', buffered: true });
  new MutationObserver((_, observer) => {
    if (!document.querySelector('textarea')) return;
    seen.field = performance.now();
    observer.disconnect();
  }).observe(document, { childList: true, subtree: true });
}

async function measureStart(page, load) {
  await load();
  await page.waitForFunction(() => globalThis.laminaStart?.field > 0 && globalThis.laminaStart.paint > 0);
  await page.waitForTimeout(1500);
  const { paint, field, busyUntil } = await page.evaluate(() => globalThis.laminaStart);
  return { paint, interactive: Math.max(field, busyUntil) };
}

async function serviceWorkerReady(page) {
  for (let tries = 0; tries < 200; ++tries) {
    const ready = await page.evaluate(async () =>
      (await navigator.serviceWorker.getRegistration())?.active?.state === 'activated').catch(() => false);
    if (ready) return;
    await page.waitForTimeout(100);
  }
  throw new Error('the service worker does not start');
}

async function starts(browser, url) {
  const cold = [];
  const warm = [];
  for (let round = 0; round < rounds; ++round) {
    const context = await browser.newContext();
    await context.addInitScript(watchStart);
    const page = await context.newPage();
    cold.push(await measureStart(page, () => page.goto(url)));
    await serviceWorkerReady(page);
    warm.push(await measureStart(page, () => page.reload()));
    await context.close();
  }
  return { cold, warm };
}

async function heapOf(session) {
  for (let i = 0; i < 3; ++i) await session.send('HeapProfiler.collectGarbage');
  const { usedSize } = await session.send('Runtime.getHeapUsage');
  const { nodes } = await session.send('Memory.getDOMCounters');
  return { megabytes: usedSize / 1e6, nodes };
}

// False when no answer came into view.
async function converse(page, text) {
  await page.getByRole('button', { name: 'New chat' }).or(page.getByRole('link', { name: 'New chat' })).click();
  await page.waitForFunction(() => document.querySelectorAll('article').length === 0);
  await page.waitForTimeout(200);
  await page.locator('textarea').fill(text);
  await page.locator('textarea').press('Enter');
  return page.locator('.message.answer .numbers').waitFor({ timeout: 10_000 }).then(() => true, () => false);
}

async function memory(browser, url) {
  const context = await browser.newContext();
  await context.addInitScript(() =>
    localStorage.setItem('lamina.sampling', JSON.stringify({ maxTokens: 24, temperature: 0 })));
  const page = await context.newPage();
  await page.goto(url);
  const session = await context.newCDPSession(page);
  const seen = [];
  for (let i = 1; i <= conversations; ++i) {
    while (!(await converse(page, `Tell me story number ${i}.`))) console.log(`conversation ${i} once more: no answer was shown`);
    if (i % 10 === 0) seen.push({ conversations: i, ...await heapOf(session) });
  }
  await context.close();
  return seen;
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const tell = (name, list) => {
  for (const kind of ['paint', 'interactive']) {
    const all = list.map((one) => one[kind]);
    const [middle, worst] = [median(all), Math.max(...all)];
    const held = worst < goals[kind] ? 'held' : middle < goals[kind] ? 'held in the middle' : 'missed';
    console.log(`${name} ${kind}: ${middle.toFixed(0)} ms, at worst ${worst.toFixed(0)} ms (goal ${goals[kind]} ms: ${held})`);
  }
};

const daemon = await startDaemon();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking'],
});
try {
  if (rounds > 0) {
    const { cold, warm } = await starts(browser, daemon.url);
    tell('cold', cold);
    tell('warm', warm);
  }
  if (conversations > 0) {
    for (const { conversations: n, megabytes, nodes } of await memory(browser, daemon.url)) {
      console.log(`after ${n} conversations: ${megabytes.toFixed(1)} MB of heap, ${nodes} nodes`);
    }
  }
} finally {
  await browser.close();
  await daemon.stop();
}
