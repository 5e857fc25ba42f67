// SPDX-License-Identifier: Apache-2.0
// Whether this device computes what it should: small random models, every op on odd sizes, one row, several and
// tokens chosen on the device, against oracle.ts.
import { LaminaError } from './error.ts';
import { openDevice, type DeviceOptions } from './device.ts';
import { WebGpuExecutor, type Batch, type ExecutorOptions } from './executor.ts';
import { isMatmul, type GraphTable } from './graph_table.ts';
import { oracleLogits, tinyModel, type TinyModel, type TinyShape } from './oracle.ts';

const kShapes: readonly TinyShape[] = [
  { hidden: 76, intermediate: 150, heads: 6, kvHeads: 2, headDim: 12, vocab: 131, layers: 1, dtype: 'i8', group: 0, bias: true },
  { hidden: 96, intermediate: 134, heads: 4, kvHeads: 4, headDim: 16, vocab: 67, layers: 1, dtype: 'f16', group: 0, bias: false },
];
const kTestRows = 20;

// Small models that take the same kernels as this one: by dtype and groups, heads and biases.
function shapesLike(graph: GraphTable): TinyShape[] {
  const { heads, kvHeads, headDim } = graph.config;
  const matrices = graph.ops.filter((op) => isMatmul(op.kind));
  const kinds = new Map(matrices.map((op) => {
    const { dtype, group } = graph.weights[op.weight]!;
    return [`${dtype} ${group}`, { dtype, group }] as const;
  }));
  const bias = matrices.some((op) => op.bias >= 0);
  const shared = Math.min(heads / kvHeads, 4);
  return [...kinds.values()].map((kind) => ({
    hidden: 76, intermediate: 150, heads: 2 * shared, kvHeads: 2, headDim: Math.min(headDim, 64), vocab: 131, layers: 1, ...kind, bias,
  }));
}

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

/**
 * Throws LaminaError `device`, not recoverable, that says what is wrong by how much. `graph`: of the model to come; only
 * its kernels are tried. Rows: one, several and, where products go in tiles, many.
 */
export async function selfTest(gpu: GPU | GPUDevice, graph?: GraphTable, options: DeviceOptions = {}): Promise<void> {
  const opened = await openDevice(gpu, options);
  try {
    const { withoutSubgroups = false, withoutShaderF16 = false, patience } = options;
    const most = opened.facts.software ? 8 : kTestRows;
    for (const [n, shape] of (graph ? shapesLike(graph) : kShapes).entries()) {
      const model = tinyModel(shape, n + 1);
      const ids = Array.from({ length: most }, (_, i) => (i * 29 + 3) % shape.vocab);
      const counts = opened.facts.software ? [1, most] : [1, 5, most];
      const error = await modelError(opened.device, model, ids, counts, { withoutSubgroups, withoutShaderF16, patience, maxRows: most, maxLogitRows: most });
      if (error <= kTolerance[shape.dtype]) continue;
      throw new LaminaError('device', `this GPU computes wrongly: ${shape.dtype} logits are ${error.toExponential(1)} off, ` +
        `at most ${kTolerance[shape.dtype]} is allowed`, { recoverable: false });
    }
  } finally {
    if (opened.owned) opened.device.destroy();
  }
}
