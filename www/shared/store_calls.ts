// SPDX-License-Identifier: Apache-2.0
// What the page asks of the worker that has the model store.

import type { ImportSource, Progress, TrustPolicy, Usage, Verdict } from '@lamina/engine/storage';
import type { ModelFacts } from './model_facts.ts';

/** A model by its address, and how to get it. */
export interface ModelRef {
  url: string;
  trust?: TrustPolicy;
  headers?: Readonly<Record<string, string>>;
  /** What is stored completely is not asked of the server again. */
  stored?: boolean;
}

/** While files are checked or fetched; the last event of verify and repair has the verdict. */
export type StoreEvent =
  | { kind: 'progress'; progress: Progress }
  | { kind: 'verdict'; verdict: Verdict };

/** What `serve` and `RpcClient` carry: promises for calls, async iterables for streams. */
export interface StoreCalls {
  [name: string]: (args: never, signal: AbortSignal) => unknown;
  look(model: ModelRef, signal: AbortSignal): Promise<ModelFacts>;
  usage(args: null): Promise<Usage>;
  download(model: ModelRef, signal: AbortSignal): AsyncIterable<StoreEvent>;
  /** Of a download under way; false when there is none. */
  pause(args: { url: string; paused: boolean }): Promise<boolean>;
  verify(model: ModelRef, signal: AbortSignal): AsyncIterable<StoreEvent>;
  repair(model: ModelRef, signal: AbortSignal): AsyncIterable<StoreEvent>;
  /** All versions of an address. */
  remove(args: { url: string }): Promise<void>;
  /** Gives the imported model's address. */
  importModel(args: { source: ImportSource; trust?: TrustPolicy }, signal: AbortSignal): Promise<string>;
  exportFolder(args: { model: ModelRef; folder: FileSystemDirectoryHandle }, signal: AbortSignal): Promise<void>;
  /** One .tar of the model's folder. */
  exportFile(args: { model: ModelRef }, signal: AbortSignal): Promise<Blob>;
}
