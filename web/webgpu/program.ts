// SPDX-License-Identifier: Apache-2.0
// A model's step as dispatches, as backends/vulkan/program.cc has it: for each number of rows that a step
// is rounded up to, which pipelines run with which buffers. Bind groups are made once.
import { rowStride, type ProgramBuffers } from './buffers.ts';
import { choosingThreads } from './choice.ts';
import type { Dispatch } from './dispatch.ts';
import type { GpuFacts } from './device.ts';
import { isMatmul, type BufferName, type GraphOp, type GraphTable, type GraphWeight } from './graph_table.ts';
import { bucketKey, bucketOf, candidateSizes, planMatmul, productKey, type Bucket } from './matmul_ways.ts';
import type { Pipeline, Pipelines } from './pipelines.ts';
import type { ShaderConstants } from './shader_source.ts';
import type { Product } from './tuner.ts';
import type { Tuning } from './tuning.ts';
import type { DeviceWeights, WeightPart } from './weights.ts';

const kPromptLines = 32;  // queries of a workgroup, see attention_prompt.wgsl

/** What a step is, as far as its dispatches depend on it. */
export interface StepKind {
  readonly rows: number;
  /** Rows that want logits; 0: no logits at all. */
  readonly selected: number;
  readonly choose: 'nothing' | 'likeliest' | 'sampled';
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
    const key = `${this.#keyOf(step.rows)}, ${this.#keyOf(step.selected)}, ${step.choose}`;
    let list = this.#lists.get(key);
    if (!list) {
      list = this.#make(step);
      this.#lists.set(key, list);
      list.catch(() => this.#lists.delete(key));
    }
    return list;
  }

  /** The kinds of product of a step with one row that read `leastBytes` of weights a step, the most first. */
  products(leastBytes: number): Product[] {
    const found = new Map<string, { product: Product; bytes: number }>();
    for (const op of this.#products()) {
      const w = this.#graph.weights[op.weight]!;
      const key = productKey(op, w);
      const before = found.get(key);
      const bytes = (before?.bytes ?? 0) + w.rows * w.rowBytes;
      const sizes = before ? undefined : candidateSizes(op, w, this.#tuning, this.#facts, this.#shape(op, w)['LANES'] as number);
      if (before) found.set(key, { ...before, bytes });
      else if (sizes && sizes.candidates.length > 0) found.set(key, { product: { key, ...sizes }, bytes });
    }
    return [...found.values()].filter((f) => f.bytes >= leastBytes).sort((a, b) => b.bytes - a.bytes).map((f) => f.product);
  }

  /** What a step with one row has of that product, one of products(). */
  async product(key: string): Promise<Dispatch[]> {
    const list: Promise<Dispatch>[] = [];
    for (const op of this.#products()) {
      if (productKey(op, this.#graph.weights[op.weight]!) === key) this.#addMatmul(list, op, bucketOf(1, this.#tuning, this.#facts));
    }
    return (await Promise.all(list)).filter((d) => d.weightBytes > 0);
  }

  #products(): GraphOp[] {
    return this.#graph.ops.filter((op) => isMatmul(op.kind));
  }

  #keyOf(rows: number): string {
    return rows === 0 ? 'none' : bucketKey(bucketOf(rows, this.#tuning, this.#facts));
  }

  async #make(step: StepKind): Promise<Dispatch[]> {
    const list: Promise<Dispatch>[] = [];
    for (const op of this.#graph.ops) {
      const n = op.selected ? step.selected : step.rows;
      if (n > 0) this.#add(list, op, bucketOf(n, this.#tuning, this.#facts));
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
    const shape = this.#shape(op, w);
    const fresh = op.kind === 'qkv_rope' && this.#buffers.fresh !== undefined;
    const plan = planMatmul(op, w, bucket, this.#tuning, this.#facts, shape['THREADS'] as number, shape['LANES'] as number, fresh);
    if (plan.way !== 'fused') {
      list.push(this.#dispatch('prepare_rows', op, shape, this.#activationBuffers(op), {
        x: 1, rowsEach: 1, rowsOnX: true, weightBytes: 0,
      }));
      Object.assign(shape, { NORM: false, GATHER: false, MERGE: false });
    }
    Object.assign(shape, plan.constants);
    if (op.kind === 'qkv_rope') Object.assign(shape, { FRESH: fresh, KV_WORDS: fresh || this.#buffers.kvWords });
    for (const part of this.#weights.parts[op.weight]!) {
      const units = Math.ceil(part.rows / plan.unitRows);
      const buffers = {
        ...this.#weightBuffers(op, part),
        keys: op.kind !== 'qkv_rope' ? undefined : this.#buffers.fresh ?? this.#buffers.keys[op.layer],
      };
      const constants = { ...shape, UNITS: units, PART_ROW_BEGIN: part.begin, PART_ROWS: part.rows };
      list.push(this.#dispatch(op.kind, op, constants, buffers, {
        x: Math.min(Math.ceil(units / plan.unitsEach), plan.most), rowsEach: plan.rowsEach, rowsOnX: false,
        weightBytes: part.rows * (w.rowBytes + 4 * w.scalesPerRow),
      }));
    }
    if (fresh) this.#addKvStore(list, op);
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
    const prompt = bucket.way === 'tile';
    const threads = prompt ? 128 : this.#tuning.attentionThreads;  // a multiple of a page
    const together = this.#headsTogether(prompt ? 8 : this.#tuning.attentionHeads);
    const constants = {
      SUBGROUPS: this.#facts.subgroup > 0, THREADS: threads,
      LANES: this.#facts.subgroup || Math.min(32, threads), HEADS: together, KV_WORDS: kvWords,
      SCALE: { f32: 1 / Math.sqrt(headDim) }, X_STRIDE: this.#stride('query'), OUT_STRIDE: this.#stride('mixed'),
    };
    const buffers = { x: activations.query, out_rows: activations.mixed, head, keys: keys[op.layer] };
    list.push(this.#dispatch(prompt ? 'attention_prompt' : 'attention', op, constants, buffers, {
      x: heads / together, rowsEach: prompt ? Math.floor(kPromptLines / together) : 1, rowsOnX: false, weightBytes: 0, splits: !prompt,
    }));
  }

  #addChoose(list: Promise<Dispatch>[], choose: 'likeliest' | 'sampled'): void {
    const { head, tokens, choice, activations } = this.#buffers;
    const threads = choosingThreads(this.#facts);
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
