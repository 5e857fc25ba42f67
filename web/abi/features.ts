// SPDX-License-Identifier: Apache-2.0
// What this engine of JavaScript can run, found out by asking it.

/** Node, as opposed to a browser. */
export function inNode(): boolean {
  return typeof process === 'object' && typeof process.versions?.node === 'string' &&
    typeof (globalThis as { WorkerGlobalScope?: unknown }).WorkerGlobalScope === 'undefined' &&
    typeof (globalThis as { window?: unknown }).window === 'undefined';
}

// A function that gives a v128: i8x16.splat of a constant.
const SIMD128 = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0,
  10, 8, 1, 6, 0, 0x41, 0, 0xfd, 0x0f, 0x0b,
];
// The same of i32x4.relaxed_dot_i8x16_i7x16_add_s.
const RELAXED = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0,
  10, 19, 1, 17, 0, 0x41, 1, 0xfd, 0x0f, 0x41, 2, 0xfd, 0x0f, 0x41, 3, 0xfd, 0x11,
  0xfd, 0x93, 2, 0x0b,
];

export interface Features {
  simd128: boolean;
  relaxed: boolean;
  /** Shared memory, on a thread that may wait. */
  shared: boolean;
  /** Why there is no shared memory; empty where there is. */
  whyNotShared: string;
}

function whyNotShared(): string {
  if (typeof SharedArrayBuffer === 'undefined') {
    return 'no SharedArrayBuffer: the page is not cross-origin isolated (headers COOP and COEP)';
  }
  if (inNode()) return '';
  const scope = globalThis as { crossOriginIsolated?: boolean; WorkerGlobalScope?: unknown };
  if (!scope.crossOriginIsolated) {
    return 'the page is not cross-origin isolated (headers COOP and COEP)';
  }
  if (scope.WorkerGlobalScope === undefined) return 'not in a worker: this thread may not wait';
  return '';
}

/** Validates a few bytes; nothing is run, so that the module's self-test has the last word. */
export function detectFeatures(): Features {
  const why = whyNotShared();
  return {
    simd128: WebAssembly.validate(new Uint8Array(SIMD128)),
    relaxed: WebAssembly.validate(new Uint8Array(RELAXED)),
    shared: why === '',
    whyNotShared: why,
  };
}

/** Threads worth starting here. */
export function usableThreads(): number {
  return Math.max(1, globalThis.navigator?.hardwareConcurrency ?? 1);
}
