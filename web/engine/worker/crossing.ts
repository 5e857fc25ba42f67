// SPDX-License-Identifier: Apache-2.0
// What crosses between a page and the engine's worker beside requests and events: plain data.

import type { ErrorRecord } from '../errors.ts';
import type { Notice, StorageOptions, Trust } from '../types.ts';

export interface LocalOptions {
  /** Absolute. */
  model: string;
  engine: 'auto' | 'webgpu' | 'wasm';
  softwareGpu: boolean;
  threads: number | undefined;
  contextSize: number | undefined;
  memoryBudget: number | undefined;
  trust: Trust | undefined;
  storage: StorageOptions | undefined;
  headers: Readonly<Record<string, string>> | undefined;
}

export type HostNotice = Omit<Notice, 'cause'> & { cause?: ErrorRecord };
