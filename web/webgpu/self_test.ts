// SPDX-License-Identifier: Apache-2.0
// Whether this device computes what it should: small random models, every op on odd sizes, one row, several and
// tokens chosen on the device, against oracle.ts.
import { LaminaError } from './error.ts';
import type { DeviceOptions } from './device.ts';
import { WebGpuExecutor, type Batch, type ExecutorOptions } from './executor.ts';
import { oracleLogits, tinyModel, type TinyModel, type TinyShape } from './oracle.ts';

const kShapes: readonly TinyShape[] = [
  { hidden: 76, intermediate: 150, heads: 6, kvHeads: 2, headDim: 12, vocab: 131, layers: 2, dtype: 'i8', group: 0, bias: true },
  { hidden: 96, intermediate: 134, heads: 4, kvHeads: 4, headDim: 16, vocab: 67, layers: 1, dtype: 'f16', group: 0, bias: false },
];
// int8: a rounding that falls the other way moves a value by 1/127 of its block's largest (D-013).
const kTolerance = { i8: 0.03, f16: 2e-3, f32: 2e-3 };

/** |got - want| / |want| of the worst row, in steps of each of these numbers of rows. */
export async function modelError(
  gpu: GPU | GPUDevice, model: TinyModel, ids: readonly number[], rowCounts: readonly number[], options: Partial<ExecutorOptions> = {},
): Promise<number> {
  const want = oracleLogits(model, ids, options.kvDtype !== 'f32');
  const { vocab } = model.graph.config;
  const e = await WebGpuExecutor.create(gpu, model.graph, { pages: 4, maxRows: 16, maxLogitRows: 16, ...options });
  try {
    for (const [i, bytes] of model.shards.entries()) e.uploadShard(i, bytes);
    await e.ready();
    let worst = 0;
    for (const rows of rowCounts) {
      let told: Float32Array = new Float32Array(0);
      for (let at = 0; at < ids.length; at += rows) {
        told = await e.step(sequenceRows(ids.slice(at, at + rows), at));
        for (let i = 0; i * vocab < told.length; ++i) {
          worst = Math.max(worst, difference(told.subarray(i * vocab, (i + 1) * vocab), want[at + i]!));
        }
      }
      if (rows > 1) continue;
      const [chosen] = await e.decode(sequenceRows(ids.slice(-1), ids.length - 1), 1, { temperature: 0, topK: 0, topP: 1, minP: 0 });
      if (told[chosen!] !== Math.max(...told)) return Infinity;
    }
    return worst;
  } finally {
    e.destroy();
  }
}

function sequenceRows(ids: readonly number[], begin: number): Batch {
  const places = Int32Array.from(ids, (_, i) => begin + i);
  return { tokens: Int32Array.from(ids), positions: places, kvIndices: places, sequence: new Int32Array(ids.length),
    wantsLogits: new Uint8Array(ids.length).fill(1), blockTable: Int32Array.of(2, 0, 3, 1), tableStride: 4 };
}

function difference(got: Float32Array, want: Float64Array): number {
  let error = 0;
  let length = 0;
  want.forEach((w, i) => {
    error += (got[i]! - w) ** 2;
    length += w ** 2;
  });
  const ratio = Math.sqrt(error / length);
  return Number.isNaN(ratio) ? Infinity : ratio;
}

/** Throws LaminaError `device`, not recoverable, that says what is wrong by how much. */
export async function selfTest(gpu: GPU | GPUDevice, options: DeviceOptions = {}): Promise<void> {
  for (const [n, shape] of kShapes.entries()) {
    const model = tinyModel(shape, n + 1);
    const ids = Array.from({ length: 10 }, (_, i) => (i * 29 + 3) % shape.vocab);
    const error = await modelError(gpu, model, ids, [1, 5], options);
    if (error <= kTolerance[shape.dtype]) continue;
    throw new LaminaError('device', `this GPU computes wrongly: ${shape.dtype} logits are ${error.toExponential(1)} off, ` +
      `at most ${kTolerance[shape.dtype]} is allowed`, { recoverable: false });
  }
}
