// SPDX-License-Identifier: Apache-2.0
// The engines in this browser, seen from the page: everything happens in a worker, which only sends
// events.

import { LaminaError, throwIfAborted } from './errors.ts';
import { PageWorkers } from './page_workers.ts';
import type { GenerateRequest, GenerationEvent, Prompt, Transport } from './transport.ts';
import type { EngineInfo, EngineKind, ModelPlan, Notice, OpTime, Progress } from './types.ts';
import type { LocalOptions } from './worker/crossing.ts';
import type { WorkerHandlers } from './worker/engine_worker.ts';
import { RpcClient, type Port } from './worker/rpc.ts';

export interface LocalSetup {
  options: LocalOptions;
  /** Absolute, with a slash at its end. */
  assets?: string | undefined;
  onPlan?: ((plan: ModelPlan) => unknown) | undefined;
  /** open() doesn't wait for the weights. */
  early?: boolean | undefined;
  /** Milliseconds without progress. */
  startTimeout?: number | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
  onNotice?: ((notice: Notice) => void) | undefined;
  signal?: AbortSignal | undefined;
}

let named = 0;

export class LocalTransport implements Transport {
  kind: EngineKind = 'wasm';
  /** Of the model, made before anything was downloaded. */
  plan: ModelPlan | undefined;
  /** When the weights are here; rejects as open() would have. */
  loaded: Promise<void> = Promise.resolve();
  private readonly worker: Worker;
  private readonly helpers: PageWorkers;
  private readonly rpc: RpcClient<WorkerHandlers>;
  private readonly setup: LocalSetup;
  private closed = false;

  private constructor(setup: LocalSetup) {
    this.setup = setup;
    this.worker = setup.assets === undefined // the literal form is what bundlers look for
      ? new Worker(new URL('./engine_worker.js', import.meta.url), { type: 'module' })
      : new Worker(new URL('engine_worker.js', setup.assets), { type: 'module' });
    this.helpers = new PageWorkers(setup.assets);
    this.rpc = new RpcClient(this.worker as Port);
    this.worker.onerror = (event) => this.lost(event.message || 'its script could not be loaded');
  }

  /** Starts a worker and opens the model in it. Errors: as createEngine(). */
  static async open(setup: LocalSetup): Promise<LocalTransport> {
    throwIfAborted(setup.signal);
    const patience = new Patience(setup.startTimeout, setup.signal);
    const transport = new LocalTransport(setup);
    const orGivenUp = async (work: Promise<void>): Promise<void> => {
      try {
        await Promise.race([work, patience.over]);
      } catch (thrown) {
        const cancelled = new LaminaError('cancelled', 'the call was aborted');
        throw transport.fail(setup.signal?.aborted ? cancelled : LaminaError.from(thrown));
      }
    };
    await orGivenUp(transport.begin(patience)).catch((thrown) => {
      patience.close();
      throw thrown;
    });
    transport.loaded = orGivenUp(transport.load(patience)).finally(() => patience.close());
    transport.loaded.catch(() => {}); // told to whoever waits
    await (setup.early ? Promise.race([transport.usable(), transport.loaded]) : transport.loaded);
    return transport;
  }

  /** What running takes; the worker is left again. */
  static async planModel(setup: LocalSetup): Promise<ModelPlan> {
    const transport = new LocalTransport(setup);
    try {
      return await transport.openModel();
    } finally {
      await transport.close();
    }
  }

  async info(): Promise<EngineInfo> {
    const info = await this.rpc.call('info', null);
    this.kind = info.engine;
    return info;
  }

