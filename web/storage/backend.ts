// SPDX-License-Identifier: Apache-2.0
// Where bytes rest. Blobs are named by the SHA-256 of what they hold, and are either whole or
// absent; a part is a blob being written. Records are small JSON values named by the store.

import type { Bytes } from './bytes.ts';

export type BackendKind = 'opfs' | 'indexeddb' | 'memory';

/** A blob being written, at most one writer at a time (the store holds a lock). */
export interface Part {
  /** Bytes of the beginning that an earlier writer left, or that append() has brought. */
  readonly length: number;
  /** Copies the first `length` bytes to the start of `into`. */
  read(into: Bytes): Promise<void>;
  /**
   * A kill before close() or commit() may lose some of the last bytes. One that fails has added
   * nothing, if it brought at most 1 MiB. `bytes` must stay as they are until close() or commit().
   */
  append(bytes: Bytes): Promise<void>;
  /** Forgets the bytes, keeps the part. */
  reset(): Promise<void>;
  /** Makes it a whole blob; all its bytes must have been appended. Atomic. */
  commit(): Promise<void>;
  /** Keeps what is there, for a later writer. */
  close(): Promise<void>;
  /** Removes it. */
  discard(): Promise<void>;
}

/** Every name is 64 hex digits (blobs) or [a-z-]+ with hex digits (records), made by the store. */
export interface Backend {
  readonly kind: BackendKind;
  /** Bytes of a whole blob; -1 when there is none. */
  size(sha256: string): Promise<number>;
  /** Fills `into` from `offset`; false when the blob is gone or shorter. */
  read(sha256: string, offset: number, into: Bytes): Promise<boolean>;
  /** For an answer to a request: streams without holding it whole, where the backend can. */
  slice(sha256: string, first: number, count: number): Promise<Blob | ReadableStream<Bytes> | null>;
  openPart(sha256: string): Promise<Part>;
  remove(sha256: string): Promise<void>;
  list(): Promise<{ whole: string[]; parts: string[] }>;
  getRecord(name: string): Promise<unknown>;
  putRecord(name: string, value: object): Promise<void>;
  removeRecord(name: string): Promise<void>;
  recordNames(prefix: string): Promise<string[]>;
}

/** Writes a blob that is in memory whole. */
export async function putBlob(backend: Backend, sha256: string, bytes: Bytes): Promise<void> {
  if ((await backend.size(sha256)) === bytes.length) return;
  const part = await backend.openPart(sha256);
  try {
    if (part.length > 0) await part.reset();
    await part.append(bytes);
    await part.commit();
  } catch (error) {
    await part.discard();
    throw error;
  }
}
