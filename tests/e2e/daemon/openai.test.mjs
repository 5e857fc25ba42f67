// SPDX-License-Identifier: Apache-2.0
// OpenAI's API by its official client.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { Daemon, delay, within } from './daemon.mjs';

let daemon, openai;
before(async () => {
  daemon = await Daemon.start(['--parallel', '2', '--queue', '1']);
  openai = new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: daemon.token, maxRetries: 0 });
});
after(() => daemon?.child.kill('SIGKILL'));

const model = 'storyteller';
const messages = [{ role: 'user', content: 'Tell me a story about an owl.' }];

test('models', async () => {
  const list = await openai.models.list();
  assert.deepEqual(list.data.map((m) => m.id), [model]);
  assert.equal((await openai.models.retrieve(model)).object, 'model');
  await assert.rejects(openai.models.retrieve('nobody'), (e) => e.status === 404 && e.code === 'model_not_found');
});

test('chat, whole and streamed, says the same', async () => {
  const request = { model, messages, seed: 3, max_completion_tokens: 50 };
  const answer = await openai.chat.completions.create(request);
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.choices[0].message.role, 'assistant');
  assert.ok(answer.choices[0].message.content.length > 20);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  const stream = await openai.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } });
  let text = '', finish, usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, answer.choices[0].message.content);
  assert.equal(finish, answer.choices[0].finish_reason);
  assert.deepEqual(
    [usage.prompt_tokens, usage.completion_tokens],
    [answer.usage.prompt_tokens, answer.usage.completion_tokens]);
});

test('a conversation goes on from the cache', async () => {
  const padding = 'Tell me about the owl, the fox, the river and the moon. '.repeat(12);
  const first = [{ role: 'user', content: padding }];
  const one = await openai.chat.completions.create({ model, messages: first, max_tokens: 20, temperature: 0 });
  const two = await openai.chat.completions.create({
    model, max_tokens: 5, temperature: 0,
    messages: [...first, one.choices[0].message, { role: 'user', content: 'And then?' }],
  });
  assert.ok(two.usage.prompt_tokens_details.cached_tokens >= 64, JSON.stringify(two.usage));
});

test('content in parts, stop as string and list', async () => {
  const parts = [{ role: 'user', content: [{ type: 'text', text: 'Tell me a story ' }, { type: 'text', text: 'about an owl.' }] }];
  const base = { model, max_tokens: 40, temperature: 0 };
  const whole = await openai.chat.completions.create({ ...base, messages });
  const joined = await openai.chat.completions.create({ ...base, messages: parts });
  assert.equal(joined.choices[0].message.content, whole.choices[0].message.content);
  const word = whole.choices[0].message.content.split(' ')[4];
  for (const stop of [word, ['never-said', word]]) {
    const stopped = await openai.chat.completions.create({ ...base, messages, stop });
    assert.equal(stopped.choices[0].finish_reason, 'stop');
    assert.equal(stopped.choices[0].message.content, whole.choices[0].message.content.split(word)[0]);
  }
});

test('logprobs in both shapes', async () => {
  const chat = await openai.chat.completions.create({ model, messages, max_tokens: 6, temperature: 0, logprobs: true, top_logprobs: 3 });
  const content = chat.choices[0].logprobs.content;
  assert.equal(content.length, 6);
  for (const p of content) {
    assert.equal(p.top_logprobs.length, 3);
    assert.ok(Math.abs(p.logprob - p.top_logprobs[0].logprob) < 1e-6);
    assert.equal(Buffer.from(p.bytes).toString(), p.token);
  }
  const text = await openai.completions.create({ model, prompt: 'Once upon', max_tokens: 4, temperature: 0, logprobs: 2 });
  const l = text.choices[0].logprobs;
  assert.equal(l.tokens.join(''), text.choices[0].text);
  assert.deepEqual([l.token_logprobs.length, l.top_logprobs.length, l.text_offset[0]], [4, 4, 0]);
});

test('several choices, of several prompts', async () => {
  const many = await openai.chat.completions.create({ model, messages, n: 2, max_tokens: 30, temperature: 1, seed: 1 });
  assert.deepEqual(many.choices.map((c) => c.index), [0, 1]);
  assert.notEqual(many.choices[0].message.content, many.choices[1].message.content);
  const two = await openai.completions.create({ model, prompt: ['Once upon', 'The owl'], max_tokens: 3, temperature: 0, echo: true });
  assert.ok(two.choices[0].text.startsWith('Once upon') && two.choices[1].text.startsWith('The owl'));
  const stream = await openai.chat.completions.create({ model, messages, n: 2, max_tokens: 5, stream: true });
  const ended = new Set();
  for await (const chunk of stream) for (const c of chunk.choices) if (c.finish_reason) ended.add(c.index);
  assert.deepEqual([...ended].sort(), [0, 1]);
});

