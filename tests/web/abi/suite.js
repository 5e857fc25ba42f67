// SPDX-License-Identifier: Apache-2.0
// The module's tests, the same in Node and in a browser's worker. `env`: {LaminaModule, wasm, load,
// variant: {relaxed, shared}, threads, log}; load(path) gives a file's bytes below the test data that
// run.mjs made (models with native logits and answers). Throws on the first failure.
import { answer, best, check, openModel, textOf } from './helpers.js';
import { logprobs, lookAhead, remoteSlide, restored, reuse, splitShards } from './sessions.js';

const finite = (x) => Number.isFinite(x);

const json = async (env, path) => JSON.parse(new TextDecoder().decode(await env.load(path)));
async function floats(env, path) {
  const bytes = await env.load(path);
  return new Float32Array(bytes.slice().buffer);
}

function rowError(got, want) {
  let error = 0, norm = 0;
  for (let i = 0; i < want.length; ++i) {
    error += (got[i] - want[i]) ** 2;
    norm += want[i] ** 2;
  }
  return Math.sqrt(error / norm);
}

// tests/golden: logits of transformers in f32. Tolerance as in golden_test.cc.
async function goldens(env, module) {
  for (const { folder, golden } of env.plan.goldens) {
    const model = await openModel(env, module, folder);
    const engine = model.createEngine({ kvDtype: 'f32', maxLogitRows: 128 });
    let worst = 0;
    for (const [i, c] of (await json(env, `${golden}/golden.json`)).cases.entries()) {
      const ids = model.tokenize(c.prompt);
      check(ids.join() === c.ids.join(), `${folder} case ${i}: ids`);
      check(model.detokenize(ids) === c.decoded, `${folder} case ${i}: text`);
      const want = await floats(env, `${golden}/${c.logits}.f32`);
      const got = engine.forward(ids);
      check(got.length === want.length && got.every(finite), `${folder} case ${i}: logits`);
      for (let row = 0; row < ids.length; ++row) {
        const [from, to] = [row * model.vocab, (row + 1) * model.vocab];
        worst = Math.max(worst, rowError(got.subarray(from, to), want.subarray(from, to)));
      }
    }
    check(worst <= 3e-4, `${folder}: row error ${worst}`);
    env.log(`${folder}: worst row error ${worst.toExponential(2)}`);
    model.dispose();
  }
}

// Forced decoding: the native CPU engine's logits of the same ids. Where the floats between int8
// products round otherwise (SIMD128 has no fma), choices part now and then between two that are tied,
// and logits by less than quantization has moved them; bounds as in tests/vulkan/agreement_test.cc.
const TIE = 0.05;

function compare(got, want, seen) {
  const [chosen, right] = [best(got), best(want)];
  ++seen.rows;
  seen.same += chosen === right;
  seen.tied += want[right] - want[chosen] <= TIE;
  seen.error += rowError(got, want);
  seen.equal += got.every((v, i) => v === want[i]);
}

async function agreement(env, module) {
  for (const { folder, cases } of env.plan.forced) {
    const model = await openModel(env, module, folder);
    const engine = model.createEngine({ maxLogitRows: 128 });
    const seen = { rows: 0, same: 0, tied: 0, error: 0, equal: 0 };
    for (const c of cases) {
      const want = await floats(env, c.logits);
      const got = engine.forward(c.ids);
      check(got.length === want.length, `${folder}: logits`);
      for (let row = 0; row < c.ids.length; ++row) {
        const [from, to] = [row * model.vocab, (row + 1) * model.vocab];
        compare(got.subarray(from, to), want.subarray(from, to), seen);
      }
    }
    const mean = seen.error / seen.rows;
    const said = `${folder}: of ${seen.rows} rows ${seen.same} choose the same, ${seen.tied} the same or ` +
      `tied, ${seen.equal} are equal to the bit, mean error ${mean.toExponential(2)}`;
    env.log(said);
    const i8 = /-i8/.test(folder);
    check(seen.rows > 900 && seen.tied >= 0.999 * seen.rows, said);
    check(seen.same >= (i8 && !env.variant.relaxed ? 0.99 : 0.999) * seen.rows, said);
    check(mean <= (i8 ? 0.6 * 0.019 : 1e-3), said);
    model.dispose();
  }
}

