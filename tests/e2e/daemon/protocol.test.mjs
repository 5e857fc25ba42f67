// SPDX-License-Identifier: Apache-2.0
// lamina.v1 and the daemon's operations, from outside.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { Client, Daemon, textOf, within, workFile } from './daemon.mjs';

let daemon;
before(async () => {
  fs.mkdirSync(workFile('models'), { recursive: true });
  fs.cpSync(process.env.BUILT_MODEL, workFile('models/second'), { recursive: true });
  daemon = await Daemon.start(['--models', workFile('models'), '--log-level', 'debug']);
});
after(() => daemon?.child.kill('SIGKILL'));

const long = { ignore_eos: true, max_tokens: 400, seed: 7, prompt: 'Once upon a time' };
// Frames of one request: numbers without a hole or a double.
function whole(frames) {
  frames.forEach((f, i) => assert.equal(f.seq, i + 1, JSON.stringify(f)));
}

test('hello tells versions, models and limits', async () => {
  const client = await Client.hello(daemon);
  assert.equal(client.welcome.protocol, 'lamina.v1');
  const [first, second] = client.welcome.models;
  assert.deepEqual([first.name, first.default, first.backend], ['storyteller', true, 'cpu']);
  assert.ok(first.backends.includes('cpu'));
  assert.deepEqual([second.name, second.loaded], ['second', false]);
  await client.close();
});

test('a generation, the same for the same seed', async () => {
  const client = await Client.hello(daemon);
  const question = [{ role: 'user', content: 'Tell me a story about an owl.' }];
  for (const id of ['a', 'b']) {
    client.say({ type: 'generate', id, messages: question, seed: 5, max_tokens: 60 });
    const done = await client.last(id);
    whole(client.of(id));
    assert.equal(client.of(id)[0].type, 'started');
    assert.equal(client.of(id)[0].seed, 5);
    assert.ok(['eos', 'length'].includes(done.finish));
    const tokens = client.of(id).flatMap((f) => f.tokens ?? []);
    assert.equal(tokens.length, done.usage.completion_tokens);
  }
  assert.ok(textOf(client.of('a')).length > 20);
  assert.equal(textOf(client.of('a')), textOf(client.of('b')));
  await client.close();
});

test('logprobs and stop strings', async () => {
  const client = await Client.hello(daemon);
  client.say({ type: 'generate', id: 'a', prompt: 'Once upon a', max_tokens: 8, logprobs: 2, sampling: { temperature: 0 } });
  await client.last('a');
  const logprobs = client.of('a').flatMap((f) => f.logprobs ?? []);
  const tokens = client.of('a').flatMap((f) => f.tokens ?? []);
  assert.deepEqual(logprobs.map((p) => p.token), tokens);
  for (const p of logprobs) {
    assert.equal(p.top.length, 2);
    assert.equal(p.token, p.top[0].token);  // greedy
    assert.ok(p.logprob <= 0 && p.logprob >= p.top[1].logprob);
  }
  client.say({ type: 'generate', id: 'b', prompt: 'Once upon a', stop: [' time'], sampling: { temperature: 0 } });
  const done = await client.last('b');
  assert.equal(done.finish, 'stop');
  assert.ok(!textOf(client.of('b')).includes('time'));
  await client.close();
});

test('many at once on one connection, and on two', async () => {
  const clients = [await Client.hello(daemon), await Client.hello(daemon)];
  const ids = ['a', 'b', 'c', 'd'];
  for (const client of clients) {
    for (const id of ids) client.say({ type: 'generate', id, ...long, max_tokens: 100 });
  }
  const texts = new Set();
  for (const client of clients) {
    for (const id of ids) {
      assert.equal((await client.last(id)).usage.completion_tokens, 100);
      whole(client.of(id));
      texts.add(textOf(client.of(id)));
    }
    // They took turns: the last one began before the first one ended.
    const began = client.frames.findIndex((f) => f.id === 'd' && f.type === 'token');
    const ended = client.frames.findIndex((f) => f.id === 'a' && f.type === 'done');
    assert.ok(began < ended);
    await client.close();
  }
  assert.equal(texts.size, 1);  // the company that a generation keeps changes nothing
});

