// SPDX-License-Identifier: Apache-2.0
// Loading into the module, in Node: what a load that failed has brought is not asked for again.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { LaminaModule } from '../../../web/abi/module.ts';
import { LaminaError } from '../../../web/engine/errors.ts';
import type { RunnerParts } from '../../../web/engine/worker/runner.ts';
import { WasmRunner } from '../../../web/engine/worker/wasm_runner.ts';
import { LAMINA, SOURCE, WORK } from './support.ts';

test('a load that broke off goes on where it was, and a later runner loads nothing', async () => {
  const folder = path.join(WORK, 'shards');
  const source = path.join(SOURCE, 'tests/models/storyteller');
  execFileSync(LAMINA, ['convert', source, folder, '--shard-size', '1M', '--quiet']);
  const modules = process.env.LAMINA_MODULES ?? path.join(SOURCE, 'build/wasm');
  using module = await LaminaModule.load(pathToFileURL(modules), { threads: 1 });
  const read = (file: string) => fs.readFileSync(path.join(folder, file));
  const model = module.openModel(read('manifest.json'), read('tokenizer.json'));
  const all = model.shards().map((_, index) => index);
  const asked: number[][] = [];
  const stored = {
    manifest: { order: all },
    async *shards(_: unknown, __: unknown, options: { indices?: number[] }) {
      const wanted = options.indices ?? all;
      asked.push(wanted);
      for (const index of wanted) {
        if (asked.length === 1 && index === 3) throw new LaminaError('offline', 'gone');
        yield { index, bytes: read(model.shards()[index]?.file ?? '') };
      }
    },
  };
  const parts = {
    model, stored, contextSize: 256, threads: 1, memoryBudget: undefined, signal: undefined,
    onLoaded: () => {},
  } as unknown as RunnerParts;
  const inModule = new Set<number>();
  const broken = new WasmRunner(parts, inModule);
  await assert.rejects(broken.arrivals.all, { code: 'offline' });
  broken.dispose();
  const runner = new WasmRunner(parts, inModule);
  await runner.arrivals.all;
  const session = runner.engine.createSession();
  session.setPrompt('Once', { temperature: 0, maxTokens: 3 });
  while (!session.finished) await runner.step(session);
  runner.dispose();
  const later = new WasmRunner(parts, inModule);
  await later.arrivals.all;
  later.dispose();
  assert.deepEqual(asked, [all, all.slice(3)]);
});
