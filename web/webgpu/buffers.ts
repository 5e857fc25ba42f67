// SPDX-License-Identifier: Apache-2.0
// What an executor keeps on the device beside the weights: how large, and where things lie.
import { allocate, GPUUsage, type DeviceOptions, type GpuFacts } from './device.ts';
import { LaminaError } from './error.ts';
import type { BufferName, GraphTable } from './graph_table.ts';
import type { Tuning } from './tuning.ts';
import { weightBytes } from './weights.ts';

/** Words of the step's buffer before its rows; see shaders/include/common.wgsl. */
export const kHeadWords = 8;
export const kRowWords = 4;
export const kPage = 64;
/** Words of a choice before its random numbers; see shaders/sample.wgsl. */
export const kChoiceWords = 4;
/** Of one row's attention. */
export const kMostSplits = 16;

export interface ExecutorOptions extends DeviceOptions {
  /** KV pages of 64 positions. */
  readonly pages: number;
  /** Of a step, at most. */
  readonly maxRows: number;
  readonly maxLogitRows: number;
  /** Tokens of one decode(), at most; 32 by default. */
  readonly maxSteps?: number;
  /** f32 is for exactness. */
  readonly kvDtype?: 'f16' | 'f32';
  /** Bytes of device memory, at most. */
  readonly memoryBudget?: number;
  readonly tuning?: Partial<Tuning>;
}

export interface MemoryUse {
  readonly weightBytes: number;
  readonly kvBytes: number;
  readonly activationBytes: number;
}

export interface StepLayout {
  readonly rowsAt: number;
  readonly selectedAt: number;
  readonly pagesAt: number;
  readonly ropeAt: number;
  readonly words: number;
}

/** How attention keeps a row's pieces: rows times splits of a step are at most `slots`. */
export interface MixedLayout {
  readonly slots: number;
  /** Of the statistics, in pairs of floats. */
  readonly statsAt: number;
}

export interface ProgramBuffers {
  readonly activations: Readonly<Record<BufferName, GPUBuffer>>;
  readonly xq: GPUBuffer;
  readonly xs: GPUBuffer;
  readonly head: GPUBuffer;
  readonly tokens: GPUBuffer;
  readonly choice: GPUBuffer;
  readonly fresh: GPUBuffer | undefined;
  /** By layer: keys, then values. */
  readonly keys: readonly GPUBuffer[];
  /** Elements from a layer's keys to its values. */
  readonly valuesAt: number;
  readonly kvWords: boolean;
  readonly step: StepLayout;
  readonly mixed: MixedLayout;
  /** What the host reads results through. */
  readonly staging: GPUBuffer;
}

export interface Sizes {
  readonly buffers: Readonly<Record<BufferName, number>>;
  readonly xq: number;
  readonly xs: number;
  readonly fresh: number;
  readonly kvLayer: number;
  readonly slots: number;
  readonly pageWords: number;
  readonly maxSteps: number;
  readonly memory: MemoryUse;
}

/** Floats between rows of a buffer of that width: whole vectors are read. */
export function rowStride(width: number): number {
  return Math.ceil(width / 16) * 16;
}

/** What an executor with these options will take, in bytes, without a device. */
export function planMemory(graph: GraphTable, options: ExecutorOptions): MemoryUse {
  return sizesOf(graph, options).memory;
}

