// SPDX-License-Identifier: Apache-2.0
// The page's one connection to the store's worker, started when it is first needed.

import { RpcClient, type Port } from '@lamina/engine/storage';
import type { StoreCalls } from '../../shared/store_calls.ts';
import workerUrl from './store_worker.ts?worker&url';

export type StoreClient = Pick<RpcClient<StoreCalls>, 'call' | 'stream'>;

let client: StoreClient | undefined;

export function storeClient(): StoreClient {
  client ??= new RpcClient<StoreCalls>(new Worker(workerUrl, { type: 'module' }) as Port);
  return client;
}

/** For tests: somebody else answers. */
export function useStoreClient(other: StoreClient): void {
  client = other;
}
