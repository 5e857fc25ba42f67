// SPDX-License-Identifier: Apache-2.0
// Every op against the TypeScript oracle, on sizes that divide by nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebGpuExecutor } from '../../../web/webgpu/executor.ts';
import { oracleLogits, quantized, tinyModel, type TinyShape } from '../../../web/webgpu/oracle.ts';
import { modelError, selfTest } from '../../../web/webgpu/self_test.ts';
import { readTuning } from '../../../web/webgpu/tuning.ts';
import { dawn, range } from './support.ts';

const gpu = await dawn();
const base: TinyShape = {
  hidden: 70, intermediate: 99, heads: 6, kvHeads: 3, headDim: 10, vocab: 53, layers: 2, dtype: 'f32', group: 0, bias: true,
};
const shapes: Record<string, TinyShape> = {
  'f32, halves of a head odd': base,
  'f32, one key/value head': { ...base, headDim: 36, heads: 3, kvHeads: 1, hidden: 33, intermediate: 17 },
  'f16': { ...base, dtype: 'f16', headDim: 12, hidden: 130 },
  'f16, halves of a head odd': { ...base, dtype: 'f16', headDim: 6, bias: false },
  'i8': { ...base, dtype: 'i8', headDim: 12, hidden: 300, intermediate: 131 },
  'i8 in groups of 32': { ...base, dtype: 'i8', group: 32, headDim: 20, hidden: 100 },
  'i8 in groups of 128': { ...base, dtype: 'i8', group: 128, headDim: 8, hidden: 260, bias: false },
};
// int8: two roundings to the other side in a small model (D-013); floats: sums in f32, keys and values in f16.
const tolerance = (s: TinyShape) => ({ i8: 0.03, f16: 2e-3, f32: 1e-5 })[s.dtype];

for (const [name, shape] of Object.entries(shapes)) {
  for (const withoutSubgroups of [false, true]) {
    test(`${name}${withoutSubgroups ? ', without subgroups' : ''}`, async () => {
      const model = tinyModel(shape, 7);
      const ids = range(11, 2);
      // f32 keys and values for exactness; halves where the weights are halves too.
      const kvDtype = shape.dtype === 'f16' ? 'f16' : 'f32';
      const error = await modelError(gpu, model, ids, [1, 3, 11], { withoutSubgroups, kvDtype });
      assert.ok(error <= tolerance(shape), String(error));
    });
  }
}

test('attention over splits is that of one', async () => {
  for (const headDim of [10, 16]) {
    const model = tinyModel({ ...base, headDim, layers: 1 }, 3);
    const ids = range(140).map((i) => i % 53);
    for (const tuning of [{ splitPositions: 64, splits: 4 }, { splitPositions: 4096 }]) {
      const error = await modelError(gpu, model, ids, [10], { kvDtype: 'f32', tuning });
      assert.ok(error <= 1e-5, `${JSON.stringify(tuning)}: ${error}`);
    }
    const single = await modelError(gpu, model, ids.slice(0, 70), [1], { kvDtype: 'f32', tuning: { splitPositions: 64 } });
    assert.ok(single <= 1e-5, String(single));
  }
});

test('the self-test passes here, and tells a device that computes wrongly', async () => {
  await selfTest(gpu);
  const model = tinyModel(base);
  const wrong = { graph: { ...model.graph, config: { ...model.graph.config, eps: 0.5 } }, shards: model.shards };
  const right = oracleLogits(model, [1], false)[0]!;
  const other = oracleLogits(wrong, [1], false)[0]!;
  assert.ok(right.some((v, i) => Math.abs(v - other[i]!) > 1e-3));
});

test('activations are quantized as core/tensor/quantize.h says', () => {
  const x = Float64Array.from([1, -2, 0.5, 127, 0, 0, 0, 0]);
  assert.deepEqual([...quantized(x, 4)], [1, -2, 0, 127, 0, 0, 0, 0]);  // 0.5 to even
});

test('workgroup sizes are measured once and remembered', async () => {
  const model = tinyModel({ ...base, layers: 1, headDim: 12 });
  const e = await WebGpuExecutor.create(gpu, model.graph, { pages: 2, maxRows: 1, maxLogitRows: 1, maxSteps: 2 });
  model.shards.forEach((bytes, i) => e.uploadShard(i, bytes));
  await e.ready();
  const cache = new Map<string, string>();
  const chosen = await e.tune(cache);
  assert.equal(cache.size, 1);
  const [key] = cache.keys();
  cache.set(key!, '{"inFlight":2}');
  assert.equal((await e.tune(cache)).inFlight, 2);
  for (const bad of ['{"inFlight":3}', '{"unknown":1}', '{', 'null', '{"threads":-1}']) assert.equal(readTuning(bad), undefined, bad);
  assert.ok(chosen.threads >= 1);
  e.destroy();
});
