// SPDX-License-Identifier: Apache-2.0
// @lamina/engine/storage: the verified shard store by itself, for pages that manage what is stored
// and for service workers.

export * from '../storage/index.ts';
export { detectFeatures, type Features } from '../abi/features.ts';
export { RpcClient, serve, type Handlers, type Port } from './worker/rpc.ts';
