// SPDX-License-Identifier: Apache-2.0
// What this folder uses of a service worker's global scope; TypeScript's library for pages and its
// library for workers can't be loaded together.

export interface LifeEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}

export interface FetchEvent extends LifeEvent {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}

export interface MessageToWorker extends LifeEvent {
  readonly data: unknown;
}

export interface WindowClient {
  readonly id: string;
  readonly url: string;
  postMessage(message: unknown, transfer?: Transferable[]): void;
}

export interface Clients {
  claim(): Promise<void>;
  matchAll(options: { type: 'window'; includeUncontrolled: boolean }): Promise<readonly WindowClient[]>;
}

export interface WorkerScope {
  readonly registration: {
    readonly scope: string;
    readonly installing: object | null;
    readonly waiting: object | null;
    unregister(): Promise<boolean>;
  };
  readonly clients: Clients;
  skipWaiting(): Promise<void>;
  addEventListener(kind: 'install' | 'activate', hear: (event: LifeEvent) => void): void;
  addEventListener(kind: 'fetch', hear: (event: FetchEvent) => void): void;
  addEventListener(kind: 'message', hear: (event: MessageToWorker) => void): void;
}

export const scope = globalThis as unknown as WorkerScope;
