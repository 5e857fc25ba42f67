// SPDX-License-Identifier: Apache-2.0
// A model on WebGPU: the core's planned graph (GraphTable) interpreted with shaders/*.wgsl. What
// core/engine/backend.h asks of a backend, for the browser.
import type { OpTime } from '../abi/types.ts';
import {
  allocateBuffers, destroyBuffers, rowStride, sizesOf,
  type ExecutorOptions, type MemoryUse, type ProgramBuffers, type Sizes,
} from './buffers.ts';
import { choiceWords, isChoiceOfDevice, type TokenChoice } from './choice.ts';
import { answered, kMapRead, openDevice, type DeviceOptions, type GpuFacts, type OpenedDevice } from './device.ts';
import { encode, submissions } from './dispatch.ts';
import { LaminaError } from './error.ts';
import { readGraphTable, type GraphTable } from './graph_table.ts';
import { KvCopy } from './kv_copy.ts';
import { bucketOf } from './matmul_ways.ts';
import { Pipelines } from './pipelines.ts';
import { measureOps } from './profile.ts';
import { commonConstants, Program } from './program.ts';
import { checkBatch, StepWords, type Batch } from './step.ts';
import { kNotTuned, sameLogits, tuneProducts, type TuneOptions, type TuningReport } from './tune_products.ts';
import { attentionSplits, defaultTuning, type Products, type Tuning } from './tuning.ts';
import { remember, type TuningStore } from './tuning_store.ts';
import { DeviceWeights } from './weights.ts';

export { planMemory, type ExecutorOptions, type MemoryUse } from './buffers.ts';
export type { TokenChoice } from './choice.ts';
export type { Batch } from './step.ts';
export type { GraphTable } from './graph_table.ts';
export type { TuneOptions, TuningReport } from './tune_products.ts';
export { browserTuningStore, type TuningStore } from './tuning_store.ts';

/** Why a device is gone: `destroyed` by destroy(), else the browser's own words. */
export interface LostReason {
  readonly destroyed: boolean;
  readonly message: string;
}

const kFirstRow: Batch = {
  tokens: Int32Array.of(0), positions: Int32Array.of(0), kvIndices: Int32Array.of(0), sequence: Int32Array.of(0),
  wantsLogits: Uint8Array.of(1), blockTable: Int32Array.of(0), tableStride: 1,
};

export class WebGpuExecutor {
  readonly memory: MemoryUse;
  readonly facts: GpuFacts;
  /** Settles, never rejects, when the device is gone; steps then throw LaminaError `device`. */
  readonly lost: Promise<LostReason>;
  /** Tokens of one decode(), at most. */
  readonly maxSteps: number;
  readonly #device: GPUDevice;
  readonly #owned: boolean;
  readonly #graph: GraphTable;
  readonly #options: ExecutorOptions;
  readonly #weights: DeviceWeights;
  readonly #buffers: ProgramBuffers;
  readonly #pipelines: Pipelines;
  #tuning: Tuning;
  #program: Program;
  readonly #words: StepWords;
  readonly #kv: KvCopy;
  #gone: LostReason | undefined;
  #busy = false;
  #unproven: (() => Promise<void>) | undefined;

  private constructor(
    opened: OpenedDevice, graph: GraphTable, options: ExecutorOptions,
    sizes: Sizes, weights: DeviceWeights, buffers: ProgramBuffers, tuning: Tuning,
  ) {
    this.#device = opened.device;
    this.facts = opened.facts;
    this.#owned = opened.owned;
    this.#graph = graph;
    this.#options = options;
    this.#weights = weights;
    this.#buffers = buffers;
    this.maxSteps = sizes.maxSteps;
    this.memory = { ...sizes.memory, weightBytes: weights.bytes };
    this.#pipelines = new Pipelines(opened.device, commonConstants(graph, buffers));
    this.#tuning = tuning;
    this.#program = this.#programOf(tuning);
    this.#words = new StepWords(graph, buffers.step, options.pages);
    this.#kv = new KvCopy(opened.device, graph, buffers);
    this.lost = opened.device.lost.then((info) => {
      this.#gone ??= { destroyed: info.reason === 'destroyed', message: info.message || 'the GPU device was lost' };
      return this.#gone;
    });
  }

