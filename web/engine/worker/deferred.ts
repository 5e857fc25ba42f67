// SPDX-License-Identifier: Apache-2.0

/** A promise that somebody else settles; nobody has to wait for it. */
export interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export function deferred(): Deferred {
  let [resolve, reject] = [() => {}, (_: unknown) => {}];
  const promise = new Promise<void>((done, fail) => {
    [resolve, reject] = [done, fail];
  });
  promise.catch(() => {}); // told to whoever waits
  return { promise, resolve, reject };
}

/** Until `wanted` settles or `signal` fires; throws what `wanted` rejects with. */
export async function unlessAborted(
  wanted: Promise<unknown>, signal: AbortSignal | undefined,
): Promise<void> {
  if (!signal) return void await wanted;
  if (signal.aborted) return;
  const stop = deferred();
  signal.addEventListener('abort', stop.resolve);
  try {
    await Promise.race([wanted, stop.promise]);
  } finally {
    signal.removeEventListener('abort', stop.resolve);
  }
}
