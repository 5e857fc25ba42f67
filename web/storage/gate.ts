// SPDX-License-Identifier: Apache-2.0
// Waiting: for somebody to go on, for the network, for a while. All of it ends by an AbortSignal.

import { aborted, throwIfAborted } from './errors.ts';

/** Closed while a download is paused. */
export class Gate {
  private opened: Promise<void> = Promise.resolve();
  private open_: () => void = () => {};
  private closing = new AbortController();
  private closed_ = false;

  get closed(): boolean {
    return this.closed_;
  }

  /** Aborts when the gate closes; a new one after each opening. */
  get closes(): AbortSignal {
    return this.closing.signal;
  }

  close(): void {
    if (this.closed_) return;
    this.closed_ = true;
    this.opened = new Promise((done) => {
      this.open_ = done;
    });
    this.closing.abort();
  }

  open(): void {
    if (!this.closed_) return;
    this.closed_ = false;
    this.closing = new AbortController();
    this.open_();
  }

  async passed(signal: AbortSignal | undefined, file: string): Promise<void> {
    throwIfAborted(signal, file);
    while (this.closed_) await orAborted(this.opened, signal, file);
  }
}

export async function orAborted<T>(
  work: Promise<T>, signal: AbortSignal | undefined, file: string,
): Promise<T> {
  if (!signal) return work;
  throwIfAborted(signal, file);
  let stop = (): void => {};
  const stopped = new Promise<never>((_, fail) => {
    stop = () => fail(aborted(file));
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, stopped]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

export async function pause(
  ms: number, signal: AbortSignal | undefined, file: string,
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await orAborted(new Promise((done) => {
      timer = setTimeout(done, ms);
    }), signal, file);
  } finally {
    clearTimeout(timer);
  }
}

export function isOffline(): boolean {
  return globalThis.navigator?.onLine === false;
}

/** True when the network is back within `ms`. */
export async function backOnline(
  ms: number, signal: AbortSignal | undefined, file: string,
): Promise<boolean> {
  const end = performance.now() + ms;
  while (isOffline() && performance.now() < end) {
    await pause(Math.max(1, Math.min(250, end - performance.now())), signal, file);
  }
  return !isOffline();
}
