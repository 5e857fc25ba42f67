// SPDX-License-Identifier: Apache-2.0
// Who may do something now, where only one may.

import { LaminaError, throwIfAborted } from '../errors.ts';
import { deferred, unlessAborted } from './deferred.ts';

/** First come, first served. */
export class Turns {
  #last: Promise<void> = Promise.resolve();
  #count = 0;

  /** Those who have a turn or wait for one. */
  get count(): number {
    return this.#count;
  }

  /** Waits for a turn; what is returned ends it. Throws `cancelled` when `signal` fires first. */
  async take(signal?: AbortSignal): Promise<() => void> {
    throwIfAborted(signal);
    const before = this.#last;
    const mine = deferred();
    this.#last = mine.promise;
    ++this.#count;
    const end = () => {
      --this.#count;
      mine.resolve();
    };
    await unlessAborted(before, signal);
    if (!signal?.aborted) return end;
    --this.#count;
    before.then(mine.resolve); // who comes after waits for who was before
    throw new LaminaError('cancelled', 'the call was aborted');
  }

  /** Does `work` in a turn. */
  async run<T>(work: () => Promise<T> | T, signal?: AbortSignal): Promise<T> {
    const end = await this.take(signal);
    try {
      return await work();
    } finally {
      end();
    }
  }
}
