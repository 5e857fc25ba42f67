// SPDX-License-Identifier: Apache-2.0
// What computes a model in this worker: the module's CPU engine or WebGPU. The session, with its
// tokens, sampler and text, is the module's either way.

import type { Engine as AbiEngine, Model, Session, TokenEvent } from '../../abi/module.ts';
import type { LoadedShard, OnProgress, ShardsOptions, StoredModel } from '../../storage/index.ts';
import type { MemoryUse, OpTime } from '../types.ts';
import type { Arrivals } from './arrivals.ts';
import { threadFile } from './assets.ts';
import { HashThreads } from './hash_threads.ts';

/** What runners are made of. */
export interface RunnerParts {
  model: Model;
  stored: StoredModel;
  contextSize: number;
  threads: number;
  memoryBudget: number | undefined;
  onLoaded: OnProgress;
  signal: AbortSignal | undefined;
}

const HASH_THREADS = 2; // of the shards in memory; another is read meanwhile

/** The model's shards as they come, hashed beside this thread. */
export async function* loadShards(
  parts: RunnerParts, options: ShardsOptions = {},
): AsyncGenerator<LoadedShard, void, void> {
  const hasher = new HashThreads(HASH_THREADS, threadFile());
  try {
    yield* parts.stored.shards(parts.signal, parts.onLoaded, { ...options, hasher });
  } finally {
    await hasher.stop(); // the next load may write to the same places
  }
}

export interface Runner {
  readonly kind: 'wasm' | 'webgpu';
  /** Sessions that this runner steps live here. */
  readonly engine: AbiEngine;
  /** For people. */
  readonly device: string;
  readonly memory: MemoryUse;
  /** Its weights; see Arrivals. */
  readonly arrivals: Arrivals;
  /** When the last step could do nothing for want of weights: resolves when there is more to do. */
  readonly waits: Promise<void> | undefined;
  /** A session's step was begun and is not to be ended here. */
  abandon(session: Session): void;
  /**
   * Some rows of the prompt, then no events, or the next tokens. Throws `device` when the device
   * is lost; the session then is where it was before.
   */
  step(session: Session): Promise<TokenEvent[]>;
  /** Of the step of a first token, with all weights here. Throws `unsupported` where nothing has a clock. */
  opTimes(): Promise<OpTime[]>;
  /** Keys and values of all that is cached, canonical f16. */
  exportKv(session: Session): Promise<Uint16Array>;
  /** Takes over a session from another runner, with `kv` of its first `positions`. */
  adopt(session: Session, kv: Uint16Array, positions: number): Promise<void>;
  dispose(): void;
}

/** The first `kept` positions of KV that has `all`, [rows][position][head_dim]. */
export function firstPositions(kv: Uint16Array, all: number, kept: number, dim: number): Uint16Array {
  if (kept === all) return kv;
  const rows = kv.length / (all * dim);
  const out = new Uint16Array(rows * kept * dim);
  for (let row = 0; row < rows; ++row) {
    const from = row * all * dim;
    out.set(kv.subarray(from, from + kept * dim), row * kept * dim);
  }
  return out;
}
