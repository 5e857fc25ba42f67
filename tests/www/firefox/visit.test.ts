// SPDX-License-Identifier: Apache-2.0
// A visit to a plain static host that sends no headers, computed in WebAssembly.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { greedy, LONG } from '../support/chat.ts';
import { hosted, STORY, Visit } from './support.ts';

const host = hosted();

async function visit(work: (visit: Visit) => Promise<void>, storage: Record<string, unknown> = greedy(40)): Promise<void> {
  const begun = await Visit.begin(host.firefox, host.server.url, storage);
  await work(begun);
  assert.deepEqual(begun.page.errors, []);
  await begun.page.close();
}

test('a first visit: threads, one click to an answer, the way on, and all of it without network', () => visit(async (here) => {
  await here.offlineReady();
  await here.click('.example', STORY);
  const first = await here.answered();
  assert.match(first, /There once was/);
  await here.badge('WebAssembly');
  assert.ok(host.server.count('.bin') > 0, 'the model came from the host');
  await here.sees('.message.answer.last .numbers span', 'on WebAssembly');
  await here.click('.badge');
  const facts = await here.page.run(() => document.querySelector<HTMLElement>('.facts')?.innerText ?? '');
  assert.match(facts, /WebAssembly, \d+ threads/);
  assert.match(facts, /WebGPU is not used: this browser offers no WebGPU to this page/);
  await here.page.run(() => (document.activeElement as HTMLElement).blur());
  await here.page.press('Escape');
  await here.page.until(() => document.querySelector('.engine-panel') === null);

  await here.ask('What is the opposite of dark?');
  assert.match(await here.answered(), /light/);
  host.server.asked.length = 0;
  await here.page.reload();
  assert.match(await here.answered(), /light/, 'the conversation is still there');
  await here.ask('What is the opposite of happy?');
  const third = await here.answered();
  assert.match(third, /sad/);
  assert.equal(host.server.count('.bin'), 0, 'the model is still there');

  await host.server.down();
  try {
    await here.page.reload();
    assert.equal(await here.answered(), third);
    await here.badge('WebAssembly'); // while a model loads the examples move
    await here.click('.sidebar a, .sidebar button', 'New chat');
    await here.click('.example', STORY);
    await here.asked(STORY);
    assert.equal(await here.answered(), first);
    for (const view of ['models', 'performance', 'settings']) {
      await here.page.run((name) => (location.hash = `#/${name}`), view);
      await here.sees('main h1');
    }
  } finally {
    await host.server.up();
  }
}));

test('stop ends the answer with what there is, by button and by key; it can go on', () => visit(async (here) => {
  await here.ask(STORY);
  await here.grown(12);
  await here.click('.send', 'Stop');
  const first = await here.answered();
  await here.sees('.end-line', 'Stopped');
  await here.click('.actions button', 'Continue this answer');
  await here.grown(first.length + 20);
  await here.page.press('Escape');
  const second = await here.answered();
  assert.ok(second.startsWith(first), `${JSON.stringify(second)} goes on from ${JSON.stringify(first)}`);
}, { 'lamina.engine': 'wasm', ...LONG }));

test('a model is kept without waiting for what the user lets the browser do, a conversation is saved', () => visit(async (here) => {
  await here.offlineReady();
  await here.page.run(() => (location.hash = '#/models'));
  await here.click('.model-card button', 'Keep on this device');
  await here.sees('.model-card .chip.good');
  await here.click('.model-card button', 'Use');
  host.server.asked.length = 0;
  await here.page.run(() => (location.hash = '#/chat'));
  await here.ask(STORY);
  const text = await here.answered();
  assert.equal(host.server.count('.bin'), 0);
  await here.page.run(() => (location.hash = '#/settings'));
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lamina-saved-'));
  try {
    const file = await here.page.saved(folder, () => here.click('.buttons button', 'Export all as Markdown'));
    assert.ok(file.endsWith('.md'), file);
    assert.ok(fs.readFileSync(file, 'utf8').includes(text));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}));
