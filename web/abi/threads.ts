// SPDX-License-Identifier: Apache-2.0
// The workers of a module with shared memory: started before it computes, and waiting inside it.

import { LaminaError } from '../engine/errors.ts';
import { inNode } from './features.ts';
import type { Native } from './native.ts';

const STACK_BYTES = 512 * 1024; // kernels keep little there
const PATIENCE_MS = 15000;

export interface AnyWorker {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  terminate(): unknown;
  unref?(): void;
}

export type OnMessage = (message: unknown) => void;

/** A worker of thread.js at `url`, beside this file by default; `onMessage` is told {error} when it can't run. */
export type StartWorker = (url: URL | undefined, onMessage: OnMessage) => AnyWorker;

let starter: StartWorker = inNode() ? startInNode : startNested;

/** Has `other` start all workers from now on. */
export function startWorkersBy(other: StartWorker): void {
  starter = other;
}

export const startWorker: StartWorker = (url, onMessage) => starter(url, onMessage);

function startInNode(url: URL | undefined, onMessage: OnMessage): AnyWorker {
  const { Worker: NodeWorker } = process.getBuiltinModule('node:worker_threads');
  const worker = new NodeWorker(url ?? new URL('./thread.js', import.meta.url));
  worker.on('message', onMessage);
  worker.on('error', (error) => onMessage({ error: String(error) }));
  worker.unref(); // it waits for ever; the program need not
  return worker;
}

function startNested(url: URL | undefined, onMessage: OnMessage): AnyWorker {
  const worker = url === undefined
    ? new Worker(new URL('./thread.js', import.meta.url), { type: 'module' })
    : new Worker(url, { type: 'module' });
  worker.onmessage = (event) => onMessage(event.data);
  worker.onerror = (event) => {
    event.preventDefault(); // handled: not an error of this worker too
    onMessage({ error: event.message || 'the worker did not load' });
  };
  return worker;
}

function ready(start: (onMessage: OnMessage) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail('no answer'), PATIENCE_MS);
    const fail = (why: string) => {
      clearTimeout(timer);
      reject(new LaminaError('device', `a worker thread did not start: ${why}`));
    };
    start((message) => {
      if (message !== 'ready') return fail(String((message as { error?: unknown }).error));
      clearTimeout(timer);
      resolve();
    });
  });
}

export class Threads {
  readonly #workers: AnyWorker[] = [];

  /** Starts `n` workers; resolves when all are inside the module. Throws `device`. */
  async start(native: Native, module: WebAssembly.Module, n: number, url?: URL): Promise<void> {
    const started: Promise<void>[] = [];
    for (let worker = 1; worker <= n; ++worker) {
      const stack = native.alloc(STACK_BYTES) + STACK_BYTES;
      started.push(ready((onMessage) => {
        const each = startWorker(url, onMessage);
        each.postMessage({ module, memory: native.memory, worker, stack }, []);
        this.#workers.push(each);
      }));
    }
    await Promise.all(started);
    const end = Date.now() + PATIENCE_MS;
    while (native.call('lamina_workers') < n) {
      if (Date.now() > end) throw new LaminaError('device', 'a worker thread did not begin');
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  stop(): void {
    for (const worker of this.#workers) worker.terminate();
    this.#workers.length = 0;
  }
}