  /**
   * Makes a device (or takes one) and allocates everything; weights follow with uploadShard(). Throws
   * LaminaError `unsupported` (no adapter), `resource_exhausted` (over the budget, or a step too large for a
   * binding), `out_of_memory`.
   */
  static async create(gpu: GPU | GPUDevice, table: GraphTable | string, options: ExecutorOptions): Promise<WebGpuExecutor> {
    const graph = readGraphTable(table);
    const sizes = sizesOf(graph, options);
    const { weightBytes: w, kvBytes, activationBytes } = sizes.memory;
    if (options.memoryBudget !== undefined && w + kvBytes + activationBytes > options.memoryBudget) {
      throw new LaminaError('resource_exhausted', `the model takes ${w} bytes of weights, ${kvBytes} of KV and ` +
        `${activationBytes} of buffers, the budget is ${options.memoryBudget}: give it more, or a smaller context`);
    }
    const opening = openDevice(gpu, options);
    const opened = await answered(opening, options.patience).catch((error: unknown) => {
      opening.then((late) => late.owned && late.device.destroy(), () => {});
      throw error;
    });
    try {
      return await answered(WebGpuExecutor.#allocated(opened, graph, options, sizes), options.patience);
    } catch (error) {
      if (opened.owned) opened.device.destroy();
      throw error;
    }
  }

  static async #allocated(
    opened: OpenedDevice, graph: GraphTable, options: ExecutorOptions, sizes: Sizes,
  ): Promise<WebGpuExecutor> {
    const { device, facts } = opened;
    const buffers = await allocateBuffers(device, facts, graph, options, sizes);
    const weights = await DeviceWeights.create(device, graph, facts.maxBinding).catch((error: unknown) => {
      destroyBuffers(buffers);
      throw error;
    });
    const tuning = { ...defaultTuning(facts), ...options.tuning };
    return new WebGpuExecutor(opened, graph, options, sizes, weights, buffers, tuning);
  }

  /**
   * Small models on the actual device against a scalar oracle. Throws LaminaError `device`, not recoverable, that
   * says what is wrong; `unsupported` where there is no adapter.
   */
  static async selfTest(gpu: GPU | GPUDevice, options: DeviceOptions = {}): Promise<void> {
    const { selfTest } = await import('./self_test.ts');
    await selfTest(gpu, undefined, options);
  }

