// SPDX-License-Identifier: Apache-2.0
// Settings from four sources, the binary's other name, the end by signals.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { Client, Daemon, textOf, within, workFile } from './daemon.mjs';

const long = { ignore_eos: true, max_tokens: 1900, seed: 7, prompt: 'Once upon a time' };

test('flags win over the environment, that over the file, that over defaults', async () => {
  fs.writeFileSync(workFile('file.json'), JSON.stringify({ context: 256, parallel: 3, queue: 5, grace: 7 }));
  const file = ['--config', workFile('file.json')];
  const env = { LAMINA_CTX: '512', LAMINA_PARALLEL: '4' };
  const facts = async (args, more) => {
    const daemon = await Daemon.start(args, more);
    const client = await Client.hello(daemon);
    client.say({ type: 'status', interval: 1 });
    const { models: [model] } = await client.next((f) => f.type === 'status');
    await client.close();
    assert.equal((await daemon.stop()).code, 0);
    return [model.context, model.parallel];
  };
  assert.deepEqual(await facts([...file], {}), [256, 3]);
  assert.deepEqual(await facts([...file], env), [512, 4]);
  assert.deepEqual(await facts([...file, '--ctx', '1024'], env), [1024, 4]);
  const explain = (args) => JSON.parse(execFileSync(process.env.LAMINA, ['config', '--json', ...args],
    { env: { ...process.env, ...env } }));
  const told = explain([...file, '--ctx', '1024']);
  const sources = (name) => [told[name], ...told[name].overridden].map((s) => s.values[0]);
  assert.deepEqual(sources('context'), ['1024', '512', '256', '0']);
  assert.deepEqual(sources('parallel'), ['4', '3', '8']);
  assert.deepEqual(sources('grace'), ['7', '30']);
  assert.equal(told.context.from, '--ctx-size');
  assert.match(told.queue.from, /file\.json: queue$/);
});

test('a wrong setting names its source', async () => {
  const refused = async (args, env, says) => {
    const daemon = Daemon.launch(['--port', '0', ...args], env);
    const { code } = await within(60000, daemon.exited, 'refusal');
    assert.equal(code, 2, daemon.log);
    assert.match(daemon.log, says);
  };
  fs.writeFileSync(workFile('typo.json'), '{"prot": 1}');
  fs.writeFileSync(workFile('broken.json'), '{');
  await refused(['--config', workFile('typo.json')], {}, /typo\.json.*prot/);
  await refused(['--config', workFile('broken.json')], {}, /broken\.json/);
  await refused([], { LAMINA_PARALLEL: 'many' }, /LAMINA_PARALLEL/);
  await refused(['--parallel', '0'], {}, /--parallel/);
});

test('as laminad', async () => {
  fs.symlinkSync(process.env.LAMINA, workFile('laminad'));
  const daemon = await Daemon.start(['-m', process.env.BUILT_MODEL], {}, workFile('laminad'), []);
  const list = await (await daemon.get('/v1/models')).json();
  assert.deepEqual(list.data.map((m) => m.id), ['storyteller']);
  assert.equal((await daemon.stop('SIGINT')).code, 0);
});

test('a port that is taken is an error, not a crash', async () => {
  const other = net.createServer().listen(0, '127.0.0.1');
  await new Promise((done) => other.once('listening', done));
  const daemon = Daemon.launch(['--port', String(other.address().port)]);
  const { code } = await within(60000, daemon.exited, 'refusal');
  other.close();
  assert.ok(code > 0, String(code));
  assert.match(daemon.log, /in use/);
});

test('SIGTERM: answers end, nothing new begins, waiting ones are answered', async () => {
  const daemon = await Daemon.start(['--parallel', '1', '--drain', '60']);
  const client = await Client.hello(daemon);
  for (const id of ['a', 'b']) client.say({ type: 'generate', id, ...long, max_tokens: 1200 });
  await client.next((f) => f.id === 'a' && f.type === 'token');
  const left = daemon.stop();
  // Not listening for work any more: refused with a word, or, at the end, at the door.
  await within(30000, (async () => {
    while ((await fetch(`${daemon.url}/health/ready`)).status === 200);
  })(), 'not ready');
  client.say({ type: 'generate', id: 'late', prompt: 'x' });
  assert.equal((await client.last('late')).type, 'error');
  for (const id of ['a', 'b']) {
    const done = await client.last(id);
    assert.equal(done.usage?.completion_tokens, 1200, JSON.stringify(done));
    assert.ok(textOf(client.of(id)).length > 100);
  }
  assert.equal(await within(10000, client.closed, 'close'), 1001);
  assert.deepEqual(await left, { code: 0, signal: null });
});

test('a drain that is over cuts what is left', async () => {
  const daemon = await Daemon.start(['--drain', '1', '--parallel', '1']);
  const client = await Client.hello(daemon);
  // More work than a second holds, told of to the end.
  for (let i = 0; i < 30; ++i) client.say({ type: 'generate', id: `g${i}`, ...long });
  await client.next((f) => f.type === 'token');
  const how = await daemon.stop();
  assert.deepEqual(how, { code: 0, signal: null });
  assert.equal(await within(10000, client.closed, 'close'), 1001);
});