export function sizesOf(graph: GraphTable, o: ExecutorOptions): Sizes {
  const { heads, kvHeads, headDim, layers } = graph.config;
  const slots = Math.max(o.maxRows, kMostSplits) + kMostSplits;
  const rowsOf = (b: BufferName) => (b === 'logits' ? o.maxLogitRows : b === 'mixed' ? slots : o.maxRows);
  const names: BufferName[] = ['hidden', 'normed', 'query', 'mixed', 'gated', 'logits'];
  const buffers = Object.fromEntries(names.map((b) => [b,
    4 * rowsOf(b) * rowStride(graph.buffers[b]) + (b === 'mixed' ? 8 * slots * heads : 0)]));
  const matrices = graph.weights.filter((w) => w.rows > 1);
  const most = (f: (w: (typeof matrices)[number]) => number) => Math.max(16, ...matrices.map(f));
  const xq = o.maxRows * most((w) => w.rowBytes * (w.dtype === 'f16' ? 2 : 1));
  const xs = 4 * o.maxRows * most((w) => Math.ceil(w.cols / (w.group || 128)));
  const fresh = headDim % 4 === 0 ? 0 : 8 * o.maxRows * kvHeads * headDim;
  const elements = 2 * o.pages * kvHeads * kPage * Math.ceil(headDim / 8) * 8;
  const kvLayer = elements * (o.kvDtype === 'f32' ? 4 : 2);
  const activationBytes = Object.values(buffers).reduce((a, b) => a + b, xq + xs + fresh);
  return {
    buffers: buffers as Record<BufferName, number>, xq, xs, fresh, kvLayer, slots,
    pageWords: Math.min(o.maxRows, 64) * o.pages, maxSteps: o.maxSteps ?? 32,
    memory: { weightBytes: weightBytes(graph), kvBytes: layers * kvLayer, activationBytes },
  };
}

function stepLayout(graph: GraphTable, o: ExecutorOptions, sizes: Sizes): StepLayout {
  const rowsAt = kHeadWords;
  const selectedAt = rowsAt + kRowWords * o.maxRows;
  const pagesAt = selectedAt + o.maxRows;
  const ropeAt = pagesAt + sizes.pageWords;
  return { rowsAt, selectedAt, pagesAt, ropeAt, words: ropeAt + Math.max(o.maxRows, sizes.maxSteps) * graph.config.headDim };
}

/**
 * All of them, zeros. Throws LaminaError `resource_exhausted` where one is larger than a binding may be,
 * `out_of_memory`; then nothing is held.
 */
export async function allocateBuffers(
  device: GPUDevice, facts: GpuFacts, graph: GraphTable, options: ExecutorOptions, sizes: Sizes,
): Promise<ProgramBuffers> {
  const made: GPUBuffer[] = [];
  const buffer = async (what: string, bytes: number, usage: number) => {
    const b = await allocate(device, what, bytes, usage);
    made.push(b);
    return b;
  };
  const scratch = (what: string, bytes: number) => {
    if (bytes > facts.maxBinding) {
      throw new LaminaError('resource_exhausted', `${what} takes ${bytes} bytes, this device binds at most ` +
        `${facts.maxBinding}: use a smaller context or fewer rows`);
    }
    return buffer(what, bytes, GPUUsage.storage | GPUUsage.copySrc | GPUUsage.copyDst);
  };
  try {
    const activations: Partial<Record<BufferName, GPUBuffer>> = {};
    for (const [name, bytes] of Object.entries(sizes.buffers)) activations[name as BufferName] = await scratch(name, bytes);
    const step = stepLayout(graph, options, sizes);
    const keys: GPUBuffer[] = [];
    for (let layer = 0; layer < graph.config.layers; ++layer) keys.push(await scratch(`KV of layer ${layer}`, sizes.kvLayer));
    return {
      activations: activations as Record<BufferName, GPUBuffer>,
      xq: await scratch('quantized rows', sizes.xq), xs: await scratch('scales of rows', sizes.xs),
      head: await scratch('step', 4 * step.words), tokens: await scratch('tokens', 4 * sizes.maxSteps),
      choice: await scratch('choice', 4 * (kChoiceWords + sizes.maxSteps)),
      fresh: sizes.fresh > 0 ? await scratch('new keys and values', sizes.fresh) : undefined,
      keys, valuesAt: sizes.kvLayer / (options.kvDtype === 'f32' ? 8 : 4), kvWords: options.kvDtype === 'f32',
      step, mixed: { slots: sizes.slots, statsAt: (sizes.slots * rowStride(graph.buffers.mixed)) / 2 },
      staging: await buffer('read-back', Math.max(sizes.buffers.logits, 4 * sizes.maxSteps), GPUUsage.mapRead | GPUUsage.copyDst),
    };
  } catch (error) {
    for (const b of made) b.destroy();
    throw error;
  }
}

export function destroyBuffers(buffers: ProgramBuffers): void {
  const { activations, keys, xq, xs, head, tokens, choice, fresh, staging } = buffers;
  for (const b of [...Object.values(activations), ...keys, xq, xs, head, tokens, choice, staging]) b.destroy();
  fresh?.destroy();
}
