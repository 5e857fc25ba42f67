// SPDX-License-Identifier: Apache-2.0
// The daemon transport against the real daemon, over wires that are cut.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { createEngine, type Engine, type Notice } from '../../../web/engine/index.ts';
import { Daemon, delay, LAMINA, Wire } from './support.ts';

let daemon: Daemon;
before(async () => {
  daemon = await Daemon.start(['--grace', '3']);
});
after(() => daemon?.stop());

const connect = (url = daemon.url, more: object = {}) =>
  createEngine({ engine: 'daemon', daemon: { url, token: daemon.token }, ...more });
const long = { prompt: 'Once upon a time', temperature: 0, ignore_eos: true, max_tokens: 300 };

const native = (prompt: string, tokens: number) => {
  const args = ['run', '--raw', '-t', '1', '--temp', '0', '-n', String(tokens), '-p', prompt];
  return execFileSync(LAMINA, args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString().trimEnd();
};

async function textOf(engine: Engine, request: object = long): Promise<string> {
  const answer = await engine.completions.create({ ...long, ...request, stream: false });
  return answer.choices[0]?.text ?? '';
}

test('the greedy answer is the native one, whole and streamed', async () => {
  await using engine = await connect();
  assert.equal(engine.info.engine, 'daemon');
  assert.equal(engine.info.model, 'storyteller');
  assert.match(engine.info.device, /cpu/);
  assert.ok(engine.info.memory.weights > 1e6);
  const wanted = native('Once upon a time', 60);
  const greedy = { prompt: 'Once upon a time', temperature: 0, max_tokens: 60 };
  const whole = await engine.completions.create(greedy);
  assert.equal(whole.choices[0]?.text.trimEnd(), wanted);
  let streamed = '';
  let last;
  for await (const chunk of await engine.completions.create({
    ...greedy, stream: true, stream_options: { include_usage: true },
  })) {
    streamed += chunk.choices[0]?.text ?? '';
    last = chunk;
  }
  assert.equal(streamed, whole.choices[0]?.text);
  assert.equal(last?.usage?.completion_tokens, whole.usage.completion_tokens);
  assert.ok((last?.usage?.timings.predicted_per_second ?? 0) > 0);
  assert.ok((last?.usage?.timings.first_token ?? 0) > 0);
});

test('chat, with a seed, a stop string and a bias', async () => {
  await using engine = await connect();
  const messages = [{ role: 'user' as const, content: 'Tell me a story about an owl.' }];
  const ask = (more = {}) => engine.chat.completions.create({ messages, max_tokens: 40, ...more });
  const one = await ask({ seed: 5 });
  const two = await ask({ seed: 5 });
  assert.equal(one.choices[0]?.message.content, two.choices[0]?.message.content);
  const text = await textOf(engine, { max_tokens: 30 });
  const word = text.trim().split(' ')[3] as string;
  const stopped = await engine.completions.create({ ...long, stop: [word], max_tokens: 30 });
  assert.equal(stopped.choices[0]?.finish_reason, 'stop');
  assert.equal(stopped.choices[0]?.text, text.slice(0, text.indexOf(word)));
  await assert.rejects(ask({ logit_bias: { 999999: 1 } }), { code: 'invalid_argument' });
});

test('abort ends a stream within a step, and a whole answer by an error', async () => {
  await using engine = await connect();
  const abort = new AbortController();
  let chunks = 0;
  let finish;
  const stream = await engine.completions.create({ ...long, max_tokens: 2000, stream: true }, abort);
  for await (const chunk of stream) {
    if (++chunks === 3) abort.abort();
    finish = chunk.choices[0]?.finish_reason;
  }
  assert.equal(finish, 'stop');
  assert.ok(chunks < 100, String(chunks));
  const other = new AbortController();
  setTimeout(() => other.abort(), 50);
  const whole = engine.completions.create({ ...long, max_tokens: 2000 }, other);
  await assert.rejects(whole, { code: 'cancelled' });
  await assert.rejects(engine.completions.create(long, other), { code: 'cancelled' });
  // Leaving the loop does the same: the daemon is free again.
  for await (const _ of await engine.completions.create({ ...long, max_tokens: 2000, stream: true })) break;
  assert.ok((await textOf(engine, { max_tokens: 5 })).length > 0);
});

test('cuts cost nothing: every token once', async () => {
  const wire = await Wire.to(daemon);
  const notices: Notice[] = [];
  await using engine = await connect(wire.url, { onNotice: (n: Notice) => notices.push(n) });
  const request = { ...long, max_tokens: 1200 };
  const wanted = await textOf(engine, request);
  const before = wire.connections;
  wire.cutAfter(3000);
  let text = '';
  for await (const chunk of await engine.completions.create({ ...request, stream: true })) {
    text += chunk.choices[0]?.text ?? '';
  }
  assert.equal(text, wanted);
  assert.ok(wire.connections >= before + 3, String(wire.connections));
  assert.deepEqual(notices, []);
  wire.close();
});

test('a wire that is down longer is told, and the answer goes on', async () => {
  const wire = await Wire.to(daemon);
  const notices: Notice[] = [];
  await using engine = await connect(wire.url, { onNotice: (n: Notice) => notices.push(n) });
  const request = { ...long, max_tokens: 1200 };
  const wanted = await textOf(engine, request);
  wire.cutAfter(3000);
  wire.downFor = 1600;
  let text = '';
  for await (const chunk of await engine.completions.create({ ...request, stream: true })) {
    text += chunk.choices[0]?.text ?? '';
  }
  assert.equal(text, wanted);
  assert.equal(notices.length, 2, JSON.stringify(notices));
  assert.equal(notices[0]?.cause?.code, 'connection_lost');
  wire.close();
});

test('a daemon that stays away is one clear error; a new call tries again', async () => {
  const wire = await Wire.to(daemon);
  await using engine = await connect(wire.url);
  const stream = await engine.completions.create({ ...long, stream: true });
  await assert.rejects(async () => {
    for await (const _ of stream) {
      wire.down = true;
      wire.cut();
    }
  }, { code: 'connection_lost', recoverable: true });
  await assert.rejects(engine.completions.create(long), { code: 'connection_lost' });
  wire.down = false;
  assert.ok((await textOf(engine, { max_tokens: 5 })).length > 0);
  wire.close();
});

test('a restarted daemon does not know the session: one error, then it works', async () => {
  const other = await Daemon.start();
  const wire = await Wire.to(other);
  await using engine = await createEngine({
    engine: 'daemon', daemon: { url: wire.url, token: other.token },
  });
  const stream = await engine.completions.create({ ...long, max_tokens: 2000, stream: true });
  let killed = false;
  await assert.rejects(async () => {
    for await (const _ of stream) {
      if (killed) continue;
      killed = true;
      await other.stop();
      wire.retarget(daemon);
    }
  }, { code: 'connection_lost' });
  assert.ok((await textOf(engine, { max_tokens: 5 })).length > 0);
  wire.close();
});

test('refusals are typed', async () => {
  await assert.rejects(connect('http://127.0.0.1:1'), { code: 'connection_lost' });
  await assert.rejects(connect('ftp://x'), { code: 'invalid_argument' });
  const stranger = { url: daemon.url, token: 'x'.repeat(43) };
  await assert.rejects(createEngine({ engine: 'daemon', daemon: stranger }), { code: 'unauthorized' });
  await assert.rejects(connect(daemon.url, { model: 'nobody' }), {
    code: 'not_found', message: /storyteller/,
  });
  await assert.rejects(connect(daemon.url, { signal: AbortSignal.abort() }), { code: 'cancelled' });
  await using engine = await connect();
  await assert.rejects(engine.completions.create({ prompt: Array(5000).fill(5) }), {
    code: 'context_exceeded',
  });
  await assert.rejects(engine.completions.create({ prompt: [2147483647] }), {
    code: 'invalid_argument',
  });
});

test('token ids are continued; many answers at once stay apart', async () => {
  await using engine = await connect();
  const out = execFileSync(LAMINA, ['tokenize', '--ids', '-p', 'Once upon a time']).toString();
  const wanted = await textOf(engine, { max_tokens: 40 });
  assert.equal(await textOf(engine, { prompt: JSON.parse(out), max_tokens: 40 }), wanted);
  const answers = await Promise.all([1, 2, 3, 4, 5].map(() => textOf(engine, { max_tokens: 40 })));
  assert.deepEqual(new Set(answers), new Set([wanted]));
});

test('disposed engines say so', async () => {
  const engine = await connect();
  const stream = await engine.completions.create({ ...long, stream: true });
  await assert.rejects(async () => {
    for await (const _ of stream) await engine.close();
  }, { code: 'closed' });
  await assert.rejects(engine.completions.create(long), { code: 'closed' });
  await delay(20);
});
