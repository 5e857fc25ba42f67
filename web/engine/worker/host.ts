// SPDX-License-Identifier: Apache-2.0
// What lives in the engine's worker: one model, its conversation, and the runner that computes it
// now. Answers take turns; between two of their steps the runner may change.

import { LaminaModule, type Model, type Session, type TokenEvent } from '../../abi/module.ts';
import { ShardStore, type StoredModel } from '../../storage/index.ts';
import { planMemory } from '../../webgpu/executor.ts';
import { AsyncQueue } from '../async_queue.ts';
import { LaminaError, throwIfAborted } from '../errors.ts';
import type { GenerateRequest, GenerationEvent, Prompt } from '../transport.ts';
import type {
  EngineInfo, Fallback, MemoryUse, ModelPlan, Notice, NoticeKind, OpTime, Progress, StorageOptions, Trust,
} from '../types.ts';
import { answerOptions, tokenEvent } from './answer_options.ts';
import { moduleFile, threadFile } from './assets.ts';
import { deferred } from './deferred.ts';
import { InModule } from './in_module.ts';
import type { Runner, RunnerParts } from './runner.ts';
import { WasmRunner } from './wasm_runner.ts';
import { GPU_ROWS, WebGpuRunner } from './webgpu_runner.ts';

const MOST_WAITING = 64;
const MOST_LOSSES = 2; // of the device within one answer; then the CPU goes on
const DEFAULT_CONTEXT = 4096;

/** What crosses to the worker: plain data. */
export interface LocalOptions {
  /** Absolute. */
  model: string;
  engine: 'auto' | 'webgpu' | 'wasm';
  softwareGpu: boolean;
  threads: number | undefined;
  contextSize: number | undefined;
  memoryBudget: number | undefined;
  trust: Trust | undefined;
  storage: StorageOptions | undefined;
  headers: Readonly<Record<string, string>> | undefined;
}

export type HostNotice = Omit<Notice, 'cause'> & {
  cause?: ReturnType<LaminaError['toRecord']>;
};

export class LocalHost {
  private readonly notices: AsyncQueue<HostNotice>;
  private readonly options: LocalOptions;
  private readonly module: LaminaModule;
  private readonly stored: StoredModel;
  private readonly model: Model;
  private readonly contextSize: number;
  private readonly fallbacks: Fallback[] = [];
  private reason = '';
  private runner: Runner | undefined;
  private session: Session | undefined;
  private readonly inModule = new InModule();
  private waiting = 0;
  private turn: Promise<void> = Promise.resolve();
  private move: { to: Runner; done: () => void; failed: (error: unknown) => void } | undefined;
  private busy = false;
  private readonly begun = deferred();
  private asked = deferred(); // for `move`; an answer may wait for weights
  private stuck = false; // the weights cannot come

  private constructor(
    options: LocalOptions, notices: AsyncQueue<HostNotice>, module: LaminaModule,
    stored: StoredModel, model: Model,
  ) {
    this.options = options;
    this.notices = notices;
    this.module = module;
    this.stored = stored;
    this.model = model;
    const most = (model.info.config['max_positions'] as number | undefined) ?? DEFAULT_CONTEXT;
    this.contextSize = Math.min(options.contextSize ?? Math.min(most, DEFAULT_CONTEXT), most);
  }

  /** Gets the manifest and the tokenizer, and starts the module; no weights yet. */
  static async open(
    options: LocalOptions, notices: AsyncQueue<HostNotice>, signal?: AbortSignal,
  ): Promise<LocalHost> {
    const store = await ShardStore.open({
      ...options.storage,
      ...(options.headers ? { headers: options.headers } : {}),
      onNotice: ({ kind, file, message }) =>
        notices.push({ kind, text: `${file}: ${message}`, file }),
    });
    const more = { ...(signal ? { signal } : {}), ...(options.trust ? { trust: options.trust } : {}) };
    const stored = await store.model(options.model, more);
    if (stored.source === 'store') {
      const text = `${options.model} cannot be reached: the stored model is used`;
      notices.push({ kind: 'offline', text });
    }
    const tokenizer = await stored.file(stored.manifest.tokenizer.file, signal);
    const wanted = options.threads ?? defaultThreads();
    const threadUrl = threadFile();
    const module = await LaminaModule.load(moduleFile, {
      threads: wanted, ...(threadUrl ? { threadUrl } : {}),
    });
    for (const text of module.notes) notices.push({ kind: 'hint', text });
    const model = module.openModel(stored.manifestBytes, tokenizer);
    return new LocalHost(options, notices, module, stored, model);
  }