test('every wrong message has its error, and the connection stays', async () => {
  const client = await Client.connect(daemon);
  const cases = [
    ['{', 'bad_json'], ['[]', 'bad_field'], ['{"type":"cancel","id":"a"}', 'order'],
    ['{"type":"fly"}', 'unknown_type'], ['{"type":"hello","x":1}', 'unknown_field', 'x'],
  ];
  const afterHello = [
    ['{"type":"hello"}', 'order'], ['{"type":"cancel","id":"never"}', 'unknown_id', 'id'],
    ['{"type":"generate","id":"a"}', 'missing_field', 'messages'],
    ['{"type":"generate","id":"a","prompt":"x","max_tokens":-1}', 'out_of_range', 'max_tokens'],
    ['{"type":"generate","id":"a","prompt":"x","max_tokens":1e308}', 'out_of_range', 'max_tokens'],
    ['{"type":"generate","id":"a","prompt":"x","sampling":{"top_p":"1"}}', 'bad_field', 'sampling.top_p'],
    ['{"type":"generate","id":"a","prompt":"x","prompt":"y"}', 'bad_json'],
    [`{"type":"hello","client":${'['.repeat(5000)}`, 'bad_json'],
  ];
  const expect = async ([text, code, field]) => {
    const before = client.frames.length;
    client.socket.send(text);
    const error = await client.next((f) => client.frames.indexOf(f) >= before);
    assert.deepEqual([error.type, error.code, error.field], ['error', code, field ?? error.field], text.slice(0, 80));
  };
  for (const one of cases) await expect(one);
  client.say({ type: 'hello' });
  await client.next((f) => f.type === 'hello');
  for (const one of afterHello) await expect(one);
  client.say({ type: 'generate', id: 'fine', prompt: 'Once', max_tokens: 3 });
  assert.equal((await client.last('fine')).type, 'done');
  client.say({ type: 'generate', id: 'fine', prompt: 'Once' });
  await client.next((f) => f.code === 'duplicate_id');
  client.say({ type: 'generate', id: 'm', prompt: 'x', model: 'nobody' });
  const missing = await client.last('m');
  assert.deepEqual([missing.code, missing.seq], ['not_found', 1]);
  client.say({ type: 'generate', id: 'big', prompt: 'word '.repeat(20000) });
  const big = await client.last('big');
  assert.equal(big.code, 'context_exceeded');
  assert.match(big.message, /has 100000 bytes/);  // told without making tokens of it
  await client.close();
});

test('a cut connection loses and doubles nothing', async () => {
  const whole_client = await Client.hello(daemon);
  whole_client.say({ type: 'generate', id: 'a', ...long });
  await whole_client.last('a');
  const expected = textOf(whole_client.of('a'));
  const heard = [];
  let client = await Client.hello(daemon);
  const session = client.session;
  client.say({ type: 'generate', id: 'a', ...long });
  for (let cuts = 0; ; ++cuts) {
    const seen = heard.at(-1)?.seq ?? 0;
    // Some frames, or the end.
    await client.next((f) => f.id === 'a' && (f.type === 'done' || f.seq >= seen + 20));
    heard.push(...client.of('a'));
    whole(heard);
    if (heard.at(-1).type === 'done') {
      assert.ok(cuts >= 3, `only ${cuts} cuts`);
      break;
    }
    await client.cut();
    client = await Client.connect(daemon);
    client.say({ type: 'resume', session, last_seq: { a: heard.at(-1).seq } });
    await client.next((f) => f.type === 'resumed');
  }
  assert.equal(textOf(heard), expected);
  assert.deepEqual(heard.flatMap((f) => f.tokens ?? []), whole_client.of('a').flatMap((f) => f.tokens ?? []));
  await client.close();
});

