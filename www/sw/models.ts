// SPDX-License-Identifier: Apache-2.0
// Model files out of the verified store, with ranges; the network answers for what it lacks. The
// list of a static host's models is kept from the last time it came.

import type { ShardStore } from '@lamina/engine/storage';

const KEPT = 'lamina-lists';
const FILE = /\/(manifest\.(json|sig)|tokenizer\.json|shards\/\d{5,}\.bin)$/;

export interface ModelParts {
  base: string;
  store: () => Promise<Pick<ShardStore, 'respond'>>;
  caches: CacheStorage;
  fetch: typeof fetch;
}

/** A file of a model folder, here or elsewhere. */
export function isModelFile(request: Request): boolean {
  return (request.method === 'GET' || request.method === 'HEAD') && FILE.test(new URL(request.url).pathname);
}

export async function modelFile(request: Request, parts: ModelParts): Promise<Response> {
  const store = await parts.store().catch(() => null); // storage may be refused
  const stored = await store?.respond(request).catch(() => null);
  return stored ?? parts.fetch(request);
}

export function isModelList(request: Request, base: string): boolean {
  return request.method === 'GET' && request.url === new URL('models/index.json', base).href;
}

export async function modelList(request: Request, parts: ModelParts): Promise<Response> {
  const cache = await parts.caches.open(KEPT);
  try {
    const answer = await parts.fetch(request);
    if (answer.ok) await cache.put(request.url, answer.clone());
    return answer;
  } catch (error) {
    const kept = await cache.match(request.url);
    if (kept) return kept;
    throw error;
  }
}

export async function forgetLists(caches: CacheStorage): Promise<void> {
  await caches.delete(KEPT);
}
