// SPDX-License-Identifier: Apache-2.0
// Hashes and texts of bytes.

import { StorageError } from './errors.ts';

/** Bytes over a buffer of their own: WebCrypto takes no shared memory. */
export type Bytes = Uint8Array<ArrayBuffer>;

const digits = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

export function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += digits[byte];
  return text;
}

function subtle(file: string): SubtleCrypto {
  const found = globalThis.crypto?.subtle as SubtleCrypto | undefined;
  if (found) return found;
  throw new StorageError('insecure_context', file,
    'this page cannot check hashes: browsers offer WebCrypto on https and localhost only; ' +
    'open the page there');
}

/** 64 lower-case hex digits. Some browsers hash on the calling thread, so a page may stand still. */
export async function sha256(bytes: Bytes, file = 'sha256'): Promise<string> {
  return hex(new Uint8Array(await subtle(file).digest('SHA-256', bytes)));
}

/** Who checks hashes, here or on other threads. */
export interface Hasher {
  /**
   * Whether `bytes` have this SHA-256; if so they are in `place` too, where there is one. `bytes` may be
   * taken away meanwhile and come back over another buffer: those returned are to be used.
   */
  check(bytes: Bytes, sha256: string, place?: Uint8Array): Promise<{ bytes: Bytes; good: boolean }>;
}

/** On this thread. */
export const hashHere: Hasher = {
  async check(bytes, expected, place) {
    const good = (await sha256(bytes)) === expected;
    if (good) place?.set(bytes);
    return { bytes, good };
  },
};

export function sha256OfText(text: string): Promise<string> {
  return sha256(new TextEncoder().encode(text));
}

/** Exactly `count` bytes in the one way that base64 writes them, or null. */
export function parseBase64(text: string, count: number): Bytes | null {
  if (text.length !== Math.ceil(count / 3) * 4 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  const raw = decodeBase64(text);
  if (raw === null || raw.length !== count || btoa(raw) !== text) return null;
  return Uint8Array.from(raw, (c) => c.charCodeAt(0));
}

function decodeBase64(text: string): string | null {
  try {
    return atob(text);
  } catch {
    return null;
  }
}

/** Whether this is one of our own file names: 64 lower-case hex digits. */
export function isHash(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{64}$/.test(text);
}
