// SPDX-License-Identifier: Apache-2.0

import type { Batch, RemoteEngine, Session, TokenEvent } from '../../abi/module.ts';
import { browserTuningStore, WebGpuExecutor } from '../../webgpu/executor.ts';
import type { MemoryUse, OpTime } from '../types.ts';
import { firstPositions, loadShards, type Runner, type RunnerParts } from './runner.ts';

/** Rows of a prompt's step, at most; a processor that plays GPU takes fewer, so that one can be interrupted. */
export const GPU_ROWS = 512;
const SOFTWARE_ROWS = 128;
const BURST_MS = 25; // tokens of longer would come in bursts that can be seen
const FIRST_BURST = 4; // tokens, before their time is known

/** WebGPU computes, the module keeps the session. */
export class WebGpuRunner implements Runner {
  readonly kind = 'webgpu';
  readonly engine: RemoteEngine;
  readonly device: string;
  readonly memory: MemoryUse;
  private readonly executor: WebGpuExecutor;
  private burst = FIRST_BURST; // tokens to decode at once

  private constructor(engine: RemoteEngine, executor: WebGpuExecutor) {
    this.engine = engine;
    this.executor = executor;
    this.device = executor.facts.description || 'a GPU';
    const { weightBytes, kvBytes, activationBytes } = executor.memory;
    this.memory = { weights: weightBytes, kv: kvBytes, activations: activationBytes };
  }

  /** `hardwareOnly`: not on a processor that plays GPU. Errors: `unsupported` (no such adapter), `resource_exhausted`, `out_of_memory`, `device`. */
  static async create(parts: RunnerParts, options = { hardwareOnly: false }): Promise<WebGpuRunner> {
    const { model } = parts;
    const engine = model.createRemote({ context: parts.contextSize, maxRows: GPU_ROWS });
    let executor: WebGpuExecutor | undefined;
    try {
      executor = await WebGpuExecutor.create(navigator.gpu, model.graph(parts.contextSize) as never, {
        pages: engine.info.pages,
        maxRows: GPU_ROWS,
        maxLogitRows: 1,
        ...options,
        ...(parts.memoryBudget === undefined ? {} : { memoryBudget: parts.memoryBudget }),
      });
      // Beside the download, tested once for an adapter, then tuned; what a wrong one has downloaded serves the CPU.
      const tested = testedAndTuned(executor);
      for await (const { index, bytes } of loadShards(parts)) executor.uploadShard(index, bytes);
      await tested;
      await executor.ready();
      return new WebGpuRunner(engine, executor);
    } catch (thrown) {
      executor?.destroy();
      engine.dispose();
      throw thrown;
    }
  }

  async step(session: Session): Promise<TokenEvent[]> {
    const batch = session.next(this.executor.facts.software ? SOFTWARE_ROWS : GPU_ROWS);
    if (!batch) return [];
    try {
      const wanted = batch.wantsLogits.indexOf(1) >= 0;
      const alone = batch.rows === 1 && wanted;
      if (alone) {
        const tokens = await this.decode(session);
        if (tokens) return session.acceptTokens(tokens);
      }
      const logits = await this.executor.step(copyOf(alone ? this.engine.batch() : batch));
      return wanted ? [session.accept(logits)] : [];
    } catch (thrown) {
      session.undo();
      throw thrown;
    }
  }

  async opTimes(): Promise<OpTime[]> {
    const place = Int32Array.of(0);
    const batch = {
      tokens: place, positions: place, kvIndices: place, sequence: place,
      wantsLogits: Uint8Array.of(1), blockTable: place, tableStride: 1,
    };
    const times = await this.executor.profile(batch, 64);
    return times.map(({ label, count, us: microseconds, bytes }) => ({ label, count, microseconds, bytes }));
  }

  async exportKv(session: Session): Promise<Uint16Array> {
    const { cached } = session.usage;
    return this.executor.exportKv(session.pages.slice(), cached);
  }

  async adopt(session: Session, kv: Uint16Array, positions: number): Promise<void> {
    const kept = session.moveTo(this.engine, undefined, positions);
    if (kept === 0) return;
    const { config } = this.engine.model.info;
    const heads = config['num_attention_heads'] as number;
    const dim = (config['head_dim'] as number) || (config['hidden_size'] as number) / heads;
    const first = firstPositions(kv, positions, kept, dim);
    await this.executor.importKv(session.pages.slice(), kept, first);
  }

  dispose(): void {
    this.executor.destroy();
    this.engine.dispose();
  }

  // Several tokens on the device, where it can choose them as the sampler would.
  private async decode(session: Session): Promise<Int32Array | null> {
    const n = session.lookAhead(Math.min(this.burst, this.executor.maxSteps));
    if (n < 1) return null;
    const choice = session.choice(n);
    if (!choice || this.executor.mostSteps(choice) < n) return null;
    const began = performance.now();
    const tokens = await this.executor.decode(copyOf(this.engine.batch()), n, choice);
    // At most twice as many as before: one quick burst is no promise.
    const fitting = Math.floor(BURST_MS * n / (performance.now() - began));
    this.burst = Math.max(1, Math.min(fitting, 2 * this.burst));
    return tokens;
  }
}

const testedAdapters = new Set<string>();

async function testOnce(executor: WebGpuExecutor): Promise<void> {
  const { description, subgroup, shaderF16 } = executor.facts;
  const adapter = `${description} ${subgroup} ${shaderF16}`;
  if (testedAdapters.has(adapter)) return;
  await executor.selfTest();
  testedAdapters.add(adapter);
}

function testedAndTuned(executor: WebGpuExecutor): Promise<void> {
  const done = testOnce(executor).then(() => executor.tune(browserTuningStore())).then(() => {});
  done.catch(() => {}); // told to whoever waits, later
  return done;
}

/** The module's views last until its next call, which another answer may make. */
function copyOf(batch: Batch): Batch {
  return {
    ...batch,
    tokens: batch.tokens.slice(),
    positions: batch.positions.slice(),
    kvIndices: batch.kvIndices.slice(),
    sequence: batch.sequence.slice(),
    wantsLogits: batch.wantsLogits.slice(),
    blockTable: batch.blockTable.slice(),
  };
}
