// SPDX-License-Identifier: Apache-2.0

import type { Batch, RemoteEngine, Session, TokenEvent } from '../../abi/module.ts';
import { browserTuningStore, WebGpuExecutor, type TuningReport } from '../../webgpu/executor.ts';
import type { MemoryUse, OpTime } from '../types.ts';
import { Arrivals } from './arrivals.ts';
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
  readonly arrivals: Arrivals;
  waits: Promise<void> | undefined;
  private burst = FIRST_BURST; // tokens to decode at once
  // Rows whose layers before `layer` are computed.
  private inParts: { session: Session; batch: Batch; layer: number } | undefined;
  private free = false; // of tests, tuning and ready(), which use the executor's buffers
  private running: Promise<unknown> = Promise.resolve(); // a part

  private constructor(engine: RemoteEngine, executor: WebGpuExecutor, parts: RunnerParts) {
    this.engine = engine;
    this.executor = executor;
    this.arrivals = new Arrivals(
      (arrived, signal) => this.load({ ...parts, signal }, arrived), parts.signal);
    this.device = executor.facts.description || 'a GPU';
    const { weightBytes, kvBytes, activationBytes } = executor.memory;
    this.memory = { weights: weightBytes, kv: kvBytes, activations: activationBytes };
  }

  /** Its weights follow. `hardwareOnly`: not on a processor that plays GPU. Errors: `unsupported` (no such adapter), `resource_exhausted`, `out_of_memory`, `device`. */
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
      return new WebGpuRunner(engine, executor, parts);
    } catch (thrown) {
      executor?.destroy();
      engine.dispose();
      throw thrown;
    }
  }

  async step(session: Session): Promise<TokenEvent[]> {
    this.arrivals.check();
    if (!this.arrivals.complete || this.inParts?.session === session) return this.advance(session);
    const batch = session.next(this.mostRows());
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

  private async load(parts: RunnerParts, arrived: () => void): Promise<void> {
    const { executor } = this;
    // Beside the download, tested once for an adapter, then tuned; what a wrong one has downloaded serves the CPU.
    const tested = testedAndTuned(executor).then((report) => {
      this.free = true;
      arrived();
      return report;
    });
    tested.catch(() => {}); // told below
    for await (const { index, bytes } of loadShards(parts)) {
      executor.uploadShard(index, bytes);
      arrived();
    }
    const { decided, usually } = await tested;
    this.free = false;
    await this.running;
    await executor.ready();
    // What was tuned just now is proven by steps: they have overwritten the parts.
    const proven = Object.keys(decided).some((key) => decided[key] !== usually[key]);
    if (proven && this.inParts) this.abandon(this.inParts.session);
  }

  abandon(session: Session): void {
    if (this.inParts?.session === session) session.undo();
    this.inParts = undefined;
  }

  // The layers of the prompt's first rows that have their weights. The last part waits for all that
  // a start does, the self-test too.
  private async advance(session: Session): Promise<TokenEvent[]> {
    if (this.inParts?.session !== session) {
      const next = session.next(this.mostRows());
      if (!next) return [];
      this.inParts = { session, batch: copyOf(next), layer: 0 };
    }
    const { batch, layer } = this.inParts;
    const { layers } = this.executor;
    const ready = this.arrivals.complete ? layers + 1 : this.free ? this.executor.readyLayers() : 0;
    this.waits = ready <= layer ? this.arrivals.next : undefined;
    if (this.waits) return [];
    const part = this.executor.stepLayers(batch, layer, ready);
    this.running = part.catch(() => {});
    const logits = await part;
    if (ready <= layers) {
      if (this.inParts) this.inParts.layer = ready;
      return [];
    }
    this.inParts = undefined;
    return logits.length > 0 ? [session.accept(logits)] : [];
  }

  private mostRows(): number {
    return this.executor.facts.software ? SOFTWARE_ROWS : GPU_ROWS;
  }

  async opTimes(): Promise<OpTime[]> {
    const session = this.engine.createSession();
    try {
      session.setPrompt([0]);
      return await this.executor.profile(copyOf(session.next(1)!), 64);
    } finally {
      session.dispose();
    }
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
    this.arrivals.stop();
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

async function testedAndTuned(executor: WebGpuExecutor): Promise<TuningReport> {
  await testOnce(executor);
  return executor.tune(browserTuningStore());
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