  /** What running takes, on the engine that is asked for. */
  async plan(kind: 'webgpu' | 'wasm'): Promise<ModelPlan> {
    const plan = this.model.plan({ context: this.contextSize });
    const memory: MemoryUse = {
      weights: plan.weightBytes, kv: plan.kvBytes, activations: plan.activationBytes,
    };
    if (kind === 'webgpu') Object.assign(memory, this.gpuMemory());
    const missing = await this.stored.missing();
    const shards = this.model.shards();
    const downloadBytes = missing.reduce((sum, i) => sum + (shards[i]?.bytes ?? 0), 0);
    const all = shards.reduce((sum, shard) => sum + shard.bytes, 0);
    const totalBytes = memory.weights + memory.kv + memory.activations;
    const { fits, reason } = this.judge(kind, totalBytes, plan);
    return {
      model: this.model.info.name, engine: kind, downloadBytes, storedBytes: all - downloadBytes,
      memory, totalBytes, contextSize: this.contextSize, fits, reason,
    };
  }

  /** Makes the runner that was asked for, or says why another one; resolves when its weights are here. */
  async start(onProgress: (progress: Progress) => void, signal?: AbortSignal): Promise<void> {
    const parts = this.parts(onProgress, signal);
    try {
      this.runner = await this.firstRunner(parts);
      this.begun.resolve();
      await this.allHere();
    } catch (thrown) {
      throwIfAborted(signal);
      const error = LaminaError.from(thrown, 'device');
      await this.fallBack(error, parts);
      await this.allHere();
    }
  }

  /** Resolves when answers may be asked for, while weights still arrive. */
  get usable(): Promise<void> {
    return this.begun.promise;
  }

  private async firstRunner(parts: RunnerParts): Promise<Runner> {
    const { engine, softwareGpu } = this.options;
    this.reason = engine === 'auto' ? 'WebGPU is there' : 'asked for';
    if (engine === 'wasm') return this.makeWasm(parts);
    return WebGpuRunner.create(parts, { hardwareOnly: engine === 'auto' && !softwareGpu });
  }

  // Whoever moves brings weights of his own.
  private async allHere(): Promise<void> {
    for (;;) {
      const runner = this.current();
      try {
        await runner.arrivals.all;
      } catch (thrown) {
        if (this.runner === runner) throw thrown;
      }
      if (this.runner === runner) return;
    }
  }

  // Where WebGPU cannot start, or not go on with what has begun, the CPU may; else throws `error`.
  private async fallBack(error: LaminaError, parts: RunnerParts): Promise<void> {
    try {
      if (!this.mayFall(error)) throw error;
      const to = this.makeWasm(parts);
      this.fell(error);
      if (this.runner) await this.changeTo(to);
      else this.runner = to;
      this.begun.resolve();
    } catch (thrown) {
      this.begun.reject(thrown);
      this.stuck = true;
      this.asked.resolve();
      throw thrown;
    }
  }

  private mayFall(error: LaminaError): boolean {
    const { engine } = this.options;
    return !this.stuck && engine === 'auto' && this.runner?.kind !== 'wasm' && FALLS.has(error.code);
  }

  info(): EngineInfo {
    const runner = this.current();
    return {
      engine: runner.kind,
      model: this.model.info.name,
      device: runner.device,
      reason: this.reason,
      fallbacks: [...this.fallbacks],
      contextSize: this.contextSize,
      threads: this.module.threads,
      memory: runner.memory,
      hints: [...this.module.notes],
    };
  }

  encode(prompt: Prompt): number[] {
    if (prompt.kind === 'ids') return prompt.ids;
    const { model } = this;
    if (prompt.kind === 'text') return Array.from(model.tokenize(prompt.text));
    const ids = Array.from(model.chat(prompt.messages));
    const { begun } = prompt;
    return begun ? [...ids, ...model.tokenize(begun, { special: false })] : ids;
  }

