// SPDX-License-Identifier: Apache-2.0
// More of the module's tests, about sessions: what of their KV is used again, what a device is told,
// logprobs. The same environment as suite.js.
import { answer, best, check, openModel, textOf } from './helpers.js';

const PAGE = 64;

// A chat's next turn, another chat between them, and a session of its own: what is cached counts.
export async function reuse(env, module) {
  const { folder, prompts } = env.plan.answers;
  const model = await openModel(env, module, folder);
  const engine = model.createEngine({ context: 512, cachePositions: 1024 });
  const options = { temperature: 0, maxTokens: 90 };
  const fresh = (ids) => {
    const own = model.createEngine({ context: 512 });
    const session = own.createSession();
    session.setPrompt(ids, options);
    check(session.usage.reusedTokens === 0, 'an engine of its own knows nothing');
    const text = textOf(answer(session));
    own.dispose();
    return text;
  };
  const session = engine.createSession();
  session.setPrompt(prompts[0].prompt, options);
  answer(session);
  const turn = [...session.tokens, ...model.tokenize(' And then', { special: false })];
  const { cached } = session.usage;
  session.setPrompt(turn, options);
  check(session.usage.reusedTokens === cached && cached >= 90, `the next turn finds ${cached} positions`);
  const want = textOf(answer(session));
  check(want === fresh(turn), 'the next turn is as if computed whole');
  session.setPrompt(prompts[1].prompt, options);
  answer(session);
  session.setPrompt(turn, options);
  const pages = Math.floor((turn.length - 1) / PAGE);
  check(pages >= 1 && session.usage.reusedTokens === pages * PAGE,
    `after another chat whole pages are found: ${session.usage.reusedTokens} of ${turn.length}`);
  check(textOf(answer(session)) === want, 'the turn again');
  session.dispose();
  const later = engine.createSession();
  later.setPrompt(turn, options);
  check(later.usage.reusedTokens === pages * PAGE, 'a later session finds them too');
  check(textOf(answer(later)) === want, 'the turn in a later session');
  model.dispose();
}

function logSoftmax(row) {
  const most = row.reduce((a, b) => Math.max(a, b));
  const log = Math.log(row.reduce((sum, v) => sum + Math.exp(v - most), 0)) + most;
  return row.map((v) => v - log);
}

export async function logprobs(env, module) {
  const { folder, prompts } = env.plan.answers;
  const model = await openModel(env, module, folder);
  const engine = model.createEngine({ context: 256, maxLogitRows: 64 });
  const session = engine.createSession();
  const bias = [[model.tokenize(' the', { special: false })[0], 2]];
  session.setPrompt(prompts[0].prompt, { temperature: 0, maxTokens: 8, topLogprobs: 3, logitBias: bias });
  const prompt = session.tokens.length;
  const events = answer(session).filter((e) => e.token >= 0);
  const rows = engine.forward(session.tokens);
  for (const [i, { token, logprobs: told }] of events.entries()) {
    const at = (prompt + i - 1) * model.vocab;
    const want = logSoftmax(rows.slice(at, at + model.vocab));
    check(told?.token === token && told.top.length === 3, 'its own logprob and three more');
    check(told.top[0].token === best(want), 'the likeliest first, without the bias');
    for (const one of [told, ...told.top]) {
      check(Math.abs(one.logprob - want[one.token]) < 2e-3, `${one.logprob} for ${want[one.token]}`);
      check(new TextDecoder().decode(Uint8Array.from(one.bytes)) === one.text, 'text of the bytes');
    }
  }
  session.setPrompt(prompts[0].prompt, { temperature: 0, maxTokens: 2 });
  check(answer(session).every((e) => e.logprobs === undefined), 'none where they are not wanted');
  const far = model.createRemote({ context: 256 });
  const remote = far.createSession();
  remote.setPrompt(prompts[0].prompt, { temperature: 0, topLogprobs: 0 });
  check(remote.next() && remote.choice(1) === null, 'a device that chooses gives no logits');
  check(remote.accept(rows.slice(0, model.vocab)).logprobs.top.length === 0, 'remote logprobs');
  model.dispose();
}

// Several tokens in one go: the pages for them, their text, and an end among them.
export async function lookAhead(env, module) {
  const { folder, prompts } = env.plan.answers;
  const model = await openModel(env, module, folder);
  const cpu = model.createEngine({ context: 256 });
  const far = model.createRemote({ context: 256 });
  const options = { temperature: 0, maxTokens: 75, ignoreEos: true };
  const local = cpu.createSession();
  local.setPrompt(prompts[0].prompt, options);
  const events = answer(local);
  const remote = far.createSession();
  remote.setPrompt(prompts[0].prompt, options);
  check(remote.next().wantsLogits.at(-1) === 1, 'the prompt');
  const told = remote.acceptTokens(Int32Array.of(events[0].token));
  const steps = [];
  while (!remote.finished) {
    const batch = remote.next();
    check(batch.rows === 1 && remote.choice(8).units.length === 8, 'one row, with numbers for eight');
    const n = remote.lookAhead(8);
    check(far.batch().tableStride * PAGE >= batch.kvIndices[0] + n, 'pages for all of them');
    steps.push(n);
    const tokens = events.slice(told.length, told.length + 8).map((e) => e.token);
    told.push(...remote.acceptTokens(Int32Array.from(tokens)));
  }
  check(steps.slice(0, -1).every((n) => n === 8) && steps.at(-1) === 2, `steps: ${steps}`);
  check(textOf(told) === textOf(events) && told.length === events.length, 'the same answer');
  model.dispose();
}