  /** The same on this executor's device, for the kernels of its model; may go on beside uploadShard(). */
  async selfTest(): Promise<void> {
    this.#alive();
    const { selfTest } = await import('./self_test.ts');
    await selfTest(this.#device, this.#graph, this.#options);
  }

  /** A shard's bytes to the device, any order; nothing of them is kept. Throws LaminaError `invalid_argument`. */
  uploadShard(index: number, bytes: Uint8Array): void {
    this.#alive();
    this.#weights.uploadShard(index, bytes);
  }

  /** Waits for weights and for the kernels of prompts and single tokens. Throws `invalid_argument` where shards miss. */
  async ready(): Promise<void> {
    this.#alive();
    const missing = this.#weights.missing();
    if (missing.length > 0) throw new LaminaError('invalid_argument', `shards not uploaded: ${missing.join(', ')}`);
    await this.#answered(Promise.all([
      ...this.#kernels([1, this.#options.maxRows]), this.#program.dispatches({ rows: 1, selected: 1, choose: 'likeliest' }),
    ]));
    if (!this.facts.software) {  // what shorter prompts need, beside the first answers
      for (const made of this.#kernels([8, 32, 64, 128])) made.catch(() => {});
    }
    await this.#answered(this.#device.queue.onSubmittedWorkDone());
    this.#alive();
    const prove = this.#unproven;
    this.#unproven = undefined;
    await prove?.();
  }

  #kernels(rows: number[]): Promise<unknown>[] {
    return rows.filter((n) => n <= this.#options.maxRows).flatMap((n) => [
      this.#program.dispatches({ rows: n, selected: 1, choose: 'nothing' }),
      this.#program.dispatches({ rows: n, selected: 0, choose: 'nothing' }),
    ]);
  }

  /**
   * Runs one step; gives the logits, [rows that wanted them, in row order][vocab]. Throws LaminaError
   * `invalid_argument`, or `device` when the device is lost.
   */
  step(batch: Batch): Promise<Float32Array> {
    return this.stepLayers(batch, 0, this.layers + 1);
  }

  get layers(): number {
    return this.#graph.config.layers;
  }

  /** How many of the first layers have all their weights, the embedding among the first one's. */
  readyLayers(): number {
    return this.#weights.readyLayers();
  }

  /**
   * A part of a step, while weights arrive: layers [begin, end), the embedding before the first; `layers` is what
   * follows the last, and only a part with it gives logits. A step's parts are the same batch, one after the other,
   * with no other step between them. Throws as step() does. REQUIRES the weights of these layers.
   */
  async stepLayers(batch: Batch, begin: number, end: number): Promise<Float32Array> {
    return this.#exclusive(async () => {
      const wanted = checkBatch(batch, this.#graph, this.#options);
      const rows = batch.tokens.length;
      const all = await this.#program.dispatches({ rows, selected: wanted, choose: 'nothing' });
      const list = all.filter((d) => {
        const layer = d.label === 'embed' ? 0 : d.layer >= 0 ? d.layer : this.layers;
        return begin <= layer && layer < end;
      });
      const selected = end > this.layers ? wanted : 0;
      const splits = this.#words.fill(batch, 1, this.#splits(batch, 1));
      this.#words.write(this.#device.queue, this.#buffers.head);
      const encoder = this.#device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      encode(pass, list, rows, selected, splits);
      pass.end();
      const { vocab } = this.#graph.config;
      const stride = rowStride(vocab);
      if (selected === 0) {
        this.#device.queue.submit([encoder.finish()]);
        return new Float32Array(0);
      }
      const bytes = 4 * selected * stride;
      encoder.copyBufferToBuffer(this.#buffers.activations.logits, 0, this.#buffers.staging, 0, bytes);
      this.#device.queue.submit([encoder.finish()]);
      return this.#read(bytes, (mapped) => {
        const padded = new Float32Array(mapped);
        if (stride === vocab) return padded.slice();
        const out = new Float32Array(selected * vocab);
        for (let i = 0; i < selected; ++i) out.set(padded.subarray(i * stride, i * stride + vocab), i * vocab);
        return out;
      });
    });
  }

  /**
   * Runs the batch's one row, then n - 1 more, each with the token chosen from the logits before; gives the n
   * tokens. REQUIRES the sequence's pages to hold them. Throws as step() does, and `unsupported` for a choice
   * that the device can't make (see mostSteps).
   */
  async decode(batch: Batch, n: number, choice: TokenChoice): Promise<Int32Array> {
    return this.#exclusive(async () => {
      if (checkBatch(batch, this.#graph, this.#options) !== 1 || batch.tokens.length !== 1) {
        throw new LaminaError('invalid_argument', 'decode takes a batch of one row that wants logits');
      }
      if (n < 1 || n > this.mostSteps(choice)) {
        throw new LaminaError('unsupported', `decode of ${n} tokens: this choice can be made for ${this.mostSteps(choice)}`);
      }
      const likeliest = choice.temperature <= 0;
      const words = likeliest ? undefined : choiceWords(choice, n);
      const list = await this.#program.dispatches({ rows: 1, selected: 1, choose: likeliest ? 'likeliest' : 'sampled' });
      const splits = this.#words.fill(batch, n, this.#splits(batch, n));
      this.#words.write(this.#device.queue, this.#buffers.head);
      if (words) this.#device.queue.writeBuffer(this.#buffers.choice, 0, words);
      const parts = submissions(list, n, this.#tuning);
      for (const [i, part] of parts.entries()) {
        const encoder = this.#device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        encode(pass, part, 1, 1, splits);
        pass.end();
        if (i === parts.length - 1) encoder.copyBufferToBuffer(this.#buffers.tokens, 0, this.#buffers.staging, 0, 4 * n);
        this.#device.queue.submit([encoder.finish()]);
      }
      return this.#read(4 * n, (mapped) => new Int32Array(mapped).slice());
    });
  }

  /**
   * Measures which sizes of products are fastest on this device, or takes those that `store` remembers. Before the
   * first step, best beside uploadShard(): weights needn't be there. ready() then looks whether the kernels that were
   * chosen compute the same, and remembers them. A processor that plays GPU is not tuned. Throws LaminaError `device`.
   */
  async tune(store?: TuningStore, options: TuneOptions = {}): Promise<TuningReport> {
    if (this.facts.software && !options.onSoftware) return kNotTuned;
    return this.#exclusive(async () => {
      this.#words.fill(kFirstRow, 1, this.#splits(kFirstRow, 1));
      this.#words.write(this.#device.queue, this.#buffers.head);
      const programOf = (products: Products) => this.#programOf({ ...this.#tuning, products });
      const report = await tuneProducts(this.#device, this.facts, this.#program, programOf, store, options);
      this.#alive();
      const usual = this.#tuning;
      this.#unproven = () => this.#prove(usual, report, store);
      this.retune({ ...usual, products: { ...report.remembered, ...report.decided } });
      return report;
    });
  }

  // What was decided must compute what the usual kernels do; else these come back, and that is remembered.
  async #prove(usual: Tuning, { decided, usually }: TuningReport, store: TuningStore | undefined): Promise<void> {
    let proven = decided;
    if (Object.keys(decided).some((key) => decided[key] !== usually[key])) {
      const tuned = this.#tuning;
      const got = await this.step(kFirstRow);
      this.retune(usual);
      if (sameLogits(got, await this.step(kFirstRow))) this.retune(tuned);
      else proven = usually;
    }
    if (store) await remember(store, this.facts, proven);
  }

  /** Other sizes of workgroups from the next step on. */
  retune(tuning: Partial<Tuning>): void {
    this.#tuning = { ...defaultTuning(this.facts), ...tuning };
    this.#program = this.#programOf(this.#tuning);
  }

  /**
   * What each kind of dispatch of such a step takes on the device, by its own clock; `count` of them a step. Layers take turns, so that weights come from memory as they do in a step.
   */
  async profile(batch: Batch, rounds: number): Promise<OpTime[]> {
    return this.#exclusive(async () => {
      const selected = checkBatch(batch, this.#graph, this.#options);
      const list = await this.#program.dispatches({ rows: batch.tokens.length, selected, choose: selected === 1 ? 'likeliest' : 'nothing' });
      const splits = this.#words.fill(batch, 1, this.#splits(batch, 1));
      this.#words.write(this.#device.queue, this.#buffers.head);
      return measureOps(this.#device, list, rounds, (pass, some) => encode(pass, some, batch.tokens.length, selected, splits));
    });
  }

  /** Tokens that decode() can choose so without coming back; 0: not at all. */
  mostSteps(choice: TokenChoice): number {
    return isChoiceOfDevice(choice, this.facts, this.#graph.config.vocab) ? this.maxSteps : 0;
  }

  /** The first n positions held by `pages`, as f16 bits [layer][k|v][kv head][position][head_dim]. */
  async exportKv(pages: Int32Array, nPositions: number): Promise<Uint16Array> {
    return this.#exclusive(() => this.#kv.export(pages, nPositions));
  }

  /** The same, back into pages. */
  async importKv(pages: Int32Array, nPositions: number, kv: Uint16Array): Promise<void> {
    return this.#exclusive(async () => this.#kv.import(pages, nPositions, kv));
  }

  /** Gives back all memory; an own device too. `lost` settles then. */
  destroy(): void {
    this.#weights.destroy();
    destroyBuffers(this.#buffers);
    this.#gone ??= { destroyed: true, message: 'the executor was destroyed' };
    if (this.#owned) this.#device.destroy();
  }

  #programOf(tuning: Tuning): Program {
    return new Program(this.#device, this.facts, this.#graph, this.#pipelines, this.#weights, this.#buffers, tuning);
  }

  // Prompts in tiles have an attention of their own, which splits nothing.
  #splits(batch: Batch, n: number): { splits: number; positions: number } {
    const rows = batch.tokens.length;
    const tiled = bucketOf(rows, this.#tuning, this.facts).way === 'tile';
    return attentionSplits(this.#tuning, batch.kvIndices, n, tiled ? rows : this.#buffers.mixed.slots);
  }

  async #read<T>(bytes: number, take: (mapped: ArrayBuffer) => T): Promise<T> {
    await this.#buffers.staging.mapAsync(kMapRead, 0, bytes);
    const out = take(this.#buffers.staging.getMappedRange(0, bytes));
    this.#buffers.staging.unmap();
    return out;
  }

  #alive(): void {
    if (this.#gone) throw new LaminaError('device', `the GPU device is lost: ${this.#gone.message}`);
  }

  // A device that keeps silent is as good as lost.
  #answered<T>(work: Promise<T>): Promise<T> {
    return answered(work, this.#options.patience, (message) => {
      this.#gone ??= { destroyed: false, message };
      if (this.#owned) this.#device.destroy();
    });
  }

  async #exclusive<T>(work: () => Promise<T>): Promise<T> {
    this.#alive();
    if (this.#busy) throw new LaminaError('invalid_argument', 'the executor runs one call at a time');
    this.#busy = true;
    try {
      return await this.#answered(work());
    } catch (error) {
      if (error instanceof LaminaError) throw error;
      // What is thrown while a device goes down says less than the device itself, a moment later.
      await Promise.race([this.lost, new Promise((resolve) => setTimeout(resolve, 100))]);
      this.#alive();
      throw new LaminaError('device', `the GPU refused a step: ${String(error)}`, { cause: error });
    } finally {
      this.#busy = false;
    }
  }
}