  /** The events of one answer; the answers before it end first. */
  async *generate(
    request: GenerateRequest, signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent, void, void> {
    if (this.waiting >= MOST_WAITING) {
      throw new LaminaError('queue_full', `${this.waiting} answers wait already: try again later`);
    }
    const release = await this.takeTurn();
    try {
      if (signal.aborted) {
        const usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
        yield { kind: 'done', finish: 'cancelled', usage };
        return;
      }
      const session = this.begin(request);
      const { promptTokens, reusedTokens } = session.usage;
      yield { kind: 'started', promptTokens, cachedTokens: reusedTokens };
      yield* this.run(session, signal);
    } finally {
      release();
    }
  }

  /** Between two answers; null where the device has no clock. */
  async opTimes(): Promise<OpTime[] | null> {
    const release = await this.takeTurn();
    try {
      await this.allHere();
      this.session?.dispose(); // a pool may have pages for one
      this.session = undefined;
      return await this.current().opTimes();
    } catch (thrown) {
      if (LaminaError.from(thrown, 'device').code === 'unsupported') return null;
      throw thrown;
    } finally {
      release();
    }
  }

  /** Resolves when the running answer, if any, is computed there. */
  async switchTo(
    kind: 'webgpu' | 'wasm', onProgress: (progress: Progress) => void, signal?: AbortSignal,
  ): Promise<void> {
    if (this.current().kind === kind) return;
    const parts = this.parts(onProgress, signal);
    await this.changeTo(await whole(kind === 'wasm' ? this.makeWasm(parts) : await WebGpuRunner.create(parts)));
    this.reason = 'switched to';
  }

  // Between two steps of the running answer, if there is one.
  private async changeTo(to: Runner): Promise<void> {
    try {
      if (!this.busy) return await this.moveTo(to, this.session);
      await new Promise<void>((done, failed) => {
        this.move = { to, done, failed };
        this.asked.resolve();
      });
    } catch (thrown) {
      to.dispose();
      throw thrown;
    }
  }

  // --- one answer ---

  private begin(request: GenerateRequest): Session {
    const { engine } = this.current();
    const options = answerOptions(request);
    const { begun } = request;
    if (begun) {
      this.session?.dispose();
      this.session = undefined;
      this.session = engine.restoreSession({
        atLimit: 'stop', options: JSON.stringify(options), prompt: begun.promptIds,
        answer: begun.tokens, cancelled: false,
      });
      return this.session;
    }
    this.session ??= engine.createSession();
    this.session.setPrompt(this.encode(request.prompt), options);
    return this.session;
  }

  private async *run(
    session: Session, signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent, void, void> {
    let losses = 0;
    let ended = false;
    this.busy = true;
    try {
      for (;;) {
        await eventLoop();
        await this.moveIfAsked(session);
        const events = signal.aborted ? [this.cancel(session)] : await this.step(session, losses);
        if (events === null) {
          ++losses;
          continue;
        }
        await this.moreToDo(signal);
        const told = tokenEvent(events);
        if (told) yield told;
        const { finish } = session.usage;
        if (finish === 'none') continue;
        ended = true;
        const { promptTokens, reusedTokens: cachedTokens, completionTokens } = session.usage;
        yield { kind: 'done', finish, usage: { promptTokens, cachedTokens, completionTokens } };
        return;
      }
    } finally {
      if (!ended && !session.finished) this.cancel(session);
      await this.moveIfAsked(session);
      this.busy = false;
    }
  }

  private cancel(session: Session): TokenEvent {
    this.current().abandon(session);
    return session.cancel();
  }

  // While the runner waits for weights: until some are here, or something else is asked.
  private async moreToDo(signal: AbortSignal): Promise<void> {
    const runner = this.current();
    if (!runner.waits || signal.aborted) return;
    const stop = deferred();
    signal.addEventListener('abort', stop.resolve, { once: true });
    await Promise.race([runner.waits, this.asked.promise, stop.promise]);
    signal.removeEventListener('abort', stop.resolve);
  }

  // Null: the device was lost, and another one or the CPU goes on.
  private async step(session: Session, losses: number): Promise<TokenEvent[] | null> {
    try {
      return await this.current().step(session);
    } catch (thrown) {
      const error = LaminaError.from(thrown, 'device');
      if (this.current().arrivals.failed) {
        if (!this.mayFall(error)) throw thrown;
        await this.asked.promise; // start() brings another runner
        return [];
      }
      if (error.code !== 'device' || this.current().kind !== 'webgpu') throw thrown;
      await this.recover(session, error, losses);
      return null;
    }
  }

  private async recover(session: Session, cause: LaminaError, losses: number): Promise<void> {
    const lost = this.current();
    const parts = this.parts(() => {}, undefined);
    if (losses < MOST_LOSSES) {
      try {
        await this.moveTo(await whole(await WebGpuRunner.create(parts)), session, false);
        this.notice('device_lost', 'the GPU device was lost; a new one goes on with the answer', cause);
        lost.dispose();
        return;
      } catch (thrown) {
        cause = LaminaError.from(thrown, 'device');
      }
    }
    await this.moveTo(await whole(this.makeWasm(parts)), session, false);
    this.fell(cause);
    lost.dispose();
  }

  // --- runners ---

  private async moveIfAsked(session: Session): Promise<void> {
    const { move } = this;
    if (!move) return;
    this.move = undefined;
    this.asked = deferred();
    try {
      await this.moveTo(move.to, session);
      move.done();
    } catch (thrown) {
      move.failed(thrown);
    }
  }

  private async moveTo(to: Runner, session: Session | undefined, withKv = true): Promise<void> {
    const from = this.current();
    if (session) {
      from.abandon(session);
      const kv = withKv ? await exportedKv(from, session) : NO_KV;
      await to.adopt(session, kv, kv === NO_KV ? 0 : session.usage.cached);
    }
    this.runner = to;
    if (withKv) from.dispose();
  }

  private makeWasm(parts: RunnerParts): WasmRunner {
    const plan = this.model.plan({ context: this.contextSize });
    const total = plan.weightBytes + plan.kvBytes + plan.activationBytes;
    const { fits, reason } = this.judge('wasm', total, plan);
    if (!fits) throw new LaminaError('resource_exhausted', reason);
    return new WasmRunner(parts, this.inModule);
  }

  private parts(
    onProgress: (progress: Progress) => void, signal: AbortSignal | undefined,
  ): RunnerParts {
    return {
      model: this.model,
      stored: this.stored,
      contextSize: this.contextSize,
      threads: this.module.threads,
      memoryBudget: this.options.memoryBudget,
      onLoaded: ({ bytesDone: loaded, bytesTotal: total, rate, state, files }) =>
        onProgress({ stage: 'load', loaded, total, rate, state, files }),
      signal,
    };
  }

  private judge(
    kind: 'webgpu' | 'wasm', total: number, plan: { fitsWasm: boolean; wasmBytes: number; wasmLimit: number },
  ): { fits: boolean; reason: string } {
    const budget = this.options.memoryBudget;
    if (budget !== undefined && total > budget) {
      const reason = `takes ${megabytes(total)}, the budget is ${megabytes(budget)}`;
      return { fits: false, reason: `${reason}: a smaller context or model may fit` };
    }
    if (kind === 'wasm' && !plan.fitsWasm) {
      const reason = `takes ${megabytes(plan.wasmBytes)} of a module's ${megabytes(plan.wasmLimit)}`;
      return { fits: false, reason: `${reason}: a smaller context or model may fit` };
    }
    const within = budget === undefined ? '' : ` of ${megabytes(budget)}`;
    return { fits: true, reason: `takes ${megabytes(total)}${within}` };
  }

  private gpuMemory(): MemoryUse {
    const pages = Math.ceil(this.contextSize / 64);
    const graph = this.model.graph(this.contextSize) as Parameters<typeof planMemory>[0];
    const use = planMemory(graph, { pages, maxRows: GPU_ROWS, maxLogitRows: 1 });
    return { weights: use.weightBytes, kv: use.kvBytes, activations: use.activationBytes };
  }

  private fell(error: LaminaError): void {
    this.fallbacks.push({ from: 'webgpu', to: 'wasm', reason: error.message });
    this.reason = `WebGPU is not used: ${error.message}`;
    this.notice('fallback', `now in WebAssembly: ${error.message}`, error);
  }

  private notice(kind: NoticeKind, text: string, cause: LaminaError): void {
    this.notices.push({ kind, text, cause: cause.toRecord() });
  }

  private current(): Runner {
    if (!this.runner) throw new LaminaError('closed', 'the engine has not started');
    return this.runner;
  }

  private async takeTurn(): Promise<() => void> {
    ++this.waiting;
    const before = this.turn;
    let release = () => {};
    this.turn = new Promise((done) => {
      release = () => {
        --this.waiting;
        done();
      };
    });
    await before;
    return release;
  }
}

const NO_KV = new Uint16Array(0);

// With all its weights, or none of it is left.
async function whole(runner: Runner): Promise<Runner> {
  try {
    await runner.arrivals.all;
    return runner;
  } catch (thrown) {
    runner.dispose();
    throw thrown;
  }
}

// Without the KV of a device that is lost, it is computed again.
async function exportedKv(from: Runner, session: Session): Promise<Uint16Array> {
  if (session.usage.cached === 0) return NO_KV;
  try {
    return await from.exportKv(session);
  } catch (thrown) {
    if (LaminaError.from(thrown, 'device').code !== 'device') throw thrown;
    return NO_KV;
  }
}

// Where WebGPU ends so, the CPU may do.
const FALLS = new Set(['unsupported', 'device', 'out_of_memory', 'resource_exhausted']);

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}

function defaultThreads(): number {
  const all = navigator.hardwareConcurrency ?? 1;
  return Math.min(all, Math.max(2, Math.ceil(all / 2))); // decoding waits for memory, not for cores
}

const channel = new MessageChannel();
const turns: (() => void)[] = [];
channel.port1.onmessage = () => turns.shift()?.();

/** Lets messages in: timers would take 4 ms. */
function eventLoop(): Promise<void> {
  return new Promise((resolve) => {
    turns.push(resolve);
    channel.port2.postMessage(null);
  });
}
