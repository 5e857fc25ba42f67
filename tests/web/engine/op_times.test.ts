// SPDX-License-Identifier: Apache-2.0
// Times per op, in Node: every op of a token has one, and what is cached is not touched by it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { LaminaModule } from '../../../web/abi/module.ts';
import type { Runner, RunnerParts } from '../../../web/engine/worker/runner.ts';
import { WasmRunner } from '../../../web/engine/worker/wasm_runner.ts';
import { WebGpuRunner } from '../../../web/engine/worker/webgpu_runner.ts';
import type { ShardsOptions } from '../../../web/storage/index.ts';
import { dawn, LAMINA, SOURCE, WORK } from './support.ts';

const folder = path.join(WORK, 'op_times');
const modules = pathToFileURL(process.env.LAMINA_MODULES ?? path.join(SOURCE, 'build/wasm'));
const read = (file: string) => new Uint8Array(fs.readFileSync(path.join(folder, file)));
const PROMPT = 'Once upon a time there was an owl who lived in a tall tree. '.repeat(6); // more than a page

before(() => {
  const source = path.join(SOURCE, 'tests/models/storyteller');
  execFileSync(LAMINA, ['convert', source, folder, '--dtype', 'i8', '--quiet']);
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
    if (kind === 'webgpu') {
      const gpu = await dawn();
      if (!gpu) return t.skip('no software Vulkan device here (Debian: chromium)');
      Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu, configurable: true });
    }
    const module = await LaminaModule.load(modules, { threads: 1 });
    using _ = module;
    const model = module.openModel(read('manifest.json'), read('tokenizer.json'));
    const order = model.shards().map((_, i) => i);
    const stored = {
      manifest: { order },
      async *shards(_: unknown, __: unknown, { place }: ShardsOptions) {
        for (const index of order) {
          const bytes = read(model.shards()[index]!.file);
          place?.(index)?.set(bytes);
          yield { index, bytes };
        }
      },
    };
    const parts = {
      model, stored, contextSize: 256, threads: 1, memoryBudget: undefined, signal: undefined, onLoaded: () => {},
    } as unknown as RunnerParts;
    const runner = kind === 'wasm' ? new WasmRunner(parts, new Set()) : await WebGpuRunner.create(parts);
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
