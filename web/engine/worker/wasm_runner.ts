// SPDX-License-Identifier: Apache-2.0

import type { CpuEngine, Session, TokenEvent } from '../../abi/module.ts';
import type { MemoryUse } from '../types.ts';
import { loadShards, type Runner, type RunnerParts } from './runner.ts';

/** The CPU engine, whose weights and steps are in the module. */
export class WasmRunner implements Runner {
  readonly kind = 'wasm';
  readonly engine: CpuEngine;
  readonly device: string;
  readonly memory: MemoryUse;

  private constructor(engine: CpuEngine) {
    this.engine = engine;
    const { info } = engine;
    this.device = info.device || info.backend;
    this.memory = {
      weights: info.weightBytes, kv: info.kvBytes, activations: info.activationBytes,
    };
  }

  /** Loads the shards into the module but for those `inModule`, which has them all then. */
  static async create(parts: RunnerParts, inModule: Set<number>): Promise<WasmRunner> {
    const { model, stored } = parts;
    const indices = stored.manifest.order.filter((index) => !inModule.has(index));
    const some = inModule.size > 0 ? { indices } : {};
    // What other threads can write to is written by those that have checked the hash.
    const place = (index: number) => (model.native.shared ? model.shardInto(index) : undefined);
    const shards = indices.length > 0 ? loadShards(parts, { ...some, place }) : [];
    for await (const { index, bytes } of shards) {
      if (!model.native.shared) model.shardInto(index).set(bytes);
      model.shardDone(index);
      inModule.add(index);
    }
    const options = { context: parts.contextSize, threads: parts.threads };
    return new WasmRunner(model.createEngine(options));
  }

  async step(session: Session): Promise<TokenEvent[]> {
    return session.step();
  }

  async exportKv(session: Session): Promise<Uint16Array> {
    return session.exportKv();
  }

  async adopt(session: Session, kv: Uint16Array, positions: number): Promise<void> {
    session.moveTo(this.engine, kv, positions);
  }

  dispose(): void {
    this.engine.dispose();
  }
}
