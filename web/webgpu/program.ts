// SPDX-License-Identifier: Apache-2.0
// A model's step as dispatches, as backends/vulkan/program.cc has it: for each number of rows that a step
// is rounded up to, which pipelines run with which buffers. Bind groups are made once.
import type { GpuFacts } from './device.ts';
import { isMatmul, type BufferName, type GraphOp, type GraphTable, type GraphWeight } from './graph_table.ts';
import type { Pipeline, Pipelines } from './pipelines.ts';
import type { ShaderConstants } from './shader_source.ts';
import type { Tuning } from './tuning.ts';
import type { DeviceWeights, WeightPart } from './weights.ts';

/** Words of the step's buffer before its rows; see shaders/include/common.wgsl. */
export const kHeadWords = 8;
export const kRowWords = 4;
export const kPage = 64;

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
}

/** What a step is, as far as its dispatches depend on it. */
export interface StepKind {
  readonly rows: number;
  /** Rows that want logits; 0: no logits at all. */
  readonly selected: number;
  readonly choose: 'nothing' | 'likeliest' | 'sampled';
}

export interface Dispatch {
  readonly label: string;
  readonly layer: number;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly x: number;
  /** Times the step's rows (or selected rows) over `rowsEach`. */
  readonly rowsEach: number;
  readonly selected: boolean;
  readonly rowsOnX: boolean;
  /** Once for each split of the step's attention. */
  readonly splits: boolean;
  readonly weightBytes: number;
}

/** Floats between rows of a buffer of that width: whole vectors are read. */
export function rowStride(width: number): number {
  return Math.ceil(width / 16) * 16;
}

export const kMostVectorRows = 8;
const kTileUnits = 32;

type Way = 'fused' | 'rows' | 'tile';
interface Bucket {
  readonly way: Way;
  /** Rows of x in one pass. */
  readonly m: number;
}

/** What steps of that many rows share. */
export function bucketOf(rows: number): Bucket {
  if (rows <= 1) return { way: 'fused', m: 1 };
  return { way: 'rows', m: rows <= 2 ? 2 : rows <= 4 ? 4 : 8 };
}

function weightFlag(dtype: GraphWeight['dtype']): string {
  return `WEIGHT_${dtype.toUpperCase()}`;
}

export class Program {
  readonly #device: GPUDevice;
  readonly #facts: GpuFacts;
  readonly #graph: GraphTable;
  readonly #pipelines: Pipelines;
  readonly #weights: DeviceWeights;
  readonly #buffers: ProgramBuffers;
  readonly #tuning: Tuning;
  readonly #lists = new Map<string, Promise<Dispatch[]>>();

  constructor(
    device: GPUDevice, facts: GpuFacts, graph: GraphTable, pipelines: Pipelines, weights: DeviceWeights,
    buffers: ProgramBuffers, tuning: Tuning,
  ) {
    this.#device = device;
    this.#facts = facts;
    this.#graph = graph;
    this.#pipelines = pipelines;
    this.#weights = weights;
    this.#buffers = buffers;
    this.#tuning = tuning;
  }

  /** The dispatches of such steps; made when first asked for. */
  dispatches(step: StepKind): Promise<Dispatch[]> {
    const key = `${bucketOf(step.rows).m} ${step.selected === 0 ? 0 : bucketOf(step.selected).m} ${step.choose}`;
    let list = this.#lists.get(key);
    if (!list) {
      list = this.#make(step);
      this.#lists.set(key, list);
      list.catch(() => this.#lists.delete(key));
    }
    return list;
  }

  async #make(step: StepKind): Promise<Dispatch[]> {
    const list: Promise<Dispatch>[] = [];
    for (const op of this.#graph.ops) {
      const n = op.selected ? step.selected : step.rows;
      if (n > 0) this.#add(list, op, bucketOf(n));
    }
    if (step.choose !== 'nothing') this.#addChoose(list, step.choose);
    return Promise.all(list);
  }

