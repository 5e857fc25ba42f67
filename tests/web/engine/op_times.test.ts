// SPDX-License-Identifier: Apache-2.0
// Times per op, in Node: every op of a token has one, and what is cached is not touched by it.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Runner } from '../../../web/engine/worker/runner.ts';
import { converted, makeRunner, ModelHere, withoutGpu } from './support.ts';

const PROMPT = 'Once upon a time there was an owl who lived in a tall tree. '.repeat(6); // more than a page

let folder = '';
before(() => {
  folder = converted('op_times', '--dtype', 'i8');
});

async function answer(runner: Runner): Promise<{ text: string; reused: number }> {
  const session = runner.engine.createSession();
  session.setPrompt(PROMPT, { temperature: 0, maxTokens: 8, ignoreEos: true });
  let text = '';
  while (!session.finished) {
    for (const event of await runner.step(session)) text += event.text;
  }
  const reused = session.usage.reusedTokens;
  session.dispose(); // the engine keeps its whole pages
  return { text, reused };
}

for (const kind of ['wasm', 'webgpu'] as const) {
  test(`${kind}: each op has a time, and the next answer is the same`, async (t) => {
    const why = kind === 'webgpu' && await withoutGpu();
    if (why) return t.skip(why);
    using here = await ModelHere.open(folder);
    const { model } = here;
    const runner = await makeRunner(kind, here.parts());
    await runner.arrivals.all;
    const first = await answer(runner);
    const times = await runner.opTimes();
    const again = await answer(runner);

    assert.ok(again.reused >= 64, `${again.reused} positions are reused`);
    assert.equal(again.text, first.text);
    for (const { label, count, microseconds, bytes } of times) {
      assert.ok(count >= 1 && microseconds > 0 && bytes >= 0, `${label}: ${count} of ${microseconds} us`);
    }
    const layers = model.info.config['n_layers'] as number;
    for (const op of ['qkv_rope', 'attention', 'gate_up_silu']) {
      const counts = times.filter(({ label }) => label.startsWith(op)).map(({ count }) => count);
      assert.equal(Math.max(...counts), layers, op);
    }
    const total = times.reduce((sum, { count, bytes }) => sum + count * bytes, 0);
    assert.ok(total > 1e6, `${total} bytes of weights`);
    runner.dispose();
  });
}