// A greedy answer follows the native one as far as no two logits are nearly the same.
async function answers(env, module) {
  const { folder, prompts } = env.plan.answers;
  const model = await openModel(env, module, folder);
  const engine = model.createEngine({ context: 512 });
  let same = 0;
  for (const { prompt, text } of prompts) {
    const session = engine.createSession();
    session.setPrompt(prompt, { temperature: 0, maxTokens: 40 });
    const events = answer(session);
    same += textOf(events) === text;
    check(events.at(-1).finish !== 'none' && session.usage.completionTokens <= 40, 'finish');
    session.dispose();
  }
  env.log(`${folder}: ${same} of ${prompts.length} greedy answers are the native ones`);
  check(same >= prompts.length - (env.variant.relaxed ? 0 : 1), `${same} of ${prompts.length} answers`);
  model.dispose();
}

// A conversation goes to another module, between two tokens, with and without its KV.
async function moving(env, module) {
  const { folder, prompts } = env.plan.answers;
  const options = { temperature: 0.9, seed: 11, maxTokens: 60, stop: ['never in the text'] };
  const model = await openModel(env, module, folder);
  const other = await env.LaminaModule.load(env.wasm, { threads: env.threads, ...env.variant });
  const otherModel = await openModel(env, other, folder);
  const [from, to] = [model, otherModel].map((m) => m.createEngine({ context: 256 }));
  const whole = from.createSession();
  whole.setPrompt(prompts[0].prompt, options);
  const want = textOf(answer(whole));
  for (const withKv of [true, false]) {
    const session = from.createSession();
    session.setPrompt(prompts[0].prompt, options);
    const events = [];
    while (events.length < 20) events.push(...session.step());
    const { cached } = session.usage;
    const kv = session.exportKv();
    const moved = to.restoreSession(JSON.parse(JSON.stringify(session.save())));
    check(moved.usage.cached === 0, 'nothing cached after restore');
    if (withKv) {
      check(moved.importKv(kv, cached) === cached, 'KV imported');
      check(moved.exportKv().every((v, i) => v === kv[i]), 'KV the same');
    }
    check(textOf(answer(moved, events)) === want, `the answer goes on, ${withKv ? 'with' : 'without'} KV`);
    session.dispose();
  }
  other.dispose();
  model.dispose();
}

// The rows of a remote engine, computed by a CPU engine's logits of the same ids.
async function remote(env, module) {
  const { folder, prompts } = env.plan.answers;
  const model = await openModel(env, module, folder);
  const cpu = model.createEngine({ context: 256 });
  const far = model.createRemote({ context: 256 });
  const options = { temperature: 0, maxTokens: 12 };
  const local = cpu.createSession();
  local.setPrompt(prompts[1].prompt, options);
  const want = textOf(answer(local));
  const session = far.createSession();
  session.setPrompt(prompts[1].prompt, options);
  let text = '';
  for (let batch = session.next(3); batch; batch = session.next(3)) {
    check(batch.rows <= 3 && batch.blockTable.length === batch.tableStride * batch.sequences, 'batch');
    const last = batch.positions[batch.rows - 1];
    if (!batch.wantsLogits[batch.rows - 1]) continue;
    const logits = cpu.forward(session.tokens.slice(0, last + 1)).slice(-model.vocab);
    text += session.choice(1) && last % 2 ? session.acceptToken(best(logits)).text
      : session.accept(logits).text;
  }
  check(text === want, `remote: ${JSON.stringify(text)} for ${JSON.stringify(want)}`);
  const back = far.createSession();
  back.setPrompt(prompts[0].prompt, options);
  check(back.moveTo(cpu) === 0 && answer(back).length > 0, 'a remote session goes on here');
  model.dispose();
}

