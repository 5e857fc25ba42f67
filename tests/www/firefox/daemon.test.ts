// SPDX-License-Identifier: Apache-2.0
// The page as the real daemon serves it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy, LONG } from '../support/chat.ts';
import { Daemon } from '../support/daemon.ts';
import { hosted, STORY, Visit } from './support.ts';

const host = hosted();

async function withDaemon(storage: Record<string, unknown>, work: (visit: Visit, daemon: Daemon) => Promise<void>): Promise<void> {
  const daemon = await Daemon.start();
  try {
    const visit = await Visit.begin(host.firefox, daemon.url, storage);
    await work(visit, daemon);
    assert.deepEqual(visit.page.errors, []);
    await visit.page.close();
  } finally {
    await daemon.close();
  }
}

test('the token leaves the address, and the daemon answers', () => withDaemon(greedy(30), async (here, daemon) => {
  await here.badge('Daemon');
  const kept = await here.page.run(() => location.href + JSON.stringify({ ...localStorage }) + JSON.stringify(history.state));
  assert.ok(!kept.includes(daemon.token), kept);
  await here.click('.example', STORY);
  assert.match(await here.answered(), /once/);
  await here.sees('.numbers span', 'on Daemon');
  await here.page.reload();
  await here.badge('Daemon');
  await here.ask('What is the opposite of dark?');
  assert.match(await here.answered(), /light/);
}));

test('an answer moves from the daemon to the browser and goes on', () => withDaemon(LONG, async (here, daemon) => {
  await here.badge('Daemon');
  const atFullSpeed = daemon.slowDown(); // it answers 1,500 tokens in less time than a move takes
  await here.ask(STORY);
  await here.grown(12);
  await here.moveTo('WebAssembly');
  await here.badge('WebAssembly');
  atFullSpeed();
  await here.grown((await here.text()).length + 40);
  await here.click('.send', 'Stop');
  await here.sees('.numbers span', 'on Daemon, then WebAssembly', 60_000);
  assert.match(await here.text(), /^(There once was|Once)/);
}));
