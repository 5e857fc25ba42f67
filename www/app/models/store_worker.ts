// SPDX-License-Identifier: Apache-2.0
// The model store for the page: in a worker, where the private file system is fastest and hashing
// disturbs no frame.

import {
  exportModel, serve, ShardStore, StorageError, type Handlers, type OnProgress, type Port, type Progress,
  type StoredModel, type Verdict,
} from '@lamina/engine/storage';
import { readConfig, type ModelFacts } from '../../shared/model_facts.ts';
import type { ModelRef, StoreCalls, StoreEvent } from '../../shared/store_calls.ts';
import { tarEnd, tarHeader, tarPadding } from '../../shared/tar.ts';

const stores = new Map<string, Promise<ShardStore>>();
const running = new Map<string, StoredModel>(); // downloads, by address

// Nothing is thrown out unasked here: the user sees what there is and decides.
function store(headers: ModelRef['headers'] = {}): Promise<ShardStore> {
  const key = JSON.stringify(headers);
  const found = stores.get(key) ?? ShardStore.open({ headers, evict: 'never', onQuota: 'fail' });
  stores.set(key, found);
  return found;
}

async function open({ url, trust, headers, stored }: ModelRef, signal: AbortSignal): Promise<StoredModel> {
  const from = await store(headers);
  return from.model(url, { signal, ...(trust ? { trust } : {}), ...(stored ? { prefer: 'store' } : {}) });
}

async function factsOf(model: StoredModel): Promise<ModelFacts> {
  const { manifest, url, sha256, signature, source } = model;
  const missing = new Set(await model.missing());
  const shards = manifest.order.map((index) => manifest.shards[index]).filter((shard) => shard !== undefined)
    .map(({ index, file, bytes, layers }) => ({ file, bytes, layers, stored: !missing.has(index) }));
  const storedBytes = shards.reduce((sum, { bytes, stored }) => sum + (stored ? bytes : 0), 0);
  return {
    name: manifest.name, url, sha256, bytes: manifest.shardBytes, storedBytes, shards, signature, source,
    ...readConfig(model.manifestBytes),
  };
}

// The events of `work`, which tells its progress by a callback.
async function* told(
  work: (tell: OnProgress) => Promise<Verdict | void>,
): AsyncGenerator<StoreEvent, void, void> {
  const waiting: StoreEvent[] = [];
  let wake = (): void => {};
  let over = false;
  const tell = (progress: Progress): void => {
    waiting.push({ kind: 'progress', progress });
    wake();
  };
  const end = work(tell).then((verdict) => {
    if (verdict) waiting.push({ kind: 'verdict', verdict });
  }).finally(() => {
    over = true;
    wake();
  });
  end.catch(() => {}); // told below
  while (!over || waiting.length > 0) {
    const next = waiting.shift();
    if (next) yield next;
    else await new Promise<void>((done) => (wake = done));
  }
  await end;
}

async function* download(ref: ModelRef, signal: AbortSignal): AsyncGenerator<StoreEvent, void, void> {
  const model = await open(ref, signal);
  running.set(ref.url, model);
  try {
    yield* told((tell) => model.download(signal, tell));
  } finally {
    running.delete(ref.url);
  }
}

async function* verify(ref: ModelRef, signal: AbortSignal): AsyncGenerator<StoreEvent, void, void> {
  const model = await open({ ...ref, stored: true }, signal);
  yield* told((tell) => model.verify(signal, tell));
}

async function* repair(ref: ModelRef, signal: AbortSignal): AsyncGenerator<StoreEvent, void, void> {
  const model = await open({ ...ref, stored: true }, signal);
  running.set(ref.url, model);
  try {
    yield* told((tell) => model.repair(signal, tell));
  } finally {
    running.delete(ref.url);
  }
}

// Each file becomes a Blob at once, which the browser may keep on disk.
async function exportFile({ model: ref }: { model: ModelRef }, signal: AbortSignal): Promise<Blob> {
  const model = await open({ ...ref, stored: true }, signal);
  const folder = ref.url.startsWith('lamina-import:') ? 'model' : ref.url.split('/').at(-2) ?? 'model';
  const parts: Blob[] = [];
  await exportModel(model, async (file, bytes) => {
    parts.push(new Blob([tarHeader(`${folder}/${file}`, bytes)]));
    return new WritableStream({
      write: (chunk) => void parts.push(new Blob([chunk])),
      close: () => void parts.push(new Blob([tarPadding(bytes)])),
    });
  }, signal);
  return new Blob([...parts, tarEnd()], { type: 'application/x-tar' });
}

const handlers = {
  look: async (ref, signal) => factsOf(await open(ref, signal)),
  usage: async () => (await store()).usage(),
  download,
  verify,
  repair,
  exportFile,
  pause: async ({ url, paused }) => {
    const model = running.get(url);
    if (paused) model?.pause();
    else model?.resume();
    return model !== undefined;
  },
  remove: async ({ url }) => (await store()).remove(url),
  importModel: async ({ source, trust }, signal) => {
    const imported = await (await store()).importModel(source, { signal, ...(trust ? { trust } : {}) });
    return imported.url;
  },
  exportFolder: async ({ model, folder }, signal) => {
    const stored = await open({ ...model, stored: true }, signal);
    if ((await stored.missing()).length > 0 && !/^https?:/.test(model.url)) {
      throw new StorageError('not_stored', stored.manifest.name, 'is not complete: import it again');
    }
    const into = await folder.getDirectoryHandle(safeName(stored.manifest.name), { create: true });
    await exportModel(stored, into, signal);
  },
} satisfies StoreCalls;

function safeName(name: string): string {
  return name.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[.-]+/, '').slice(0, 80) || 'model';
}

serve(globalThis as unknown as Port, handlers as unknown as Handlers);
