// SPDX-License-Identifier: Apache-2.0
// Prompts behind the download, in Node: layers are computed before the last shard comes, to the same
// answer, and what is left half computed leaves nothing behind.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Model, Session } from '../../../web/abi/module.ts';
import { LaminaError } from '../../../web/engine/errors.ts';
import { InModule } from '../../../web/engine/worker/in_module.ts';
import type { Runner } from '../../../web/engine/worker/runner.ts';
import { WebGpuExecutor } from '../../../web/webgpu/executor.ts';
import { converted, makeRunner, ModelHere, withoutGpu } from './support.ts';

const OPTIONS = { temperature: 0, maxTokens: 8, ignoreEos: true };
const SENTENCE = 'Once upon a time there was an owl who lived in a tall tree. ';

let folder = '';
before(() => {
  folder = converted('early', '--dtype', 'i8', '--shard-size', '256K');
});

/** Parts whose last shard is held until release(); `bad`: then the load fails so. */
function held(here: ModelHere, bad?: LaminaError) {
  const last = here.shards.length - 1;
  let release = () => {};
  const released = new Promise<void>((done) => {
    release = done;
  });
  let delivered = 0;
  const parts = here.parts(async (index, signal) => {
    if (index === last) {
      const aborted = new Promise<never>((_, fail) =>
        signal.addEventListener('abort', () => fail(new LaminaError('cancelled', 'aborted'))));
      await Promise.race([released, aborted]);
      if (bad) throw bad;
    }
    ++delivered;
  });
  return { parts, release, allButOne: () => delivered === last };
}

// Steps until the answer ends, or until `until` says so while weights are awaited.
async function answer(runner: Runner, session: Session, until = () => false): Promise<string> {
  let text = '';
  while (!session.finished) {
    for (const event of await runner.step(session)) text += event.text;
    if (!runner.waits) continue;
    if (until()) break;
    await runner.waits;
  }
  return text;
}

// Of several steps; software that plays GPU would take minutes for them.
const promptOf = (runner: Runner) => SENTENCE.repeat(runner.kind === 'wasm' ? 20 : 6);

function asked(runner: Runner, prompt = promptOf(runner)): Session {
  const session = runner.engine.createSession();
  session.setPrompt(prompt, OPTIONS);
  return session;
}

for (const [kind, threads] of [['wasm', 1], ['wasm', 2], ['webgpu', 1]] as const) {
  // Layers whose weights are not in the last shard.
  const early = (model: Model) => {
    const last = model.shards().at(-1)!.layers.filter((layer) => layer >= 0);
    return Math.min(model.info.config['n_layers'] as number, ...last);
  };

  test(`${kind}, ${threads} threads: the layers that are here come first, and the answer is the same`, async (t) => {
    const why = kind === 'webgpu' && await withoutGpu();
    if (why) return t.skip(why);
    using here = await ModelHere.open(folder, threads);
    const { model } = here;
    const source = held(here);
    let layers = 0; // computed, of the first rows
    const stepLayers = WebGpuExecutor.prototype.stepLayers;
    t.mock.method(WebGpuExecutor.prototype, 'stepLayers', function (this: WebGpuExecutor, ...args: Parameters<typeof stepLayers>) {
      layers = args[2];
      return stepLayers.apply(this, args);
    });
    const inModule = new InModule();
    const runner = await makeRunner(kind, source.parts, inModule);
    const session = asked(runner);
    const chunks = Math.ceil(session.usage.pending / runner.engine.info.maxRows);
    let computed = 0;
    let heldAt = -1;
    const step = runner.step.bind(runner);
    runner.step = async (s) => {
      const events = await step(s);
      if (!runner.waits) ++computed;
      else if (kind === 'wasm') layers = computed / chunks;
      if (runner.waits && source.allButOne() && layers === early(model) && heldAt < 0) {
        heldAt = layers;
        source.release();
      }
      return events;
    };
    const text = await answer(runner, session);
    assert.equal(source.allButOne(), false);
    assert.ok(early(model) >= 1);
    assert.equal(heldAt, early(model)); // before the last shard was let go
    session.dispose();
    await runner.arrivals.all;
    runner.dispose();
    const plain = await makeRunner(kind, source.parts, inModule);
    await plain.arrivals.all;
    assert.equal(await answer(plain, asked(plain)), text);
    assert.ok(text.length > 10);
    plain.dispose();
  });

  test(`${kind}, ${threads} threads: what is left in the middle leaves nothing behind`, async (t) => {
    const why = kind === 'webgpu' && await withoutGpu();
    if (why) return t.skip(why);
    using here = await ModelHere.open(folder, threads);
    const source = held(here);
    const runner = await makeRunner(kind, source.parts);
    const session = asked(runner);
    await answer(runner, session, source.allButOne);
    runner.abandon(session);
    assert.equal(session.cancel().finish, 'cancelled');
    assert.equal(session.usage.cached, 0);
    source.release();
    await runner.arrivals.all;
    session.setPrompt(promptOf(runner), OPTIONS);
    assert.equal(session.usage.reusedTokens, 0);
    const text = await answer(runner, session);
    session.dispose();
    const other = asked(runner); // with what the first has left in the cache
    assert.ok(other.usage.reusedTokens > 0);
    assert.equal(await answer(runner, other), text);
    runner.dispose();
  });

  test(`${kind}, ${threads} threads: a shard that cannot come ends the answer with its error`, async (t) => {
    const why = kind === 'webgpu' && await withoutGpu();
    if (why) return t.skip(why);
    using here = await ModelHere.open(folder, threads);
    const source = held(here, new LaminaError('integrity', 'shards/00009.bin: wrong'));
    const runner = await makeRunner(kind, source.parts);
    const session = asked(runner);
    await answer(runner, session, source.allButOne);
    source.release();
    await assert.rejects(answer(runner, session), { code: 'integrity', message: /00009/ });
    await assert.rejects(runner.arrivals.all, { code: 'integrity' });
    runner.dispose();
  });
}
