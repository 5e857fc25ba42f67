// SPDX-License-Identifier: Apache-2.0
// A reader that stops reading in mid-answer: its own generations wait, nobody else's, and nothing is
// lost, doubled or piled up.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { Client, Daemon, textOf } from './daemon.mjs';

let daemon, watcher;
before(async () => {
  daemon = await Daemon.start(['--parallel', '8']);
  watcher = await Client.hello(daemon);
});
after(() => daemon?.child.kill('SIGKILL'));

// More to write than the kernel takes for one connection, which is some megabytes on loopback.
const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
const much = (id) => ({
  type: 'generate', id, prompt: 'Once upon a time', ignore_eos: true, max_tokens: 1900, logprobs: 20,
  seed: id.charCodeAt(0),
});
const tokensOf = (frames) => frames.flatMap((f) => f.tokens ?? []);
const bytesOf = (frames) => frames.reduce((sum, f) => sum + JSON.stringify(f).length, 0);

// The first status from now on that `wanted` takes.
async function status(wanted = () => true) {
  const from = watcher.frames.length;
  watcher.say({ type: 'status', interval: 0.1 });
  const frame = await watcher.next((f) => f.type === 'status' && watcher.frames.indexOf(f) >= from && wanted(f), 60000);
  watcher.say({ type: 'status', subscribe: false });
  return frame;
}
// Some run, and for a second none of them got a token: they wait for their readers.
const standing = (f) => f.models[0].running > 0 && f.models[0].tokens_per_second === 0;

test('a WebSocket that is not read: its generations wait, others go on', async () => {
  const quick = await Client.hello(daemon);
  for (const id of ids) quick.say(much(id));
  for (const id of ids) await quick.last(id);
  const written = bytesOf(quick.frames);
  // More than the KV cache holds, so that all its memory is in use before this is measured.
  const others = [...'ABCDEFGHI'];
  for (const id of others) quick.say({ ...much(id), logprobs: undefined });
  for (const id of others) await quick.last(id);
  const before = (await status()).memory.resident;

  const slow = await Client.hello(daemon);
  for (const id of ids) slow.say(much(id));
  await slow.next((f) => f.type === 'token');
  slow.socket.pause();
  // Somebody else gets a whole answer as long as one of those meanwhile.
  quick.say({ ...much('a'), id: 'x', logprobs: undefined });
  assert.equal((await quick.last('x')).usage.completion_tokens, 1900);
  assert.deepEqual(tokensOf(quick.of('x')), tokensOf(quick.of('a')));
  const held = await status(standing);
  assert.equal(held.models[0].running, ids.length);
  const grown = held.memory.resident - before;
  assert.ok(grown < 6e6, `${grown} bytes more for ${written} that nobody reads`);
  // Now they get every step.
  quick.say({ ...much('a'), id: 'y', logprobs: undefined, max_tokens: 500 });
  assert.equal((await quick.last('y')).usage.completion_tokens, 500);
  assert.ok(!slow.frames.some((f) => f.type === 'done'));

  slow.socket.resume();
  for (const id of ids) {
    const done = await slow.last(id);
    assert.equal(done.finish, 'length');
    slow.of(id).forEach((f, i) => assert.equal(f.seq, i + 1));
    assert.deepEqual(tokensOf(slow.of(id)), tokensOf(quick.of(id)));
    assert.equal(textOf(slow.of(id)), textOf(quick.of(id)));
  }
  await slow.close();
  await quick.close();
});

test('a stream of events that is not read', async () => {
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'A story!' }], max_tokens: 1900, seed: 1,
    logprobs: true, top_logprobs: 20, n: 6, stream: true, logit_bias: { 1: -100, 4: -100 } });
  const ask = () => new Promise((done, fail) => {
    http.request(`${daemon.url}/v1/chat/completions`, { method: 'POST', agent: false, headers: daemon.auth }, done)
      .on('error', fail).end(body);
  });
  const quick = textsOf(await read(await ask()));
  // Who does not listen for data does not read from the network.
  const slow = await ask();
  assert.equal(slow.statusCode, 200);
  assert.equal((await status(standing)).models[0].running, 6);
  assert.deepEqual(textsOf(await read(slow)), quick);
  assert.equal((await status((f) => f.models[0].running === 0)).models[0].queued, 0);
});

async function read(response) {
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += part;
  return text;
}

// The choices' texts out of a whole stream.
function textsOf(stream) {
  assert.ok(stream.endsWith('data: [DONE]\n\n'), stream.slice(-200));
  const texts = [];
  for (const line of stream.split('\n\n')) {
    if (!line.startsWith('data: {')) continue;
    for (const c of JSON.parse(line.slice(6)).choices) texts[c.index] = (texts[c.index] ?? '') + (c.delta.content ?? '');
  }
  assert.equal(texts.length, 6);
  return texts;
}