function code(use) {
  try {
    use();
  } catch (error) {
    return error.code ?? String(error);
  }
  return 'none';
}

async function errors(env, module) {
  const { folder } = env.plan.answers;
  const manifest = new TextDecoder().decode(await env.load(`${folder}/manifest.json`));
  const tokenizer = await env.load(`${folder}/tokenizer.json`);
  check(code(() => module.openModel('{', tokenizer)) === 'invalid_model', 'broken manifest');
  check(code(() => module.openModel('<!doctype html>', tokenizer)) === 'invalid_model', 'HTML');
  check(code(() => module.openModel(manifest, tokenizer.subarray(1))) === 'integrity', 'tokenizer cut');
  check(code(() => module.openModel(manifest.replace('"n_layers":', '"n_layers":1'), tokenizer)) === 'invalid_model',
    'too many layers');
  const model = module.openModel(manifest, tokenizer);
  const early = model.createEngine({ context: 64 });
  const waiting = early.createSession();
  waiting.setPrompt('Once', { temperature: 0 });
  check(code(() => waiting.step()) === 'invalid_argument', 'a step without shards');
  check(code(() => early.forward([1])) === 'invalid_argument', 'logits without shards');
  check(waiting.advance() === null && waiting.cancel().finish === 'cancelled', 'a prompt without shards');
  check(code(() => waiting.advance()) === 'invalid_argument', 'an answer that has ended');
  early.dispose();
  check(model.graph(64).ops.length > 0 && model.plan({ context: 64 }).fitsWasm, 'graph and plan');
  check(code(() => model.shardDone(0)) === 'invalid_argument', 'a shard that did not come');
  check(code(() => model.shardInto(99)) === 'invalid_argument', 'no such shard');
  const bytes = await env.load(`${folder}/${model.shards()[0].file}`);
  check(code(() => model.shardInto(0).set(new Uint8Array(bytes.length + 1))) !== 'none', 'a shard too long');
  model.shardInto(0).set(bytes);
  model.shardDone(0);
  check(code(() => model.createEngine({ context: 1e9 })) === 'invalid_argument', 'context');
  check(code(() => model.createEngine({ kvDtype: 'i3' })) === 'invalid_argument', 'kvDtype');
  check(code(() => model.createEngine({ threads: 64 })) === 'resource_exhausted', 'threads');
  const engine = model.createEngine({ context: 64 });
  const session = engine.createSession();
  check(code(() => session.setPrompt([-1])) === 'invalid_argument', 'token id');
  check(code(() => session.setPrompt(new Int32Array(65).fill(5))) === 'context_exceeded', 'long prompt');
  check(code(() => session.setPrompt('a', { temperature: -1e6 })) === 'invalid_argument', 'temperature');
  check(code(() => session.importKv(new Uint16Array(3), 1)) === 'invalid_argument', 'KV of nothing');
  session.setPrompt('Once', { temperature: 0, maxTokens: 5 });
  const event = session.cancel();
  check(event.finish === 'cancelled' && session.step().length === 0, 'cancel');
  model.dispose();
  check(code(() => session.usage) === 'closed' && code(() => model.plan()) === 'closed', 'disposed');
}

/** Runs all; gives a line of what was loaded. */
export async function runSuite(env) {
  const module = await env.LaminaModule.load(env.wasm, { threads: env.threads, ...env.variant });
  const { relaxed, shared } = module.variant;
  check(relaxed === env.variant.relaxed && shared === env.variant.shared,
    `wanted ${JSON.stringify(env.variant)}, got ${JSON.stringify(module.variant)}: ${module.notes}`);
  check(module.threads === (shared ? env.threads : 1), 'threads');
  const parts = [errors, goldens, agreement, answers, moving, remote, restored, reuse, logprobs, lookAhead,
    remoteSlide, splitShards];
  for (const part of parts) {
    const began = performance.now();
    await part(env, module);
    env.log(`${part.name} passed in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  }
  module.dispose();
  return `${module.isa}, ${module.threads} threads`;
}
