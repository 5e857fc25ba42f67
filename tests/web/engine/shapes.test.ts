// SPDX-License-Identifier: Apache-2.0
// OpenAI's shapes, errors, the protocol's frames: what needs no engine.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import type { TokenLogprob } from '../../../web/abi/types.ts';
import { AsyncQueue } from '../../../web/engine/async_queue.ts';
import { generateChoices, type ChoiceEvent } from '../../../web/engine/choices.ts';
import { parseFrame } from '../../../web/engine/daemon/frames.ts';
import { CORE_CODES, LaminaError } from '../../../web/engine/errors.ts';
import {
  CHAT_SHAPE, gatherAnswer, newHead, streamAnswer, TEXT_SHAPE,
} from '../../../web/engine/openai_answer.ts';
import {
  readChatRequest, readChoices, readCompletionRequest,
} from '../../../web/engine/openai_request.ts';
import { StopSeam } from '../../../web/engine/stop_seam.ts';
import type { GenerateRequest, GenerationEvent } from '../../../web/engine/transport.ts';
import { SOURCE } from './support.ts';

const schema = JSON.parse(fs.readFileSync(`${SOURCE}/protocol/lamina.v1.schema.json`, 'utf8'));

test('error codes are those of the core', () => {
  const header = fs.readFileSync(`${SOURCE}/core/base/error.cc`, 'utf8');
  const names = [...header.matchAll(/return "([a-z_]+)";/g)].map((m) => m[1]);
  assert.deepEqual([...CORE_CODES, 'unknown'], names);
});

test('errors keep code and advice over a border, and from whoever threw them', () => {
  const error = new LaminaError('device', 'lost');
  const again = LaminaError.fromRecord(structuredClone(error.toRecord()));
  assert.deepEqual([again.code, again.message, again.recoverable], ['device', 'lost', true]);
  const foreign = Object.assign(new Error('no room'), { code: 'io', recoverable: false });
  assert.deepEqual(LaminaError.from(foreign).toRecord(), {
    code: 'io', message: 'no room', recoverable: false,
  });
  assert.equal(LaminaError.from(new DOMException('x', 'QuotaExceededError')).code, 'quota_exceeded');
  assert.equal(LaminaError.from('a string', 'device').code, 'device');
  assert.equal(LaminaError.fromRecord({ code: '?', message: '', recoverable: false }).code, 'protocol');
});

test('frames of the schema are taken', () => {
  let taken = 0;
  for (const { $ref } of schema.$defs.server.oneOf) {
    for (const example of schema.$defs[$ref.split('/').at(-1)].examples) {
      assert.deepEqual(parseFrame(JSON.stringify(example)), example);
      ++taken;
    }
  }
  assert.ok(taken >= 12);
});

test('a frame without a field that the schema wants, or of another kind, is refused', () => {
  const unread = new Set(['timings']); // measured on this side instead
  let refused = 0;
  for (const { $ref } of schema.$defs.server.oneOf) {
    const definition = schema.$defs[$ref.split('/').at(-1)];
    for (const name of definition.required.filter((n: string) => !unread.has(n))) {
      const lacking = structuredClone(definition.examples[0]);
      delete lacking[name];
      assert.throws(() => parseFrame(JSON.stringify(lacking)), { code: 'protocol' }, `${$ref} ${name}`);
      const odd = structuredClone(definition.examples[0]);
      odd[name] = name === 'type' ? 7 : { odd: true };
      assert.throws(() => parseFrame(JSON.stringify(odd)), { code: 'protocol' }, `${$ref} ${name}`);
      ++refused;
    }
  }
  assert.ok(refused > 40);
  for (const text of ['', '[', '[]', 'null', '7', '{"type":5}']) {
    assert.throws(() => parseFrame(text), { code: 'protocol' });
  }
  assert.equal(parseFrame('{"type":"of the future"}'), null);
  assert.equal(parseFrame('{"type":"constructor"}'), null);
});

test('requests are read as the daemon reads them', () => {
  const r = readChatRequest({
    messages: [
      { role: 'developer', content: 'be kind' },
      { role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }] },
    ],
    temperature: 0.5, top_k: -1, stop: 'x', seed: 7, max_tokens: 5, presence_penalty: 1,
    logit_bias: { 5: -100 },
  });
  assert.deepEqual(r, {
    prompt: {
      kind: 'messages',
      messages: [{ role: 'system', content: 'be kind' }, { role: 'user', content: 'ab' }],
    },
    sampling: {
      temperature: 0.5, top_k: 0, presence_penalty: 1, repeat_last_n: -1,
      logit_bias: { 5: -100 },
    },
    stop: ['x'], seed: 7, maxTokens: 5, ignoreEos: false,
  });
  assert.equal(readCompletionRequest({ prompt: 'x' }).maxTokens, 16);
  assert.deepEqual(readCompletionRequest({ prompt: [1, 2] }).prompt, { kind: 'ids', ids: [1, 2] });
  const drawn = [1, 2, 3].map(() => readCompletionRequest({ prompt: 'x' }).seed);
  assert.equal(new Set(drawn).size, 3);
  assert.ok(drawn.every((seed) => Number.isSafeInteger(seed) && seed >= 0));
  assert.ok(readCompletionRequest({ prompt: 'x', seed: -5 }).seed > 2 ** 52);
});

