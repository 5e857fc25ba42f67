// SPDX-License-Identifier: Apache-2.0
// Every op against the TypeScript oracle, on sizes that divide by nothing.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openDevice } from '../../../web/webgpu/device.ts';
import { LaminaError } from '../../../web/webgpu/error.ts';
import { oracleLogits, quantized, tinyModel, type TinyShape } from '../../../web/webgpu/oracle.ts';
import { modelError, selfTest } from '../../../web/webgpu/self_test.ts';
import { dawn, executor, kNoHurry, range, rowError, rowsOf } from './support.ts';

// One device for all: what cases have in common is compiled once.
const gpu = await dawn();
const { device } = await openDevice(gpu);
after(() => device.destroy());
const base: TinyShape = {
  hidden: 70, intermediate: 99, heads: 6, kvHeads: 3, headDim: 10, vocab: 53, layers: 1, dtype: 'f32', group: 0, bias: true,
};
// Rows of a step: one, several and a few more take kernels of their own.
interface Case { readonly shape: TinyShape; readonly rows: readonly number[]; readonly without: readonly number[] }
const cases: Record<string, Case> = {
  'f32, halves of a head odd': { shape: { ...base, layers: 2 }, rows: [1, 3, 11], without: [11] },
  'f32, one key/value head': { shape: { ...base, headDim: 36, heads: 3, kvHeads: 1, hidden: 33, intermediate: 17 }, rows: [1, 11], without: [] },
  'f16': { shape: { ...base, dtype: 'f16', headDim: 12, hidden: 130 }, rows: [1, 3, 11], without: [1] },
  'f16, halves of a head odd': { shape: { ...base, dtype: 'f16', headDim: 6, bias: false }, rows: [1, 11], without: [] },
  'i8': { shape: { ...base, dtype: 'i8', headDim: 12, hidden: 300, intermediate: 131 }, rows: [1, 3, 11], without: [1, 11] },
  'i8 in groups of 32': { shape: { ...base, dtype: 'i8', group: 32, headDim: 20, hidden: 100 }, rows: [1, 11], without: [] },
  'i8 in groups of 128': { shape: { ...base, dtype: 'i8', group: 128, headDim: 8, hidden: 260, bias: false }, rows: [1], without: [3] },
};
// int8: two roundings to the other side in a small model (D-013); floats: sums in f32, keys and values in f16.
const tolerance = (s: TinyShape) => ({ i8: 0.03, f16: 2e-3, f32: 1e-5 })[s.dtype];

for (const [name, { shape, rows, without }] of Object.entries(cases)) {
  for (const withoutSubgroups of [false, true]) {
    const counts = withoutSubgroups ? without : rows;
    if (counts.length === 0) continue;
    test(`${name}${withoutSubgroups ? ', without subgroups' : ''}`, async () => {
      const model = tinyModel(shape, 7);
      const ids = range(11, 2);
      // f32 keys and values for exactness; halves where the weights are halves too.
      const kvDtype = shape.dtype === 'f16' ? 'f16' : 'f32';
      const error = await modelError(device, model, ids, counts, { withoutSubgroups, kvDtype, maxRows: Math.max(...counts), patience: kNoHurry });
      assert.ok(error <= tolerance(shape), String(error));
    });
  }
}

for (const dtype of ['i8', 'f16', 'f32'] as const) {
  for (const group of dtype === 'i8' ? [0, 32] : [0]) {
    test(`${dtype}${group ? ` in groups of ${group}` : ''}: many rows in tiles`, async () => {
      const model = tinyModel({ ...base, dtype, group, layers: 1, headDim: dtype === 'i8' ? 12 : 10, hidden: 140 }, 5);
      const ids = range(37, 2).map((i) => i % 53);
      const options = { patience: kNoHurry, kvDtype: 'f32', maxRows: 40, maxLogitRows: 40, tuning: { tileRows: 12, tileWeights: dtype === 'f16' ? 4 : 2, tileX: 2, tileStep: group === 32 ? 8 : 4 } } as const;
      const error = await modelError(device, model, ids, group ? [37] : [37, 13], options);
      assert.ok(error <= tolerance({ ...base, dtype }), String(error));
    });
  }
}

test('attention over splits is that of one', async () => {
  const model = tinyModel({ ...base, headDim: 16 }, 3);
  const ids = range(140).map((i) => i % 53);
  for (const tuning of [{ splitPositions: 64 }, { splitPositions: 4096 }]) {
    const error = await modelError(device, model, ids, [10], { kvDtype: 'f32', tuning, maxRows: 10, maxLogitRows: 10, patience: kNoHurry });
    assert.ok(error <= 1e-5, `${JSON.stringify(tuning)}: ${error}`);
  }
});

test('positions far beyond a page: prompts in tiles, then rows over many splits', async () => {
  const shape = { ...base, heads: 4, kvHeads: 2, hidden: 40, intermediate: 24, vocab: 31 };
  const model = tinyModel(shape, 11);
  const ids = range(1087).map((i) => (i * i + 3) % 31);
  const want = oracleLogits(model, ids, false);
  const pages = range(33).map((i) => (i * 5 + 2) % 33);  // all over the place
  const e = await executor(device, model, {
    pages: 33, maxRows: 64, maxLogitRows: 1, kvDtype: 'f32', tuning: { tileRows: 12, tileWeights: 2, tileX: 2, tileStep: 4 },
  });
  let worst = 0;
  const cuts = [...range(17).map((i) => 64 * i), 1080, ...range(7, 1081)];
  for (const [n, begin] of cuts.slice(0, -1).entries()) {
    const rows = rowsOf(ids.slice(begin, cuts[n + 1]!), begin, pages, false);
    rows.wantsLogits[rows.tokens.length - 1] = 1;
    worst = Math.max(worst, rowError(await e.step(rows), want[cuts[n + 1]! - 1]!));
  }
  e.destroy();
  assert.ok(worst <= 1e-5, String(worst));
});

// As if a driver's compiler had made a mistake.
function broken(from: string, to: string): GPUDevice {
  const get = (target: GPUDevice, name: keyof GPUDevice) => {
    if (name === 'createShaderModule') {
      return (d: GPUShaderModuleDescriptor) => target.createShaderModule({ ...d, code: d.code.replace(from, to) });
    }
    const value: unknown = Reflect.get(target, name, target);
    return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
  };
  return new Proxy(device, { get: get as Required<ProxyHandler<GPUDevice>>['get'] });
}

test('the self-test passes here, and tells a device that computes wrongly', async () => {
  await selfTest(device, undefined, { patience: kNoHurry });
  const { graph } = tinyModel({ ...base, dtype: 'i8', group: 32, bias: false });
  const wrong = broken('gate / (1.0 + exp(-gate))', 'gate / (1.1 + exp(-gate))');
  await assert.rejects(selfTest(wrong, graph, { patience: kNoHurry }), (e: unknown) =>
    e instanceof LaminaError && e.code === 'device' && !e.recoverable && /computes wrongly: i8 logits are .* off/.test(e.message));
});

test('activations are quantized as core/tensor/quantize.h says', () => {
  const x = Float64Array.from([1, -2, 0.5, 127, 0, 0, 0, 0]);
  assert.deepEqual([...quantized(x, 4)], [1, -2, 0, 127, 0, 0, 0, 0]);  // 0.5 to even
});
