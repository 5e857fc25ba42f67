// SPDX-License-Identifier: Apache-2.0
// Which engine computes, and why: the first one, the one that a user moves to, and those that take over
// from a GPU that cannot go on. What may happen at once:
//  - start() waits for the weights of the first runner, while answers are computed with those that are here;
//  - switchTo() and start()'s way to the CPU take turns with each other, since each decides by who computes;
//  - a step that finds its device lost brings another runner itself, within its turn of the seat.
// A runner that is not in the seat yet is owned, and disposed of, by who makes it.

import type { LaminaModule, Model, Session, TokenEvent } from '../../abi/module.ts';
import type { StoredModel } from '../../storage/index.ts';
import type { AsyncQueue } from '../async_queue.ts';
import { LaminaError, throwIfAborted } from '../errors.ts';
import type { Fallback, NoticeKind, Progress } from '../types.ts';
import type { HostNotice, LocalOptions } from './crossing.ts';
import { deferred } from './deferred.ts';
import { InModule } from './in_module.ts';
import { requirementOf } from './requirement.ts';
import type { Runner, RunnerParts } from './runner.ts';
import { Seat } from './seat.ts';
import { Turns } from './turns.ts';
import { WasmRunner } from './wasm_runner.ts';
import { WebGpuRunner } from './webgpu_runner.ts';

const MOST_LOSSES = 2; // of the device within one answer; then the CPU goes on
// Where WebGPU ends so, the CPU may do.
const FALLS = new Set(['unsupported', 'device', 'out_of_memory', 'resource_exhausted']);

/** An open model, and what runs it. */
export interface Opened {
  options: LocalOptions;
  notices: AsyncQueue<HostNotice>;
  module: LaminaModule;
  stored: StoredModel;
  model: Model;
  contextSize: number;
}

/** What a step has come to. */
export interface Stepped {
  events: TokenEvent[];
  /** Another step before it resolves would do nothing. */
  later?: Promise<unknown>;
  /** The device was lost, and another runner goes on. */
  lost?: boolean;
}

export class Runners {
  readonly seat = new Seat();
  /** Why this engine computes, in one line. */
  reason = '';
  readonly fallbacks: Fallback[] = [];
  readonly #opened: Opened;
  readonly #inModule = new InModule();
  readonly #moves = new Turns();
  readonly #begun = deferred();
  readonly #gaveUp = deferred();
  #stuck = false; // the weights cannot come

  constructor(opened: Opened) {
    this.#opened = opened;
  }

  /** Makes the runner that was asked for, or says why another one; resolves when its weights are here. */
  async start(onProgress: (progress: Progress) => void, signal?: AbortSignal): Promise<void> {
    const parts = this.#parts(onProgress, signal);
    try {
      await this.#load(parts);
    } catch (thrown) {
      this.#stuck = true;
      this.#begun.reject(thrown);
      this.#gaveUp.resolve();
      throw thrown;
    }
  }

  /** Resolves when answers may be asked for, while weights still arrive. */
  get usable(): Promise<void> {
    return this.#begun.promise;
  }

  /** Resolves when all weights are here; whoever moves meanwhile brings weights of his own. */
  async allHere(): Promise<void> {
    for (;;) {
      const { runner } = this.seat;
      try {
        await runner.arrivals.all;
      } catch (thrown) {
        if (this.seat.runner === runner) throw thrown;
      }
      if (this.seat.runner === runner) return;
    }
  }