  #add(list: Promise<Dispatch>[], op: GraphOp, bucket: Bucket): void {
    if (op.kind === 'attention') this.#addAttention(list, op, bucket);
    else if (isMatmul(op.kind)) this.#addMatmul(list, op, bucket);
    else if (op.kind === 'embed') this.#addEmbed(list, op);
    else this.#addNorm(list, op);
  }

  // Constants of an op on a weight (or a norm alone, as if the weight were f32).
  #shape(op: GraphOp, w: GraphWeight): Record<string, ShaderConstants[string]> {
    const threads = Math.min(256, this.#tuning.threads, this.#facts.maxThreads);
    const lanes = this.#facts.subgroup || Math.min(32, threads);
    const block = w.dtype === 'i8' && w.group !== 0 ? w.group : 128;
    return {
      SUBGROUPS: this.#facts.subgroup > 0, SHADER_F16: this.#facts.shaderF16, [weightFlag(w.dtype)]: true,
      THREADS: threads, LANES: lanes, COLS: w.cols, ROW_WORDS4: w.rowBytes / 16, BLOCK: block, GROUP: w.group,
      R: 4, M: 1, UNROLL: 1,
      X_STRIDE: op.in === '-' ? 16 : this.#stride(op.in), OUT_STRIDE: this.#stride(op.out),
      N_OUT: this.#graph.buffers[op.out], NORM: op.norm >= 0, GATHER: op.gather, BIAS: op.bias >= 0,
      MERGE: op.in === 'mixed', BLOCK_SHUFFLE: this.#facts.subgroup >= block / 16,
    };
  }

  #stride(buffer: BufferName): number {
    return rowStride(this.#graph.buffers[buffer]);
  }

  #whole(index: number): GPUBuffer | undefined {
    return this.#weights.parts[index]?.[0]?.values;
  }

  // Whether a workgroup's copy of a row of x fits its shared memory.
  #fitsFused(w: GraphWeight): boolean {
    const others = 4 * 1024 + 4 * Math.ceil(w.cols / 32) * 2 + 512;
    const copy = w.dtype === 'i8' ? w.rowBytes : w.dtype === 'f16' ? 2 * w.rowBytes : w.rowBytes;
    return copy + others <= this.#facts.maxShared;
  }

  #addEmbed(list: Promise<Dispatch>[], op: GraphOp): void {
    const w = this.#graph.weights[op.weight]!;
    for (const part of this.#weights.parts[op.weight]!) {
      const constants = { ...this.#shape(op, w), PART_ROW_BEGIN: part.begin, PART_ROWS: part.rows };
      list.push(this.#dispatch('embed', op, constants, this.#weightBuffers(op, part), {
        x: 1, rowsEach: 1, rowsOnX: true, weightBytes: 0,
      }));
    }
  }

  #addNorm(list: Promise<Dispatch>[], op: GraphOp): void {
    const width = op.in === '-' ? 0 : this.#graph.buffers[op.in];
    const w = this.#graph.weights[op.norm]!;
    const constants = { ...this.#shape(op, w), COLS: width, ROW_WORDS4: Math.ceil(width / 4) };
    list.push(this.#dispatch('rms_norm', op, constants, this.#activationBuffers(op), {
      x: 1, rowsEach: 1, rowsOnX: true, weightBytes: 0,
    }));
  }

  #activationBuffers(op: GraphOp): Record<string, GPUBuffer | undefined> {
    const { activations, xq, xs, head } = this.#buffers;
    return {
      x: op.in === '-' ? undefined : activations[op.in], out_rows: activations[op.out], head, xq, xs,
      norm: this.#whole(op.norm), bias: this.#whole(op.bias),
    };
  }

  #weightBuffers(op: GraphOp, part: WeightPart): Record<string, GPUBuffer | undefined> {
    return { ...this.#activationBuffers(op), weights: part.values, scales: part.scales };
  }

  #addMatmul(list: Promise<Dispatch>[], op: GraphOp, bucket: Bucket): void {
    const w = this.#graph.weights[op.weight]!;
    let { way, m } = bucket;
    if (way === 'fused' && !this.#fitsFused(w)) [way, m] = ['rows', 1];
    const shape = this.#shape(op, w);
    if (way !== 'fused') {
      list.push(this.#dispatch('prepare_rows', op, shape, this.#activationBuffers(op), {
        x: 1, rowsEach: 1, rowsOnX: true, weightBytes: 0,
      }));
      Object.assign(shape, { NORM: false, GATHER: false, MERGE: false });
    }
    const fresh = op.kind === 'qkv_rope' && this.#buffers.fresh !== undefined;
    const unit = way === 'fused' ? this.#unitOf(op, w) : { rows: 4, threads: shape['THREADS'] as number };
    const unroll = way === 'fused' ? Math.max(1, Math.floor(this.#tuning.inFlight / unit.rows)) : 2;
    const turns = Math.ceil(w.rowBytes / 16 / (shape['LANES'] as number));
    Object.assign(shape, {
      M: m, FUSED: way === 'fused', TILE: way === 'tile', R: fresh ? 2 : unit.rows, THREADS: unit.threads,
      UNROLL: Math.min(unroll, turns),
    });
    if (op.kind === 'qkv_rope') {
      Object.assign(shape, { FRESH: fresh, KV_WORDS: fresh || this.#buffers.kvWords });
    }
    for (const part of this.#weights.parts[op.weight]!) {
      const outputs = op.kind === 'gate_up_silu' ? part.rows / 2 : part.rows;
      const perUnit = op.kind === 'gate_up_silu' ? shape['R'] as number / 2 : shape['R'] as number;
      const units = Math.ceil(outputs / perUnit);
      const buffers = {
        ...this.#weightBuffers(op, part),
        keys: op.kind !== 'qkv_rope' ? undefined : this.#buffers.fresh ?? this.#buffers.keys[op.layer],
      };
      const tile = way === 'tile';
      const threads = tile ? 256 : shape['THREADS'] as number;
      const unitsEach = tile ? kTileUnits * 2 / (shape['R'] as number) : threads / (shape['LANES'] as number);
      const constants = {
        ...shape, THREADS: threads, UNITS: units, PART_ROW_BEGIN: part.begin, PART_ROWS: part.rows,
      };
      // As many workgroups as run at a time: each makes x ready once and then walks on.
      const most = way === 'fused' ? this.#tuning.groups * 256 / threads : Infinity;
      list.push(this.#dispatch(op.kind, op, constants, buffers, {
        x: Math.min(Math.ceil(units / unitsEach), most), rowsEach: m, rowsOnX: false,
        weightBytes: part.rows * (w.rowBytes + 4 * w.scalesPerRow),
      }));
    }
    if (fresh) this.#addKvStore(list, op);
  }

  // Many weight rows a unit share what is read of x; but there are to be workgroups enough for all of the device.
  #unitOf(op: GraphOp, w: GraphWeight): { rows: number; threads: number } {
    const lanes = this.#facts.subgroup || 32;
    const least = op.kind === 'qkv_rope' ? 4 : op.kind === 'gate_up_silu' ? 2 : 1;
    // A thread makes sixteen columns of x ready.
    let threads = Math.min(this.#tuning.threads, this.#facts.maxThreads);
    while (threads / 2 >= Math.max(w.cols / 16, this.#tuning.leastThreads)) threads /= 2;
    let rows = 4;
    while (rows > least && Math.ceil(w.rows / rows) / (threads / lanes) < this.#tuning.leastGroups) rows /= 2;
    return { rows, threads };
  }

  #addKvStore(list: Promise<Dispatch>[], op: GraphOp): void {
    const { fresh, head, keys, kvWords } = this.#buffers;
    list.push(this.#dispatch('kv_store', op, { THREADS: 64, KV_WORDS: kvWords },
      { fresh, head, keys: keys[op.layer] }, { x: 1, rowsEach: 1, rowsOnX: true, weightBytes: 0 }));
  }

  // The largest number of heads up to `most` that divides those that share a key/value head.
  #headsTogether(most: number): number {
    const { heads, kvHeads } = this.#graph.config;
    let n = Math.min(most, heads / kvHeads);
    while ((heads / kvHeads) % n !== 0) n -= 1;
    return n;
  }

  #addAttention(list: Promise<Dispatch>[], op: GraphOp, bucket: Bucket): void {
    const { head, keys, activations, kvWords } = this.#buffers;
    const { heads, headDim } = this.#graph.config;
    const threads = this.#tuning.attentionThreads;  // a multiple of a page
    const together = this.#headsTogether(bucket.way === 'tile' ? 4 : this.#tuning.attentionHeads);
    const constants = {
      SUBGROUPS: this.#facts.subgroup > 0, THREADS: threads,
      LANES: this.#facts.subgroup || Math.min(32, threads), HEADS: together, KV_WORDS: kvWords,
      SCALE: { f32: 1 / Math.sqrt(headDim) }, X_STRIDE: this.#stride('query'), OUT_STRIDE: this.#stride('mixed'),
    };
    const buffers = { x: activations.query, out_rows: activations.mixed, head, keys: keys[op.layer] };
    list.push(this.#dispatch('attention', op, constants, buffers, {
      x: heads / together, rowsEach: 1, rowsOnX: false, weightBytes: 0, splits: true,
    }));
  }

  #addChoose(list: Promise<Dispatch>[], choose: 'likeliest' | 'sampled'): void {
    const { head, tokens, choice, activations } = this.#buffers;
    const threads = Math.min(this.#facts.software ? 64 : 1024, this.#facts.maxThreads);
    const constants = {
      SUBGROUPS: this.#facts.subgroup > 0, THREADS: threads, LANES: this.#facts.subgroup || 32,
      N_OUT: this.#graph.config.vocab,
    };
    const op: GraphOp = { kind: 'logits', layer: -1, in: 'logits', out: 'logits', weight: -1, bias: -1, norm: -1, selected: true, gather: false };
    list.push(this.#dispatch(choose === 'sampled' ? 'sample' : 'argmax', op, constants,
      { logits: activations.logits, head, tokens, choice }, { x: 1, rowsEach: Infinity, rowsOnX: false, weightBytes: 0 }));
  }

  async #dispatch(
    stem: string, op: GraphOp, constants: ShaderConstants, buffers: Readonly<Record<string, GPUBuffer | undefined>>,
    size: { x: number; rowsEach: number; rowsOnX: boolean; weightBytes: number; splits?: boolean },
  ): Promise<Dispatch> {
    const made = await this.#pipelines.get(stem, constants);
    return {
      label: stem, layer: op.layer, pipeline: made.pipeline, bindGroup: this.#bind(stem, made, buffers),
      selected: op.selected, splits: size.splits ?? false, x: size.x, rowsEach: size.rowsEach,
      rowsOnX: size.rowsOnX, weightBytes: size.weightBytes,
    };
  }

  #bind(stem: string, made: Pipeline, buffers: Readonly<Record<string, GPUBuffer | undefined>>): GPUBindGroup {
    return this.#device.createBindGroup({
      layout: made.layout,
      entries: made.bindings.map((b) => {
        const buffer = buffers[b.name];
        if (!buffer) throw new Error(`${stem} has no buffer for ${b.name}`);
        return { binding: b.binding, resource: { buffer } };
      }),
    });
  }
}

/** Constants that every module of an engine shares. */
export function commonConstants(graph: GraphTable, buffers: Omit<ProgramBuffers, 'keys'>): ShaderConstants {
  const { heads, kvHeads, headDim, eps } = graph.config;
  return {
    HEAD_DIM: headDim, N_HEADS: heads, N_KV_HEADS: kvHeads, EPS: { f32: eps }, VALUES_AT: buffers.valuesAt,
    ROWS_AT: buffers.step.rowsAt, SELECTED_AT: buffers.step.selectedAt, PAGES_AT: buffers.step.pagesAt,
    ROPE_AT: buffers.step.ropeAt, X_STATS_AT: buffers.mixed.statsAt, OUT_STATS_AT: buffers.mixed.statsAt,
  };
}