test('biases and penalties are felt', async () => {
  const base = { model, prompt: 'Once upon a', max_tokens: 6, temperature: 0 };
  const plain = await openai.completions.create({ ...base, logprobs: 0 });
  assert.equal(plain.choices[0].text.startsWith(' time'), true);
  const penal = await openai.completions.create({ ...base, max_tokens: 60, frequency_penalty: 2 });
  const free = await openai.completions.create({ ...base, max_tokens: 60 });
  assert.notEqual(penal.choices[0].text, free.choices[0].text);
});

test('errors are OpenAI\'s', async () => {
  const create = (more) => openai.chat.completions.create({ model, messages, ...more });
  const refused = (more, status, param) =>
    assert.rejects(create(more), (e) => {
      assert.deepEqual([e.status, e.param], [status, param], e.message);
      assert.equal(e.type, 'invalid_request_error');
      return true;
    });
  await assert.rejects(create({ temperature: 'hot' }), OpenAI.BadRequestError);
  await assert.rejects(create({ model: 'nobody' }), OpenAI.NotFoundError);
  await refused({ temperature: 'hot' }, 400, 'temperature');
  await refused({ n: 1000000000 }, 400, 'n');
  await refused({ response_format: { type: 'json_object' } }, 400, 'response_format.type');
  await refused({ messages: [] }, 400, 'messages');
  await refused({ model: 'nobody' }, 404, 'model');
  await refused({ logit_bias: { 99999999: 1 } }, 400, null);
  await assert.rejects(create({ messages: [{ role: 'user', content: 'word '.repeat(20000) }] }),
    (e) => e.status === 400 && e.code === 'context_length_exceeded');
  const wrong = new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: 'wrong', maxRetries: 0 });
  await assert.rejects(wrong.models.list(), (e) => e instanceof OpenAI.AuthenticationError && e.status === 401);
  await assert.rejects(openai.embeddings.create({ model, input: 'x' }), (e) => e.status === 501);
  assert.equal((await daemon.post('/v1/chat/completions', '{')).status, 400);
  assert.equal((await daemon.post('/v1/chat/completions', 'x'.repeat(17 << 20)).catch(() => ({ status: 413 }))).status, 413);
  assert.equal((await daemon.post('/v1/chat/completions', { messages, unheard_of: 1, max_tokens: 2 })).status, 200);
  assert.equal((await daemon.get('/v1/nothing')).status, 404);
});

test('an AbortController ends what it asked for', async () => {
  const endless = { model, prompt: 'Once', max_tokens: 1900, logit_bias: { 1: -100, 4: -100 } };
  const cancelled = (n) => daemon.metric(new RegExp(`^lamina_generations_total\\{end="cancelled"\\} ${n}$`, 'm'));
  const streaming = new AbortController();
  const stream = await openai.completions.create({ ...endless, stream: true }, { signal: streaming.signal });
  let chunks = 0, finish = null;
  for await (const chunk of stream) {
    finish = chunk.choices[0].finish_reason ?? finish;
    if (++chunks === 3) streaming.abort();
  }
  assert.equal(finish, null);
  await cancelled(1);
  const whole = new AbortController();
  const answer = openai.completions.create(endless, { signal: whole.signal });
  await daemon.metric(/lamina_running\{model="storyteller"\} 1\n/);
  whole.abort();
  await assert.rejects(answer, OpenAI.APIUserAbortError);
  await cancelled(2);
  await daemon.metric(/lamina_running\{model="storyteller"\} 0\n/);
});

// Asks for one long answer after another until it is to leave, so that the places and the queue are
// full whatever this machine's speed.
function keeper() {
  const body = JSON.stringify({ prompt: 'Once', max_tokens: 1900, stream: true, logit_bias: { 1: -100, 4: -100 } });
  let request, left = false;
  const once = () => new Promise((done) => {
    request = http.request(`${daemon.url}/v1/completions`, { method: 'POST', agent: false, headers: daemon.auth }, (response) => {
      response.on('error', done).on('close', () => done(response.statusCode)).resume();
    });
    request.on('error', done).end(body);
  });
  (async () => {
    while (!left) if (await once() === 429) await delay(100);  // requests are counted, too
  })();
  return () => {
    left = true;
    request.destroy();
  };
}

test('a full queue says so, and who leaves makes room', async () => {
  const leave = Array.from({ length: 6 }, keeper);  // three are taken
  const one = () => openai.completions.create({ model, prompt: 'x', max_tokens: 1 });
  const until = async (wanted) => {
    for (;;) {
      const outcome = await one().catch((e) => e);
      if (wanted(outcome)) return outcome;
      await delay(50);
    }
  };
  try {
    const full = await within(60000, until((e) => e instanceof OpenAI.RateLimitError), 'a full queue');
    assert.equal(full.status, 429);
    assert.match(full.message, /--queue/);
    assert.equal(full.headers.get('retry-after'), '1');
  } finally {
    for (const go of leave) go();
  }
  await within(60000, until((answer) => answer.choices?.length === 1), 'room again');
  await daemon.metric(/lamina_running\{model="storyteller"\} 0\n/, 60000);
});
