// SPDX-License-Identifier: Apache-2.0
// A model: what its manifest says, its tokenizer, and the shards as they come.

import { LaminaError } from '../engine/errors.ts';
import { Engine } from './engine.ts';
import type { CpuEngine, RemoteEngine } from './engine.ts';
import type { Native } from './native.ts';
import type { ChatMessage, EngineOptions, MemoryPlan, ModelInfo, ShardInfo } from './types.ts';

const ADD_SPECIAL = 1;
const PARSE_SPECIAL = 2;

export class Model {
  readonly native: Native;
  readonly info: ModelInfo;
  readonly engines = new Set<Engine>();
  #address: number;

  /** Made by a module. */
  constructor(native: Native, address: number) {
    this.native = native;
    this.#address = address;
    native.must('lamina_model_describe', address);
    this.info = native.json<ModelInfo>();
  }

  get address(): number {
    if (this.#address === 0) throw new LaminaError('closed', 'the model is disposed');
    return this.#address;
  }
  get vocab(): number {
    return this.info.config['vocab_size'] as number;
  }

  shards(): ShardInfo[] {
    return this.info.shards;
  }

  /** What running with these options takes. Throws `invalid_argument`. */
  plan(options: EngineOptions = {}): MemoryPlan {
    this.#withText('lamina_model_plan', JSON.stringify(options));
    return this.native.json<MemoryPlan>();
  }

  /** The planned graph as a table for other executors: JSON of core/engine/graph_json.h. */
  graph(context: number): unknown {
    this.native.must('lamina_model_graph', this.address, context);
    return this.native.json<unknown>();
  }

  /**
   * Where shard `index` belongs in the module's memory, for a CPU engine. The same place each time
   * until shardDone; ask again after anything else was called, since memory that grows leaves views
   * behind. Throws `out_of_memory`.
   */
  shardInto(index: number): Uint8Array {
    const at = this.native.must('lamina_model_shard', this.address, index);
    return this.native.bytes(at, this.info.shards[index]!.bytes);
  }

  /** The shard's bytes, verified, are in their place. */
  shardDone(index: number): void {
    this.native.must('lamina_model_shard_done', this.address, index);
  }

  /**
   * Computes in the module, whose memory for all shards is taken now. Steps want all shards done, and
   * throw `invalid_argument` before; Session.advance() does not.
   */
  createEngine(options: EngineOptions = {}): CpuEngine {
    return new Engine(this, this.#withText('lamina_engine_cpu', JSON.stringify(options)), false);
  }

  /** Has its batches computed elsewhere; needs no shard here. */
  createRemote(options: EngineOptions = {}): RemoteEngine {
    return new Engine(this, this.#withText('lamina_engine_remote', JSON.stringify(options)), true);
  }

  /** Ids of a text; `special`: what the post-processor adds (default), `parse`: of special tokens. */
  tokenize(text: string, options: { special?: boolean; parse?: boolean } = {}): Int32Array {
    const flags = (options.special === false ? 0 : ADD_SPECIAL) | (options.parse ? PARSE_SPECIAL : 0);
    this.#withText('lamina_model_tokenize', text, flags);
    return this.native.ints();
  }

  detokenize(ids: ArrayLike<number>, options: { skipSpecial?: boolean } = {}): string {
    const skip = options.skipSpecial === false ? 0 : 1;
    this.native.lendNumbers(Int32Array.from(ids), (at, n) =>
      this.native.must('lamina_model_detokenize', this.address, at, n, skip));
    return this.native.text();
  }

  /** Ids of a conversation by the model's chat template. Throws `unsupported` where it has none. */
  chat(
    messages: readonly ChatMessage[],
    options: { addGenerationPrompt?: boolean; date?: Date } = {},
  ): Int32Array {
    const now = options.date ?? new Date();
    const date = {
      year: now.getFullYear(), month: now.getMonth() + 1, day: now.getDate(),
      hour: now.getHours(), minute: now.getMinutes(), second: now.getSeconds(),
    };
    const chat = { messages, addGenerationPrompt: options.addGenerationPrompt ?? true, date };
    this.#withText('lamina_model_chat', JSON.stringify(chat));
    return this.native.ints();
  }

  dispose(): void {
    if (this.#address === 0) return;
    for (const engine of [...this.engines]) engine.dispose();
    if (!this.native.closed) this.native.call('lamina_model_close', this.#address);
    this.#address = 0;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  #withText(name: string, text: string, ...rest: number[]): number {
    return this.native.lend(text, (at, bytes) =>
      this.native.must(name, this.address, at, bytes, ...rest));
  }
}
