// SPDX-License-Identifier: Apache-2.0
// The engines in this browser, seen from the page: everything happens in a worker, which only sends
// events.

import { LaminaError, throwIfAborted } from './errors.ts';
import type { GenerateRequest, GenerationEvent, Prompt, Transport } from './transport.ts';
import type { EngineInfo, EngineKind, ModelPlan, Notice, Progress } from './types.ts';
import type { WorkerHandlers } from './worker/engine_worker.ts';
import type { LocalOptions } from './worker/host.ts';
import { RpcClient, type Port } from './worker/rpc.ts';

export interface LocalSetup {
  options: LocalOptions;
  /** Absolute, with a slash at its end. */
  assets?: string | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
  onNotice?: ((notice: Notice) => void) | undefined;
  signal?: AbortSignal | undefined;
}

let named = 0;

export class LocalTransport implements Transport {
  kind: EngineKind = 'wasm';
  /** Of the model, made before anything was downloaded. */
  plan: ModelPlan | undefined;
  private readonly worker: Worker;
  private readonly rpc: RpcClient<WorkerHandlers>;
  private readonly setup: LocalSetup;
  private closed = false;

  private constructor(setup: LocalSetup) {
    this.setup = setup;
    this.worker = setup.assets === undefined // the literal form is what bundlers look for
      ? new Worker(new URL('./engine_worker.js', import.meta.url), { type: 'module' })
      : new Worker(new URL('engine_worker.js', setup.assets), { type: 'module' });
    this.rpc = new RpcClient(this.worker as Port);
    this.worker.onerror = (event) => this.lost(event.message || 'its script could not be loaded');
  }

  /** Starts a worker and opens the model in it. Errors: as createEngine(). */
  static async open(setup: LocalSetup): Promise<LocalTransport> {
    throwIfAborted(setup.signal);
    const transport = new LocalTransport(setup);
    try {
      await transport.load();
      return transport;
    } catch (thrown) {
      await transport.close();
      throwIfAborted(setup.signal);
      throw thrown;
    }
  }

  /** What running takes; the worker is left again. */
  static async planModel(setup: LocalSetup): Promise<ModelPlan> {
    const transport = new LocalTransport(setup);
    try {
      const { options, assets, signal } = setup;
      return await transport.rpc.call('plan', { options, assets }, signal);
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

  async switchTo(kind: EngineKind): Promise<void> {
    if (kind === 'daemon') throw new LaminaError('unsupported', 'a worker is no daemon');
    for await (const progress of this.rpc.stream('switchTo', kind)) {
      this.setup.onProgress?.(progress);
    }
    this.kind = kind;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.worker.terminate();
    this.rpc.end(new LaminaError('closed', 'this engine was disposed'));
  }

  private async load(): Promise<void> {
    const { options, assets, onProgress, signal } = this.setup;
    await this.watch();
    for await (const event of this.rpc.stream('open', { options, assets }, signal)) {
      if (event.kind === 'progress') {
        onProgress?.(event.progress);
      } else {
        this.kind = event.info.engine;
        this.plan = event.plan;
      }
    }
    this.hearNotices().catch(() => {}); // ends with the worker
    onProgress?.({ stage: 'ready', loaded: 1, total: 1, rate: 0 });
  }

  private async hearNotices(): Promise<void> {
    for await (const { text, cause } of this.rpc.stream('notices', null)) {
      this.setup.onNotice?.(cause ? { text, cause: LaminaError.fromRecord(cause) } : { text });
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
    this.rpc.end(new LaminaError('worker_lost', `the engine's worker ended: ${why}`));
  }
}