  /**
   * Resolves when the running answer, if any, is computed there; moves that are asked for together come one
   * after the other. On an error all is as it was.
   */
  async switchTo(
    kind: 'webgpu' | 'wasm', onProgress: (progress: Progress) => void, signal?: AbortSignal,
  ): Promise<void> {
    const { seat } = this;
    const parts = this.#parts(onProgress, signal);
    await this.#moves.run(async () => {
      if (seat.runner.kind === kind) return;
      const to = await whole(kind === 'wasm' ? this.#makeWasm(parts) : await WebGpuRunner.create(parts));
      await seat.alone(async () => {
        if (seat.runner.kind === kind) return to.dispose(); // a lost device has led there meanwhile
        await seat.moveTo(to);
        this.reason = 'switched to';
      });
    }, signal);
  }

  /** In a turn of the seat. `losses`: of the device, in this answer. */
  async step(session: Session, losses: number): Promise<Stepped> {
    const { runner, changed } = this.seat;
    try {
      const events = await runner.step(session);
      return runner.waits ? { events, later: Promise.race([runner.waits, changed]) } : { events };
    } catch (thrown) {
      const error = LaminaError.from(thrown, 'device');
      if (runner.arrivals.failed && this.#mayFall(error)) { // start() brings another
        return { events: [], later: Promise.race([this.#gaveUp.promise, changed]) };
      }
      if (runner.arrivals.failed || error.code !== 'device' || runner.kind !== 'webgpu') throw thrown;
      await this.#recover(error, losses);
      return { events: [], lost: true };
    }
  }

  async #load(parts: RunnerParts): Promise<void> {
    try {
      const first = await this.#firstRunner(parts);
      await this.seat.alone(() => this.seat.moveTo(first));
      this.#begun.resolve();
      await this.allHere();
    } catch (thrown) {
      throwIfAborted(parts.signal);
      await this.#fallBack(LaminaError.from(thrown, 'device'), parts);
      await this.allHere();
    }
  }

  async #firstRunner(parts: RunnerParts): Promise<Runner> {
    const { engine, softwareGpu } = this.#opened.options;
    this.reason = engine === 'auto' ? 'WebGPU is there' : 'asked for';
    if (engine === 'wasm') return this.#makeWasm(parts);
    return WebGpuRunner.create(parts, { hardwareOnly: engine === 'auto' && !softwareGpu });
  }

  // Where WebGPU cannot start, or not go on with what has begun, the CPU may; else throws `error`.
  async #fallBack(error: LaminaError, parts: RunnerParts): Promise<void> {
    const { seat } = this;
    if (!this.#mayFall(error)) throw error;
    await this.#moves.run(() => seat.alone(async () => {
      if (seat.taken && !seat.taken.arrivals.failed) return; // a move or a step has brought another one
      const to = this.#makeWasm(parts);
      await seat.moveTo(to);
      this.#fell(error);
      this.#begun.resolve();
    }));
  }

  #mayFall(error: LaminaError): boolean {
    const isAuto = this.#opened.options.engine === 'auto';
    return isAuto && !this.#stuck && this.seat.taken?.kind !== 'wasm' && FALLS.has(error.code);
  }

  // In a turn of the seat. The KV is lost with its device.
  async #recover(cause: LaminaError, losses: number): Promise<void> {
    const parts = this.#parts(() => {}, undefined);
    if (losses < MOST_LOSSES) {
      try {
        await this.seat.moveTo(await whole(await WebGpuRunner.create(parts)), { withKv: false });
        this.#notice('device_lost', 'the GPU device was lost; a new one goes on with the answer', cause);
        return;
      } catch (thrown) {
        cause = LaminaError.from(thrown, 'device');
      }
    }
    await this.seat.moveTo(await whole(this.#makeWasm(parts)), { withKv: false });
    this.#fell(cause);
  }

  #makeWasm(parts: RunnerParts): WasmRunner {
    const { model, contextSize, options } = this.#opened;
    const { fits, reason } = requirementOf(model, 'wasm', contextSize, options.memoryBudget);
    if (!fits) throw new LaminaError('resource_exhausted', reason);
    return new WasmRunner(parts, this.#inModule);
  }

  #parts(onProgress: (progress: Progress) => void, signal: AbortSignal | undefined): RunnerParts {
    const { options, module, stored, model, contextSize } = this.#opened;
    return {
      model, stored, contextSize, signal,
      threads: module.threads,
      memoryBudget: options.memoryBudget,
      onLoaded: ({ bytesDone: loaded, bytesTotal: total, rate, state, files }) =>
        onProgress({ stage: 'load', loaded, total, rate, state, files }),
    };
  }

  #fell(error: LaminaError): void {
    this.fallbacks.push({ from: 'webgpu', to: 'wasm', reason: error.message });
    this.reason = `WebGPU is not used: ${error.message}`;
    this.#notice('fallback', `now in WebAssembly: ${error.message}`, error);
  }

  #notice(kind: NoticeKind, text: string, cause: LaminaError): void {
    this.#opened.notices.push({ kind, text, cause: cause.toRecord() });
  }
}

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