test('what is wrong is refused by name', () => {
  const wrong: [object, RegExp][] = [
    [{ temperature: 3 }, /temperature/], [{ temperature: '1' }, /temperature/],
    [{ temperature: NaN }, /temperature/], [{ top_k: 1.5 }, /top_k/], [{ top_p: -1 }, /top_p/],
    [{ max_tokens: 0 }, /max_tokens/], [{ stop: [''] }, /stop/], [{ stop: Array(17).fill('a') }, /stop/],
    [{ stop: 5 }, /stop/], [{ logit_bias: { x: 1 } }, /logit_bias/],
    [{ logit_bias: { 1: 101 } }, /logit_bias/], [{ tools: [{}] }, /tools/],
    [{ response_format: { type: 'json_object' } }, /response_format/], [{ seed: 0.5 }, /seed/],
    [{ ignore_eos: 1 }, /ignore_eos/], [{ logprobs: 3 }, /logprobs/],
    [{ logprobs: true, top_logprobs: 21 }, /top_logprobs/], [{ top_logprobs: 1 }, /top_logprobs/],
    [{ messages: [] }, /messages/], [{ messages: 'x' }, /messages/],
    [{ messages: [{ role: 'king', content: '' }] }, /messages\[0\]\.role/],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, /messages\[0\]\.content/],
  ];
  for (const [fields, message] of wrong) {
    const request = { messages: [{ role: 'user', content: 'x' }], ...fields };
    assert.throws(() => readChatRequest(request as never), { code: 'invalid_argument', message });
  }
  for (const n of [0, 129, 1.5, '2']) {
    assert.throws(() => readChoices({ prompt: 'x', n } as never), { message: /'n'/ });
  }
  for (const prompt of [[], [-1], [1.5], 5, undefined]) {
    assert.throws(() => readCompletionRequest({ prompt } as never), { message: /prompt/ });
  }
});

async function* events(index: number, ...list: GenerationEvent[]) {
  for (const event of list) yield { index, event };
}
const answer = (index = 0): AsyncGenerator<ChoiceEvent> => events(
  index,
  { kind: 'started', promptTokens: 3, cachedTokens: 1 },
  { kind: 'token', text: 'a', tokens: [1] },
  { kind: 'token', text: '', tokens: [2] },
  { kind: 'token', text: 'b', tokens: [3] },
  { kind: 'done', finish: 'context', usage: { promptTokens: 3, cachedTokens: 1, completionTokens: 3 } },
);

const plain = { usage: true, logprobs: false };

test('answers have the shapes of OpenAI\'s', async () => {
  const head = newHead(true, 'm');
  assert.match(head.id, /^chatcmpl-[0-9a-f]{24}$/);
  const chunks = await Array.fromAsync(streamAnswer(answer(), head, CHAT_SHAPE, plain));
  assert.deepEqual(chunks.map((c) => c.choices[0]?.delta), [
    { role: 'assistant', content: 'a' }, { content: 'b' }, {}, undefined,
  ]);
  assert.deepEqual(chunks.map((c) => c.choices[0]?.finish_reason), [null, null, 'length', undefined]);
  assert.deepEqual(chunks.slice(0, 3).map((c) => c.usage), [null, null, null]);
  assert.equal(chunks.at(-1)?.usage?.total_tokens, 6);
  assert.equal(chunks.at(-1)?.usage?.prompt_tokens_details.cached_tokens, 1);
  const whole = await gatherAnswer(answer(), head, CHAT_SHAPE, plain);
  assert.deepEqual(whole.choices[0]?.message, { role: 'assistant', content: 'ab', refusal: null });
  const text = await gatherAnswer(answer(), newHead(false, 'm'), TEXT_SHAPE, plain);
  assert.deepEqual([text.object, text.choices[0]?.text], ['text_completion', 'ab']);
  assert.match(text.id, /^cmpl-/);
});

const logprob = (token: number, text: string, value: number) =>
  ({ token, text, logprob: value, bytes: [...new TextEncoder().encode(text)] });
const told: TokenLogprob[] = [
  { ...logprob(1, 'a', -0.1), top: [logprob(1, 'a', -0.1), logprob(9, 'x', -3), logprob(8, 'x', -4)] },
  { ...logprob(2, 'bé', -0.5), top: [] },
];
const withLogprobs = () => events(0,
  { kind: 'token', text: 'a', tokens: [1], logprobs: told.slice(0, 1) },
  { kind: 'token', text: '', tokens: [2], logprobs: told.slice(1) },
  { kind: 'token', text: 'bé', tokens: [] },
  { kind: 'done', finish: 'length', usage: { promptTokens: 3, cachedTokens: 0, completionTokens: 2 } },
);

