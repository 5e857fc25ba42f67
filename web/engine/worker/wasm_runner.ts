// SPDX-License-Identifier: Apache-2.0

import type { CpuEngine, Session, TokenEvent } from '../../abi/module.ts';
import type { MemoryUse, OpTime } from '../types.ts';
import { Arrivals } from './arrivals.ts';
import type { InModule } from './in_module.ts';
import { loadShards, type Runner, type RunnerParts } from './runner.ts';

const PROFILED_STEPS = 16;

/** The CPU engine, whose weights and steps are in the module. */
export class WasmRunner implements Runner {
  readonly kind = 'wasm';
  readonly engine: CpuEngine;
  readonly device: string;
  readonly memory: MemoryUse;
  readonly arrivals: Arrivals;
  waits: Promise<void> | undefined;
  #inParts: Session | undefined;

  /** Loads the shards into the module but for those that are there, once other runners have loaded. */
  constructor(parts: RunnerParts, inModule: InModule) {
    const options = { context: parts.contextSize, threads: parts.threads };
    this.engine = parts.model.createEngine(options);
    const { info } = this.engine;
    this.device = info.device || info.backend;
    this.memory = {
      weights: info.weightBytes, kv: info.kvBytes, activations: info.activationBytes,
    };
    this.arrivals = new Arrivals(
      (arrived, signal) => inModule.loads.run(
        () => load({ ...parts, signal }, inModule.shards, arrived), signal),
      parts.signal);
  }

  async step(session: Session): Promise<TokenEvent[]> {
    this.arrivals.check();
    const whole = this.arrivals.complete;
    if (whole && this.#inParts !== session) return session.step();
    const events = session.advance();
    this.waits = events === null ? this.arrivals.next : undefined;
    this.#inParts = events === null || events.length === 0 ? session : undefined;
    return events ?? [];
  }

  abandon(session: Session): void {
    if (this.#inParts === session) session.undo();
    this.#inParts = undefined;
  }

  async opTimes(): Promise<OpTime[]> {
    return this.engine.profile(PROFILED_STEPS);
  }

  async exportKv(session: Session): Promise<Uint16Array> {
    return session.exportKv();
  }

  async adopt(session: Session, kv: Uint16Array, positions: number): Promise<void> {
    session.moveTo(this.engine, kv, positions);
  }

  dispose(): void {
    this.arrivals.stop();
    this.engine.dispose();
  }
}

async function load(
  parts: RunnerParts, there: Set<number>, arrived: () => void,
): Promise<void> {
  const { model, stored } = parts;
  const indices = stored.manifest.order.filter((index) => !there.has(index));
  if (indices.length === 0) return;
  const some = there.size > 0 ? { indices } : {};
  // What other threads can write to is written by those that have checked the hash.
  const place = (index: number) => (model.native.shared ? model.shardInto(index) : undefined);
  for await (const { index, bytes } of loadShards(parts, { ...some, place })) {
    if (!model.native.shared) model.shardInto(index).set(bytes);
    model.shardDone(index);
    there.add(index);
    arrived();
  }
}