test('a session is taken over, and ends after its grace', async () => {
  const brief = await Daemon.start(['--grace', '1']);
  const first = await Client.hello(brief);
  first.say({ type: 'generate', id: 'a', ...long, max_tokens: 2000 });
  await first.next((f) => f.type === 'token');
  const second = await Client.connect(brief);
  second.say({ type: 'resume', session: first.session, last_seq: {} });
  await second.next((f) => f.type === 'resumed');
  assert.equal(await within(5000, first.closed, 'close'), 4001);
  assert.ok(first.frames.some((f) => f.code === 'taken_over'));
  await second.last('a');
  whole(second.of('a'));
  await second.cut();
  await brief.metric(/^lamina_sessions 0$/m);
  const third = await Client.connect(brief);
  third.say({ type: 'resume', session: first.session, last_seq: {} });
  await third.next((f) => f.code === 'unknown_session');
  await third.close();
  await brief.stop();
});

test('cancel ends a generation', async () => {
  const client = await Client.hello(daemon);
  client.say({ type: 'generate', id: 'a', ...long, max_tokens: 1900 });
  await client.next((f) => f.type === 'token');
  const begun = performance.now();
  client.say({ type: 'cancel', id: 'a' });
  const done = await client.last('a');
  assert.equal(done.finish, 'cancelled');
  assert.ok(performance.now() - begun < 5000);
  await client.close();
});

test('another backend in mid-answer changes no word', async () => {
  const client = await Client.hello(daemon);
  const other = client.welcome.models[0].backends.find((b) => b !== 'cpu') ?? 'cpu';
  const say = (id) => client.say({ type: 'generate', id, ...long, max_tokens: 120, sampling: { temperature: 0 } });
  say('a');
  await client.last('a');
  say('b');
  await client.next((f) => f.id === 'b' && f.type === 'token');
  client.say({ type: 'switch_backend', id: 's', backend: other });
  const switched = await client.next((f) => f.id === 's' && f.type !== 'progress', 120000);
  assert.deepEqual([switched.type, switched.backend], ['switched', other], JSON.stringify(switched));
  client.say({ type: 'switch_backend', id: 't', backend: 'cpu' });
  assert.equal((await client.next((f) => f.id === 't', 120000)).type, 'switched');
  const done = await client.last('b');
  assert.equal(done.usage.completion_tokens, 120);
  whole(client.of('b'));
  assert.equal(textOf(client.of('b')), textOf(client.of('a')));
  client.say({ type: 'switch_backend', id: 'u', backend: 'abacus' });
  assert.equal((await client.last('u')).type, 'error');
  await client.close();
});

test('models come and go', async () => {
  const client = await Client.hello(daemon);
  client.say({ type: 'load', id: 'l', model: 'second' });
  const loaded = await client.next((f) => f.id === 'l' && f.type !== 'progress');
  assert.equal(loaded.type, 'loaded', JSON.stringify(loaded));
  whole(client.of('l'));
  client.say({ type: 'generate', id: 'a', model: 'second', prompt: 'Once', max_tokens: 4 });
  assert.equal((await client.last('a')).type, 'done');
  client.say({ type: 'load', id: 'again', model: 'second' });
  assert.equal((await client.last('again')).type, 'error');
  client.say({ type: 'load', id: 'path', model: '../second' });
  assert.equal((await client.last('path')).code, 'not_found');
  client.say({ type: 'generate', id: 'b', model: 'second', ...long, max_tokens: 1900 });
  await client.next((f) => f.id === 'b' && f.type === 'token');
  client.say({ type: 'unload', id: 'u', model: 'second' });
  assert.equal((await client.next((f) => f.id === 'u')).type, 'unloaded');
  assert.equal((await client.last('b')).code, 'unloaded');
  await client.close();
});

test('status streams', async () => {
  const client = await Client.hello(daemon);
  client.say({ type: 'generate', id: 'a', ...long, max_tokens: 1900 });
  await client.next((f) => f.type === 'token');
  client.say({ type: 'status', interval: 0.1 });
  await client.next((f) => f.type === 'status' && f.models[0].running >= 1);
  client.say({ type: 'cancel', id: 'a' });
  await client.last('a');
  await client.next((f) => f.type === 'status' && f.models[0].running === 0);
  const states = client.frames.filter((f) => f.type === 'status');
  assert.ok(states.some((s) => s.models[0].memory.weights > 0 && s.memory.resident > 0));
  await client.close();
});

