// SPDX-License-Identifier: Apache-2.0
// What the engine's users meet beside OpenAI's shapes.

import type { OpTime } from '../abi/types.ts';
import type { FileProgress, LoadState, TrustPolicy } from '../storage/index.ts';
import type { LaminaError } from './errors.ts';

/** Where tokens are computed. */
export type EngineKind = 'webgpu' | 'wasm' | 'daemon';

export interface DaemonAddress {
  /** "http://127.0.0.1:7777", or with https, ws, wss. Default: where the page comes from. */
  url?: string;
  /** As `lamina serve` prints it after #token=. */
  token?: string;
}

export interface Progress {
  /** "plan", "load", "connect", a daemon's "checking" "loading" "preparing", "ready" */
  stage: string;
  /** Bytes, where the stage moves any, else steps. */
  loaded: number;
  total: number;
  /** Bytes per second, of the last second or so; 0 when not known. */
  rate: number;
  /** While shards load here: what they wait for, if for anything. */
  state?: LoadState;
  /** While shards load here: bytes at hand of each, in the order in which layers need them. */
  files?: readonly FileProgress[];
}

/** What a notice is about. */
export type NoticeKind =
  | 'fallback'          // WebGPU cannot go on: WebAssembly does
  | 'device_lost'       // the GPU was lost, and another device goes on
  | 'worker_restarted'  // the engine's worker ended, and another one goes on
  | 'hint'              // what would make it faster: COOP and COEP for threads, relaxed SIMD
  | 'offline'           // the server cannot be reached: the stored model is used
  | 'evicted'           // another model was removed from the store to make room
  | 'not_stored'        // there is no room: the model runs from memory and is fetched again next time
  | 'repaired'          // stored bytes were wrong: they are fetched again
  | 'replayed'          // the server gives an older manifest than before
  | 'storage_denied'    // nothing can be stored on this page
  | 'superseded'        // an older version of the model was removed from the store
  | 'reconnecting'      // the daemon is away
  | 'reconnected'
  | 'daemon'            // what the daemon tells: it lost a device, or changed its backend
  | 'leftover';         // an engine that was left could not be closed

/** Something happened that a user should see; nothing failed. */
export interface Notice {
  kind: NoticeKind;
  /** A sentence for people. */
  text: string;
  /** Of the store: the file or model. */
  file?: string;
  /** What made it so. */
  cause?: LaminaError;
}

export type { FileProgress, LoadState, OpTime };

/** Bytes. */
export interface MemoryUse {
  weights: number;
  kv: number;
  activations: number;
}

export interface ModelPlan {
  model: string;
  engine: EngineKind;
  /** What is still to download; shards that are stored already are not counted. */
  downloadBytes: number;
  storedBytes: number;
  memory: MemoryUse;
  totalBytes: number;
  contextSize: number;
  fits: boolean;
  /** Why it fits or not, with the numbers. */
  reason: string;
}

export interface Fallback {
  from: EngineKind;
  to: EngineKind;
  reason: string;
}

export interface EngineInfo {
  engine: EngineKind;
  /** The model's name. */
  model: string;
  /** "relaxed-SIMD, 4 threads", a GPU's name, the daemon's device. */
  device: string;
  /** Why this engine computes, in one line. */
  reason: string;
  fallbacks: Fallback[];
  contextSize: number;
  threads: number;
  memory: MemoryUse;
  /** What would make it faster, if anything: missing COOP and COEP, no relaxed SIMD. */
  hints: string[];
}

/** Of models in the browser. */
export interface StorageOptions {
  /** Default auto: the private file system, else IndexedDB, else memory. */
  backend?: 'auto' | 'opfs' | 'indexeddb' | 'memory';
  /** Hash stored files at every load (default), or only when they are stored. */
  verify?: 'always' | 'once';
  /** May other models go, least recently used first, when there is no room? Default auto. */
  evict?: 'auto' | 'never';
  /** Without room: go on from memory (default), or fail with `quota_exceeded`. */
  onQuota?: 'memory' | 'fail';
  /** Failures of a download in a row, without progress between them, before giving up; default 5. */
  retries?: number;
  /** Milliseconds before the first repetition, doubled each time; default 250. */
  backoffMs?: number;
  /** Milliseconds without a byte after which a request is made anew; default 30,000. */
  stallMs?: number;
  /** Milliseconds to wait for a lost network before `offline`; default 30,000. */
  waitOnlineMs?: number;
}

/** Which signers are believed; absent: hashes are checked, signatures are not needed. */
export type Trust = TrustPolicy;

export interface EngineOptions {
  /**
   * URL of a model folder or its manifest.json, or of an imported model (`lamina-import:…`); for
   * the daemon, a model's name (or nothing).
   */
  model?: string;
  /**
   * Default auto: webgpu where there is a real GPU and its self-test is good, else wasm, with the
   * reason told.
   */
  engine?: 'auto' | EngineKind;
  /** Let auto take a GPU that the processor plays (SwiftShader, lavapipe): for tests. */
  softwareGpu?: boolean;
  daemon?: DaemonAddress;
  /**
   * Of the WASM engine; default: half the processors, at least 2 of them; 1 where memory cannot
   * be shared.
   */
  threads?: number;
  /** Positions; default: the model's, at most 4096. */
  contextSize?: number;
  /** Bytes that weights, KV cache and activations may take. */
  memoryBudget?: number;
  trust?: Trust;
  /** Sent with every request for the model's files: a bearer token, for example. */
  headers?: Readonly<Record<string, string>>;
  storage?: StorageOptions;
  /**
   * Told what the model takes here, before any of its weights are downloaded. The answer false (or a
   * promise of it) ends createEngine() with `cancelled`.
   */
  onPlan?: (plan: ModelPlan) => unknown;
  /**
   * Milliseconds without any progress after which createEngine() gives up with `timeout`; the time
   * that onPlan takes does not count. Default: no limit.
   */
  startTimeout?: number;
  /**
   * Models in the browser: createEngine() resolves before the weights are here. Answers may be asked for at
   * once; their prompts are computed layer by layer as shards arrive. `engine.loaded` tells the rest.
   */
  early?: boolean;
  onProgress?: (progress: Progress) => void;
  onNotice?: (notice: Notice) => void;
  /** Ends createEngine(), and a load that goes on after it; not the engine that it made. */
  signal?: AbortSignal;
  /** Where the .wasm files lie when the bundler moved them; default: beside this module. */
  assets?: string;
}

export interface CallOptions {
  signal?: AbortSignal;
}