  async *generate(
    request: GenerateRequest, signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent, void, void> {
    yield* this.rpc.stream('generate', request, signal);
  }

  encode(prompt: Prompt): Promise<number[]> {
    return this.rpc.call('encode', prompt);
  }

  opTimes(): Promise<OpTime[] | null> {
    return this.rpc.call('opTimes', null);
  }

  async switchTo(kind: EngineKind, signal?: AbortSignal): Promise<void> {
    if (kind === 'daemon') throw new LaminaError('unsupported', 'a worker is no daemon');
    for await (const progress of this.rpc.stream('switchTo', kind, signal)) {
      this.setup.onProgress?.(progress);
    }
    this.kind = kind;
  }

  async close(): Promise<void> {
    this.fail(new LaminaError('closed', 'this engine was disposed'));
  }

  // Everything that is asked ends with it.
  private fail(error: LaminaError): LaminaError {
    this.closed = true;
    this.worker.terminate();
    this.helpers.close();
    this.rpc.end(error);
    return error;
  }

  private async openModel(): Promise<ModelPlan> {
    const { options, assets, signal } = this.setup;
    this.hearNotices().catch(() => {}); // ends with the worker
    const helpers = this.helpers.asking;
    return this.rpc.call('open', { options, assets, helpers }, signal, [helpers]);
  }

  private async begin(patience: Patience): Promise<void> {
    const { onPlan, onProgress } = this.setup;
    await this.watch();
    onProgress?.({ stage: 'plan', loaded: 0, total: 1, rate: 0 });
    const plan = this.plan = await this.openModel();
    patience.end(); // the user may think about it
    if (onPlan && (await onPlan(plan)) === false) {
      throw new LaminaError('cancelled', 'onPlan has refused the plan');
    }
    if (plan.downloadBytes > 0) askToKeep().catch(() => {});
  }

  private async usable(): Promise<void> {
    await this.rpc.call('usable', null);
    await this.info();
  }

  private async load(patience: Patience): Promise<void> {
    const { onProgress, signal } = this.setup;
    patience.begin();
    for await (const progress of this.rpc.stream('start', null, signal)) {
      patience.begin();
      onProgress?.(progress);
    }
    await this.info();
    onProgress?.({ stage: 'ready', loaded: 1, total: 1, rate: 0 });
  }

  private async hearNotices(): Promise<void> {
    for await (const { cause, ...notice } of this.rpc.stream('notices', null)) {
      this.setup.onNotice?.(cause ? { ...notice, cause: LaminaError.fromRecord(cause) } : notice);
    }
  }

  // A worker that ends says nothing; its lock becomes free.
  private async watch(): Promise<void> {
    const { locks } = navigator;
    if (!locks) return; // insecure contexts: only errors are seen
    const name = `lamina-worker-${Date.now()}-${Math.random()}-${named++}`;
    await this.rpc.call('hold', name, this.setup.signal);
    locks.request(name, () => this.lost('it was killed')).catch(() => {});
  }

  private lost(why: string): void {
    if (this.closed) return;
    this.worker.terminate();
    this.helpers.close();
    this.rpc.end(new LaminaError('worker_lost', `the engine's worker ended: ${why}`));
  }
}

// A download is worth keeping when the disk fills up. Only pages may ask; no answer is fine.
async function askToKeep(): Promise<void> {
  const { storage } = navigator;
  if (storage && !(await storage.persisted?.())) await storage.persist?.();
}

/** Runs out where nothing happens for so long, or the caller's does. */
class Patience {
  /** Never resolves; rejects with `timeout` or `cancelled`. */
  readonly over: Promise<never>;
  private readonly ms: number | undefined;
  private readonly signal: AbortSignal | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private give: (error: LaminaError) => void = () => {};

  constructor(ms: number | undefined, signal: AbortSignal | undefined) {
    this.ms = ms;
    this.over = new Promise((_, reject) => {
      this.give = reject;
    });
    this.over.catch(() => {});
    this.signal = signal;
    signal?.addEventListener('abort', this.stop);
    this.begin();
  }

  /** From now on. */
  begin(): void {
    this.end();
    if (this.ms === undefined) return;
    const what = `the engine made no progress for ${this.ms} ms`;
    this.timer = setTimeout(() => this.give(new LaminaError('timeout', what)), this.ms);
  }

  end(): void {
    clearTimeout(this.timer);
  }

  close(): void {
    this.end();
    this.signal?.removeEventListener('abort', this.stop);
  }

  private readonly stop = (): void =>
    this.give(new LaminaError('cancelled', 'the call was aborted'));
}
