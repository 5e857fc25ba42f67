// SPDX-License-Identifier: Apache-2.0
// What a program sees of an engine in the browser: choices, logprobs, a chat's cache, plans, patience.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launch, openPage, StaticServer } from './browser.ts';
import { Daemon } from './support.ts';

const MESSAGES = [{ role: 'user' as const, content: 'Tell me a story about an owl.' }];

let server: StaticServer;
let browser: Browser;
let daemon: Daemon;
let page: Page;

before(async () => {
  const models = path.dirname(process.env.BUILT_MODEL ?? '');
  server = await StaticServer.start({ pkg: process.env.PACKAGE ?? '', models });
  browser = await launch(false);
  daemon = await Daemon.start(['--allow-origin', server.url]);
  page = await openPage(browser, server);
  await page.evaluate(async () => {
    globalThis.engine = await open({ engine: 'wasm' });
  });
});
after(async () => {
  await browser?.close();
  await daemon?.stop();
  server?.close();
});

// The same on this browser's engine and on the daemon.
const onBoth = async <T>(work: (messages: typeof MESSAGES) => Promise<T>): Promise<[T, T]> => {
  const here = await page.evaluate(work, MESSAGES);
  await page.evaluate(async (address) => {
    Object.assign(globalThis, { local: engine });
    globalThis.engine = await open({ engine: 'daemon', model: undefined, daemon: address });
  }, daemon.address);
  const there = await page.evaluate(work, MESSAGES);
  await page.evaluate(async () => {
    await engine.close();
    globalThis.engine = (globalThis as unknown as { local: typeof engine }).local;
  });
  return [here, there];
};

test('logprobs are the daemon\'s', async () => {
  const [here, there] = await onBoth(async (messages) => {
    const request = { messages, temperature: 0, max_tokens: 12, logprobs: true, top_logprobs: 4 };
    const whole = await engine.chat.completions.create(request);
    const parts = [];
    for await (const chunk of await engine.chat.completions.create({ ...request, stream: true })) {
      parts.push(...(chunk.choices[0]?.logprobs?.content ?? []));
    }
    const text = await engine.completions.create({ prompt: 'Once', temperature: 0, max_tokens: 6, logprobs: 2 });
    const none = await engine.chat.completions.create({ messages, max_tokens: 2 });
    return { content: whole.choices[0]?.logprobs?.content, said: whole.choices[0]?.message.content, parts,
      text: text.choices[0]?.logprobs, whole: text.choices[0]?.text, none: none.choices[0]?.logprobs };
  });
  for (const { content, parts, said, text, whole, none } of [here, there]) {
    assert.equal(content?.length, 12);
    assert.deepEqual(parts, content);
    assert.ok(content?.map((c) => c.token).join('').startsWith(said?.trimEnd() ?? '-'), said ?? '');
    assert.ok(content?.every((c) => c.top_logprobs.length === 4 && c.top_logprobs[0]?.token === c.token));
    assert.equal(text?.tokens.length, 6);
    assert.equal(text?.tokens.join(''), whole);
    assert.deepEqual(text?.text_offset.map((at, i) => whole?.startsWith(text.tokens[i] ?? '-', at)), Array(6).fill(true));
    assert.equal(none, null);
  }
  const flat = (entries: typeof here.content) =>
    entries?.flatMap((c) => [c, ...c.top_logprobs]).map((c) => ({ token: c.token, bytes: c.bytes, logprob: c.logprob })) ?? [];
  const [a, b] = [flat(here.content), flat(there.content)];
  assert.deepEqual(a.map((c) => c.bytes), b.map((c) => c.bytes));
  a.forEach((c, i) => assert.ok(Math.abs(c.logprob - (b[i]?.logprob ?? 0)) < 0.02, `${c.logprob} ${b[i]?.logprob}`));
});

test('several choices: as each alone with its seed', async () => {
  const [here, there] = await onBoth(async (messages) => {
    const ask = async (more: object) =>
      engine.chat.completions.create({ messages, seed: 40, max_tokens: 16, ...more });
    const three = await ask({ n: 3 });
    const alone = [await ask({ seed: 40 }), await ask({ seed: 41 }), await ask({ seed: 42 })];
    const streamed: string[] = ['', '', ''];
    const finishes: unknown[] = [];
    let usage;
    for await (const chunk of await engine.chat.completions.create({
      messages, seed: 40, max_tokens: 16, n: 3, stream: true, stream_options: { include_usage: true },
    })) {
      for (const { index, delta, finish_reason } of chunk.choices) {
        streamed[index] += delta.content ?? '';
        if (finish_reason) finishes.push(index);
      }
      usage = chunk.usage ?? usage;
    }
    return {
      three: three.choices.map((c) => c.message.content), usage: three.usage, streamed, finishes,
      alone: alone.map((c) => c.choices[0]?.message.content), prompt: alone[0]?.usage.prompt_tokens,
      last: usage?.completion_tokens,
    };
  });
  for (const { three, usage, streamed, finishes, alone, prompt, last } of [here, there]) {
    assert.deepEqual(three, alone);
    assert.deepEqual(streamed, alone);
    assert.equal(new Set(three).size, 3);
    assert.deepEqual(finishes.toSorted(), [0, 1, 2]);
    assert.deepEqual([usage.prompt_tokens, usage.completion_tokens, last], [prompt, 48, 48]);
  }
});

