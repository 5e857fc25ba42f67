// SPDX-License-Identifier: Apache-2.0
// Several loads at once, handed out in order, with a bounded number of buffers.

import type { Bytes } from './bytes.ts';

/** Buffers that come back after use; the few there are serve a whole model. */
export class BufferPool {
  private readonly free: ArrayBuffer[] = [];

  take(bytes: number): Bytes {
    const fit = this.free.findIndex((buffer) => buffer.byteLength >= bytes);
    if (fit >= 0) return new Uint8Array(this.free.splice(fit, 1)[0] as ArrayBuffer, 0, bytes);
    release(this.free.pop());  // too small: so the count stays bounded
    return new Uint8Array(bytes);
  }

  /** A buffer that its user has transferred away is gone, and that is fine. */
  give(bytes: Bytes): void {
    if (bytes.buffer.byteLength > 0) this.free.push(bytes.buffer);
  }

  /** Frees what has come back, now and not when the collector gets to it. */
  clear(): void {
    for (const buffer of this.free.splice(0)) release(buffer);
  }
}

// Detached memory is freed at once; browsers without transfer() wait for their collector.
function release(buffer: ArrayBuffer | undefined): void {
  (buffer as { transfer?(bytes: number): ArrayBuffer } | undefined)?.transfer?.(0);
}

/**
 * Runs load(item) for up to `parallel` items at once and yields the results in order. A result that
 * is with the consumer counts as one of them until the next is asked for; then done(result) is
 * called. When the consumer leaves or a load fails, the others are aborted and waited for.
 */
export async function* inOrder<Item, Result>(
  items: readonly Item[], parallel: number,
  load: (item: Item, signal: AbortSignal) => Promise<Result>, done: (result: Result) => void,
): AsyncGenerator<Result, void, void> {
  const stop = new AbortController();
  const running: Promise<Result>[] = [];
  let next = 0;
  const start = (): void => {
    while (running.length < parallel && next < items.length) {
      const work = load(items[next++] as Item, stop.signal);
      work.catch(() => {});  // told when its turn comes
      running.push(work);
    }
  };
  try {
    for (;;) {
      start();
      const first = running[0];
      if (!first) return;
      const result = await first;
      try {
        yield result;
      } finally {
        running.shift();
        done(result);
      }
    }
  } finally {
    stop.abort();
    await Promise.allSettled(running);
  }
}