test('logprobs have the shapes of OpenAI\'s', async () => {
  const shown = { usage: false, logprobs: true };
  const head = newHead(true, 'm');
  const chat = await gatherAnswer(withLogprobs(), head, CHAT_SHAPE, shown);
  const entries = chat.choices[0]?.logprobs?.content;
  assert.deepEqual(entries?.[0], {
    token: 'a', logprob: -0.1, bytes: [97], top_logprobs: [
      { token: 'a', logprob: -0.1, bytes: [97] }, { token: 'x', logprob: -3, bytes: [120] },
      { token: 'x', logprob: -4, bytes: [120] },
    ],
  });
  assert.deepEqual(entries?.[1]?.bytes, [98, 0xc3, 0xa9]);
  const chunks = await Array.fromAsync(streamAnswer(withLogprobs(), head, CHAT_SHAPE, shown));
  assert.deepEqual(chunks.map((c) => c.choices[0]?.logprobs?.content.length), [1, 1, 0, undefined]);
  const text = await gatherAnswer(withLogprobs(), head, TEXT_SHAPE, shown);
  assert.deepEqual(text.choices[0]?.logprobs, {
    tokens: ['a', 'bé'], token_logprobs: [-0.1, -0.5], top_logprobs: [{ a: -0.1, x: -3 }, {}],
    text_offset: [0, 1],
  });
  const silent = await gatherAnswer(withLogprobs(), head, TEXT_SHAPE, plain);
  assert.equal(silent.choices[0]?.logprobs, null);
});

const asked: GenerateRequest = {
  prompt: { kind: 'text', text: '' }, sampling: {}, stop: [], seed: Number.MAX_SAFE_INTEGER,
  ignoreEos: false,
};

test('several choices: seeds of their own, told together, left together', async () => {
  const seeds: number[] = [];
  let [running, most, left] = [0, 0, 0];
  async function* generate(request: GenerateRequest, signal: AbortSignal) {
    seeds.push(request.seed);
    most = Math.max(most, ++running);
    try {
      for await (const { event } of answer()) {
        await new Promise((done) => setTimeout(done, 1));
        if (signal.aborted) return;
        yield event;
      }
    } finally {
      --running;
      if (signal.aborted) ++left;
    }
  }
  const whole = await gatherAnswer(generateChoices(generate, asked, 20), newHead(true, 'm'), CHAT_SHAPE, plain);
  assert.deepEqual(whole.choices.map((c) => [c.index, c.message.content]),
    Array.from({ length: 20 }, (_, i) => [i, 'ab']));
  assert.deepEqual([whole.usage.prompt_tokens, whole.usage.completion_tokens], [3, 60]);
  assert.deepEqual([seeds.length, new Set(seeds).size, seeds[1], most], [20, 20, 0, 8]);
  for await (const _ of generateChoices(generate, asked, 3)) break;
  assert.deepEqual([running, left], [0, 3]);
  async function* fails(): AsyncGenerator<GenerationEvent, void, void> {
    throw new LaminaError('device', 'lost');
  }
  await assert.rejects(Array.fromAsync(generateChoices(fails, asked, 3)), { code: 'device' });
});

test('stop strings are found over a seam', () => {
  const run = (stops: string[], held: string, ...texts: string[]) => {
    const seam = new StopSeam(stops, held);
    let told = '';
    for (const text of texts) {
      const { text: now, stopped } = seam.push(text);
      told += now;
      if (stopped) return [told, true];
    }
    return [told + seam.flush(), false];
  };
  assert.deepEqual(run(['END'], 'E', 'N', 'D!'), ['', true]);
  assert.deepEqual(run(['END'], 'E', 'N', 'DE'.slice(1)), ['ENE', false]);
  assert.deepEqual(run(['END', 'x'], '', 'aEN', 'Dx'), ['a', true]);
  assert.deepEqual(run([], 'h', 'i'), ['hi', false]);
});

test('a queue gives everything, then its end or error; leaving early is told', async () => {
  let left = 0;
  const queue = new AsyncQueue<number>(() => ++left);
  queue.push(1);
  const second = queue.next().then(() => queue.next());
  queue.push(2);
  assert.deepEqual(await second, { value: 2, done: false });
  queue.push(3);
  queue.fail(new Error('broken'));
  assert.deepEqual(await queue.next(), { value: 3, done: false });
  await assert.rejects(queue.next(), /broken/);
  assert.equal((await queue.next()).done, true);
  const other = new AsyncQueue<number>(() => ++left);
  other.push(1);
  for await (const _ of other) break;
  assert.equal(left, 1);
});