test('a chat\'s next turn computes what is new alone, also after another chat and a move', async () => {
  const seen = await page.evaluate(async (messages) => {
    const chat = async (list: { role: 'user' | 'assistant'; content: string }[]) => {
      const answer = await engine.chat.completions.create({ messages: list, temperature: 0, max_tokens: 80 });
      const { usage, choices } = answer;
      const next = [...list, { role: 'assistant' as const, content: choices[0]?.message.content ?? '' },
        { role: 'user' as const, content: 'Tell me more.' }];
      return { next, prompt: usage.prompt_tokens, cached: usage.prompt_tokens_details.cached_tokens,
        completion: usage.completion_tokens, text: choices[0]?.message.content };
    };
    const first = await chat(messages);
    const second = await chat(first.next);
    const other = await chat([{ role: 'user', content: 'A boat and a fox, please.' }]);
    const again = await chat(first.next);
    const third = await chat(second.next);
    return [first, second, other, again, third].map(({ next: _, ...rest }) => rest);
  }, MESSAGES);
  const [first, second, , again, third] = seen;
  assert.ok(first && second && again && third);
  const known = first.prompt + first.completion - 1;
  assert.ok(second.cached >= known - 2, `${second.cached} of ${known} known positions, prompt ${second.prompt}`);
  assert.ok(second.prompt - second.cached < 25, `${second.prompt - second.cached} computed`);
  assert.equal(again.text, second.text);
  assert.ok(again.cached >= 64, `${again.cached} after another chat`);
  assert.ok(third.cached >= second.prompt, `${third.cached} of ${third.prompt}`);
});

test('a plan is shown before weights are fetched, and may be refused', async () => {
  const fresh = await openPage(browser, server);
  const shards = () => server.asked.filter((file) => file.includes('/shards/')).length;
  const before = shards();
  const refused = await fresh.evaluate(async () => {
    const plans: unknown[] = [];
    const code = await open({ engine: 'wasm', onPlan: async (plan: unknown) => !plans.push(plan) })
      .catch((e) => e.code);
    return { code, plans };
  });
  assert.equal(refused.code, 'cancelled');
  assert.equal((refused.plans[0] as { downloadBytes: number }).downloadBytes > 6e6, true);
  assert.equal(shards(), before);
  const stages = await fresh.evaluate(async () => {
    const told: string[] = [];
    const engine = await open({
      engine: 'wasm', onPlan: () => void told.push('shown'),
      onProgress: ({ stage }: { stage: string }) => told.at(-1) !== stage && told.push(stage),
    });
    await engine.close();
    return told;
  });
  assert.deepEqual(stages, ['plan', 'shown', 'load', 'ready']);
  await fresh.context().close();
});

test('a start that is aborted, or makes no progress, ends', async () => {
  const fresh = await openPage(browser, server);
  await fresh.route('**/shards/**', () => {}); // nothing ever comes
  const seen = await fresh.evaluate(async () => {
    const abort = new AbortController();
    const began = performance.now();
    const aborted = open({ engine: 'wasm', signal: abort.signal,
      onProgress: ({ stage }: { stage: string }) => stage === 'load' && abort.abort() }).catch((e) => e.code);
    setTimeout(() => abort.abort(), 1500);
    const codes = [await aborted, await open({ engine: 'wasm', startTimeout: 700 }).catch((e) => e.code),
      await open({ engine: 'wasm', signal: AbortSignal.abort() }).catch((e) => e.code)];
    return { codes, seconds: (performance.now() - began) / 1000 };
  });
  assert.deepEqual(seen.codes, ['cancelled', 'timeout', 'cancelled']);
  await fresh.context().close();
});

test('requests that cannot be are refused by name', async () => {
  const codes = await page.evaluate(async (messages) => {
    const ask = (more: object) =>
      engine.chat.completions.create({ messages, ...more }).then(() => 'none', (e) => `${e.code} ${e.message}`);
    return Promise.all([ask({ n: 129 }), ask({ top_logprobs: 2 }), ask({ logit_bias: { 999999: 1 } }),
      ask({ messages: [{ role: 'user', content: 'a '.repeat(9000) }] })]);
  }, MESSAGES);
  assert.match(codes[0] ?? '', /^invalid_argument 'n'/);
  assert.match(codes[1] ?? '', /^invalid_argument 'top_logprobs'/);
  assert.match(codes[2] ?? '', /^invalid_argument .*999999/);
  assert.match(codes[3] ?? '', /^context_exceeded/);
});
