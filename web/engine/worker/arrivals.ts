// SPDX-License-Identifier: Apache-2.0
// Weights on their way into a runner, which computes what it can meanwhile.

import { LaminaError } from '../errors.ts';
import { deferred } from './deferred.ts';

export class Arrivals {
  /** When everything is there; rejects when it cannot come, with `cancelled` after stop(). */
  readonly all: Promise<void>;
  #complete = false;
  #failed: unknown;
  #next = deferred();
  readonly #stop = new AbortController();

  /** `load` tells of each part that is there. `signal`: the caller's. */
  constructor(
    load: (arrived: () => void, signal: AbortSignal) => Promise<void>, signal: AbortSignal | undefined,
  ) {
    const either = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
    this.all = this.#run(load, either);
    this.all.catch(() => {}); // told to whoever waits
  }

  get complete(): boolean {
    return this.#complete;
  }
  get failed(): boolean {
    return this.#failed !== undefined;
  }

  /** Resolves when more is there, or nothing will come any more. */
  get next(): Promise<void> {
    return this.#next.promise;
  }

  /** Throws what the load has ended with. */
  check(): void {
    if (this.#failed !== undefined) throw this.#failed;
  }

  stop(): void {
    this.#stop.abort();
  }

  async #run(
    load: (arrived: () => void, signal: AbortSignal) => Promise<void>, signal: AbortSignal,
  ): Promise<void> {
    try {
      await load(() => this.#arrived(), signal);
      this.#complete = true;
    } catch (thrown) {
      this.#failed = thrown ?? new LaminaError('io', 'the weights did not come');
      throw thrown;
    } finally {
      this.#arrived();
    }
  }

  #arrived(): void {
    this.#next.resolve();
    this.#next = deferred();
  }
}