// A remote session slides when a local one does, by pages that it turns itself.
export async function remoteSlide(env, module) {
  const { folder, prompts } = env.plan.answers;
  const model = await openModel(env, module, folder);
  const options = { temperature: 0, maxTokens: 4 * PAGE, ignoreEos: true };
  const [local, remote] = [model.createEngine({ context: 3 * PAGE }), model.createRemote({ context: 3 * PAGE })]
    .map((engine) => {
      const session = engine.createSession({ atLimit: 'slide' });
      session.setPrompt(prompts[0].prompt, options);
      return session;
    });
  const { hidden_size: hidden, num_attention_heads: heads, head_dim: dim } = model.info.config;
  const firstPage = () => {
    const { cached } = local.usage;
    const kv = local.exportKv(), d = dim || hidden / heads, rows = kv.length / (cached * d);
    const page = new Uint16Array(rows * PAGE * d);
    for (let i = 0; i < rows; ++i) page.set(kv.subarray(i * cached * d, (i * cached + PAGE) * d), i * PAGE * d);
    return page;
  };
  let slid = 0;
  for (let page; !local.finished;) {
    if (local.usage.cached === 3 * PAGE) page ??= firstPage();
    const events = local.step();
    const work = remote.slide();
    check((work !== null) === (local.usage.evicted > slid * PAGE), 'both slide at the same token');
    if (work) {
      ++slid;
      check(work.from === work.to && remote.pages[0] === work.from, 'its own first page');
      const theirs = firstPage();
      check(theirs.some((v, i) => v !== page[i]), 'the local page was turned');
      check(remote.turnSinks(page.slice()).every((v, i) => v === theirs[i]), 'and this one as it was');
    }
    const batch = remote.next();
    check(batch.blockTable.length <= 3 && batch.kvIndices.at(-1) === local.usage.cached - 1, 'rows');
    check(batch.positions.at(-1) === local.usage.cached + local.usage.evicted - 1, 'positions go on');
    for (const e of events) check(remote.acceptToken(e.token).text === e.text, 'text');
  }
  check(slid >= 2 && remote.finished, `slid ${slid} times`);
  const [saved, far] = [remote.save(), remote.engine];
  remote.dispose();
  const again = far.restoreSession(saved);
  check(again.usage.cached === 0 && again.usage.evicted === 0 && again.pages.length === 0, 'nothing of it is here');
  check(again.moveTo(local.engine, local.exportKv(), local.usage.cached) === 0, 'turned sinks are not taken');
  model.dispose();
}

// What a restored session has computed: nothing, until a move brings it or steps do.
export async function restored(env, module) {
  const { folder, prompts } = env.plan.answers;
  const model = await openModel(env, module, folder);
  const [cpu, far] = [model.createEngine({ context: 256 }), model.createRemote({ context: 256 })];
  const session = cpu.createSession();
  session.setPrompt(prompts[0].prompt, { temperature: 0, maxTokens: 80, ignoreEos: true });
  const events = [];
  while (events.length < 70) events.push(...session.step());
  const { cached } = session.usage;
  const [saved, kv, known] = [session.save(), session.exportKv(), session.tokens.length];
  const want = textOf(answer(session, [...events]));
  const here = far.restoreSession(saved);
  check(here.usage.cached === 0 && here.usage.pending === known && here.pages.length === 0, 'nothing is cached');
  const batch = here.next(5);
  check(batch.rows === 5 && batch.positions.join() === '0,1,2,3,4', 'all of it is to be computed');
  here.undo();
  check(here.moveTo(far, undefined, cached) === cached && here.next().rows === known - cached, 'but for KV that is brought');
  session.dispose();
  for (const bring of [0, PAGE, cached]) {
    const other = cpu.restoreSession(saved);
    const dim = kv.length / cached;
    let failed = '';
    try {
      other.importKv(new Uint16Array(dim * (cached + 1)), cached + 1);
    } catch (error) {
      failed = error.code;
    }
    check(failed === 'invalid_argument', 'no more than was there');
    if (bring === cached) check(other.importKv(kv, cached) === cached, 'all of it');
    if (bring === PAGE) check(other.importKv(firstOf(model, kv, cached, PAGE), PAGE) === PAGE, 'a part of it');
    check(textOf(answer(other, [...events])) === want, `the answer goes on with ${bring} positions`);
    other.dispose();
  }
  model.dispose();
}

function firstOf(model, kv, all, kept) {
  const { hidden_size: hidden, num_attention_heads: heads, head_dim: own } = model.info.config;
  const dim = own || hidden / heads, rows = kv.length / (all * dim);
  const out = new Uint16Array(rows * kept * dim);
  for (let i = 0; i < rows; ++i) out.set(kv.subarray(i * all * dim, (i * all + kept) * dim), i * kept * dim);
  return out;
}

// Tensors in several parts: the same model, the same bits.
export async function splitShards(env, module) {
  const { split, answers } = env.plan;
  const texts = [];
  for (const folder of [answers.folder, split]) {
    const model = await openModel(env, module, folder);
    if (folder === split) check(model.shards().length > 20, `${model.shards().length} shards`);
    const engine = model.createEngine({ context: 128, maxLogitRows: 16 });
    texts.push(engine.forward(model.tokenize(answers.prompts[0].prompt)).join());
    model.dispose();
  }
  check(texts[0] === texts[1], 'logits of split tensors');
}
