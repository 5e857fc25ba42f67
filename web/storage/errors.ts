// SPDX-License-Identifier: Apache-2.0
// What can go wrong between a server, the disk and a model. Every message says which file, what was
// found and what to do about it.

import { LaminaError, type LaminaErrorCode } from '../engine/errors.ts';

/** Why, in detail; `code` is the coarser word that the whole program shares. */
export type StorageErrorKind =
  | 'aborted'
  | 'etag_changed'
  | 'hash_mismatch'
  | 'html_instead_of_shard'
  | 'http_status'
  | 'in_use'
  | 'insecure_context'
  | 'manifest_invalid'
  | 'manifest_replayed'
  | 'manifest_unsupported'
  | 'network'
  | 'not_stored'
  | 'offline'
  | 'quota'
  | 'signature_malformed'
  | 'signature_mismatch'
  | 'signature_missing'
  | 'signature_unsupported'
  | 'signature_untrusted'
  | 'size_mismatch'
  | 'storage_failed'
  | 'unknown_file';

const codeOf: Record<StorageErrorKind, LaminaErrorCode> = {
  aborted: 'cancelled',
  etag_changed: 'integrity',
  hash_mismatch: 'integrity',
  html_instead_of_shard: 'integrity',
  http_status: 'io',
  in_use: 'resource_exhausted',
  insecure_context: 'unsupported',
  manifest_invalid: 'invalid_model',
  manifest_replayed: 'integrity',
  manifest_unsupported: 'unsupported',
  network: 'io',
  not_stored: 'not_found',
  offline: 'offline',
  quota: 'quota_exceeded',
  signature_malformed: 'integrity',
  signature_mismatch: 'integrity',
  signature_missing: 'integrity',
  signature_unsupported: 'unsupported',
  signature_untrusted: 'integrity',
  size_mismatch: 'integrity',
  storage_failed: 'io',
  unknown_file: 'invalid_argument',
};

// The same call may succeed later, and goes on from what is stored.
const recoverableKinds: ReadonlySet<StorageErrorKind> = new Set([
  'aborted', 'etag_changed', 'http_status', 'in_use', 'network', 'offline', 'quota',
  'storage_failed',
]);

/** Plain data of a StorageError, for postMessage, which drops an error's own members. */
export interface StorageErrorData {
  kind: StorageErrorKind;
  code: LaminaErrorCode;
  file: string;
  message: string;
  recoverable: boolean;
  status?: number;
}

/** The one class of errors that this folder throws. */
export class StorageError extends LaminaError {
  readonly kind: StorageErrorKind;
  /** The file's name in the model folder, or the store's own. */
  readonly file: string;
  /** Of the HTTP answer; 0 where there is none. */
  readonly status: number;

  constructor(kind: StorageErrorKind, file: string, detail: string, more: ErrorDetails = {}) {
    super(codeOf[kind], `${file}: ${detail}`,
      { recoverable: recoverableKinds.has(kind), cause: more.cause });
    this.name = 'StorageError';
    this.kind = kind;
    this.file = file;
    this.status = more.status ?? 0;
  }

  toJSON(): StorageErrorData {
    const { kind, code, file, message, recoverable, status } = this;
    return { kind, code, file, message, recoverable, ...(status ? { status } : {}) };
  }
}

export interface ErrorDetails {
  cause?: unknown;
  status?: number;
}

export function isKind(error: unknown, kind: StorageErrorKind): boolean {
  return error instanceof StorageError && error.kind === kind;
}

/** A browser's DOMException of that name, of this realm or another. */
export function isNamed(error: unknown, name: string): boolean {
  return typeof error === 'object' && error !== null && (error as Error).name === name;
}

export function isQuotaError(error: unknown): boolean {
  return isNamed(error, 'QuotaExceededError') || isKind(error, 'quota');
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

export function aborted(file: string): StorageError {
  return new StorageError('aborted', file, 'stopped by the caller; what is stored stays');
}

export function throwIfAborted(signal: AbortSignal | undefined, file: string): void {
  if (signal?.aborted) throw aborted(file);
}

/** Text from outside made safe to print: control characters escaped, cut at 80. */
export function quote(text: string): string {
  const clean = text.slice(0, 80).replace(/[\u0000-\u001f\u007f]/g, (c) =>
    `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `'${clean}${text.length > 80 ? '…' : ''}'`;
}
