// SPDX-License-Identifier: Apache-2.0
// What other rooms use of the store.

export { ShardStore } from './store.ts';
export type {
  BackendKind, Eviction, ModelInfo, ModelOptions, StoreNotice, StoreOptions, TrustPolicy, Usage,
} from './store.ts';
export { StoredModel } from './model.ts';
export type { LoadedShard, ShardsOptions, Verdict } from './model.ts';
export { StorageError, isKind } from './errors.ts';
export type { StorageErrorData, StorageErrorKind } from './errors.ts';
export { hashHere } from './bytes.ts';
export type { Bytes, Hasher } from './bytes.ts';
export type { FileEntry, ManifestTable, ShardEntry } from './manifest.ts';
export type { FileProgress, LoadState, OnProgress, Progress } from './progress.ts';
export type { SignatureFacts } from './trust.ts';
export type { RespondOptions } from './serve.ts';
export { exportModel } from './transfer.ts';
export type { ExportTarget, ImportSource } from './transfer.ts';