test('strangers stay outside', async () => {
  const refused = (options) => assert.rejects(Client.connect(daemon, options), /4(01|03|21)/);
  await refused({ token: 'x'.repeat(43) });
  await refused({ token: '' });
  await refused({ headers: { Origin: 'https://evil.example' } });
  await refused({ headers: { Host: 'evil.example' } });
  const same = await Client.connect(daemon, { headers: { Origin: daemon.url } });
  await same.close();
  const status = async (route, headers) => (await fetch(daemon.url + route, { headers })).status;
  assert.equal(await status('/v1/models', {}), 401);
  assert.equal(await status('/metrics', {}), 401);
  assert.equal(await status('/health/live', {}), 200);
  assert.equal(await status('/health/ready', {}), 200);
  assert.equal(await status('/v1/models', { ...daemon.auth, Origin: 'https://evil.example' }), 403);
  // A browser can't set headers: there the token is one of the protocols.
  const socket = new WebSocket(daemon.url.replace('http', 'ws') + '/ws', ['lamina.v1', `bearer.${daemon.token}`]);
  await within(5000, new Promise((done, fail) => socket.on('open', done).on('error', fail)), 'open');
  assert.equal(socket.protocol, 'lamina.v1');
  socket.terminate();
});

test('metrics count, by curl', async () => {
  const text = execFileSync('curl', ['-sS', '-H', `Authorization: Bearer ${daemon.token}`, `${daemon.url}/metrics`]).toString();
  for (const name of ['lamina_tokens_total{kind="completion"}', 'lamina_token_delivery_seconds_count', 'lamina_running{model="storyteller"}', 'lamina_refused_messages_total{code="bad_json"}']) {
    assert.ok(text.includes(name), name);
  }
});

test('tokens count while a generation runs', async () => {
  const client = await Client.hello(daemon);
  const completed = async () => Number(/^lamina_tokens_total\{kind="completion"\} (\d+)/m.exec(await (await daemon.get('/metrics')).text())[1]);
  const before = await completed();
  client.say({ type: 'generate', id: 'a', ...long, max_tokens: 1900 });
  const heard = () => client.of('a').flatMap((f) => f.tokens ?? []).length;
  await client.next((f) => f.id === 'a' && heard() >= 10);
  const least = heard();
  assert.ok((await completed()) >= before + least);
  client.say({ type: 'cancel', id: 'a' });
  const done = await client.last('a');
  assert.equal((await completed()) - before, done.usage.completion_tokens);
  await client.close();
});

test('the log has no prompt, no answer and no token', () => {
  assert.ok(daemon.log.includes('session begun'));
  for (const secret of [daemon.token, 'Once upon', 'owl', 'upon a time']) {
    assert.ok(!daemon.log.includes(secret), secret);
  }
});

test('SIGTERM lets answers end', async () => {
  const client = await Client.hello(daemon);
  client.say({ type: 'generate', id: 'a', ...long, max_tokens: 1900 });
  await client.next((f) => f.id === 'a' && f.type === 'token');
  const left = daemon.stop();
  await within(10000, (async () => {
    for (let n = 0, end; end?.code !== 'draining'; ++n) {
      client.say({ type: 'generate', id: `late${n}`, prompt: 'Once', max_tokens: 1 });
      end = await client.last(`late${n}`);
    }
  })(), 'refusal');
  const late = await daemon.post('/v1/completions', { prompt: 'Once' });
  assert.deepEqual([late.status, late.headers.get('retry-after'), (await late.json()).error.code], [503, '5', 'draining']);
  assert.equal((await daemon.get('/health/ready')).status, 503);
  const done = await client.last('a');
  assert.equal(done.finish, 'length');
  assert.equal(await within(10000, client.closed, 'close'), 1001);
  assert.deepEqual(await left, { code: 0, signal: null });
});

test('a drain has an end', async () => {
  const short = await Daemon.start(['--drain', '1', '--parallel', '1']);
  const client = await Client.hello(short);
  client.say({ type: 'generate', id: 'a', ...long, max_tokens: 2000 });
  client.say({ type: 'switch_backend', id: 's', backend: 'reference' });
  await client.next((f) => f.id === 'a' && f.type === 'token');
  const begun = performance.now();
  assert.equal((await short.stop()).code, 0);
  assert.ok(performance.now() - begun < 15000);
  assert.equal((await client.last('a')).code, 'draining');
});
