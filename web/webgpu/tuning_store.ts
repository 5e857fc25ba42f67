// SPDX-License-Identifier: Apache-2.0
// What a device was tuned to, kept from one start to the next.
import type { GpuFacts } from './device.ts';
import type { Product } from './tuner.ts';
import type { VectorSizes } from './tuning.ts';
import { wgslHash } from './wgsl.gen.ts';

/** Where an executor keeps it. What is damaged or fails counts as nothing kept. */
export interface TuningStore {
  get(key: string): Promise<unknown>;
  set(key: string, value: unknown): Promise<void>;
}

/** Records of one key are of one device with the same features, and of the same kernels. */
export function tuningKey(facts: GpuFacts): string {
  const { description, subgroup, shaderF16, maxThreads, maxShared } = facts;
  return `tuning 1 ${wgslHash} ${subgroup} ${shaderF16} ${maxThreads} ${maxShared} ${description}`;
}

async function recordOf(store: TuningStore, facts: GpuFacts): Promise<Record<string, unknown>> {
  try {
    const record = await store.get(tuningKey(facts));
    return typeof record === 'object' && record !== null ? (record as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function same(a: VectorSizes, b: unknown): boolean {
  if (typeof b !== 'object' || b === null) return false;
  const other = b as Partial<Record<keyof VectorSizes, unknown>>;
  return (Object.keys(a) as (keyof VectorSizes)[]).every((name) => a[name] === other[name]);
}

/** The sizes of those products that are kept: only such as tuning could choose today. */
export async function remembered(store: TuningStore, facts: GpuFacts, products: readonly Product[]): Promise<Record<string, VectorSizes>> {
  const record = await recordOf(store, facts);
  const known: Record<string, VectorSizes> = {};
  for (const { key, usual, candidates } of products) {
    const sizes = [usual, ...candidates].find((s) => same(s, record[key]));
    if (sizes) known[key] = sizes;
  }
  return known;
}

/** Beside what is kept of other models' products. */
export async function remember(store: TuningStore, facts: GpuFacts, decided: Readonly<Record<string, VectorSizes>>): Promise<void> {
  try {
    await store.set(tuningKey(facts), { ...await recordOf(store, facts), ...decided });
  } catch {
    // It will be measured again.
  }
}

const kDatabase = 'lamina-tuning';
const kTable = 'records';

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('IndexedDB'));
  });
}

/** In this origin's IndexedDB; undefined where there is none. */
export function browserTuningStore(): TuningStore | undefined {
  if (!globalThis.indexedDB) return undefined;
  const withTable = async <T>(mode: IDBTransactionMode, work: (table: IDBObjectStore) => IDBRequest<T>): Promise<T> => {
    const request = indexedDB.open(kDatabase, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(kTable);
    const database = await settled(request);
    try {
      return await settled(work(database.transaction(kTable, mode).objectStore(kTable)));
    } finally {
      database.close();
    }
  };
  return {
    get: (key) => withTable<unknown>('readonly', (table) => table.get(key)),
    set: async (key, value) => void await withTable('readwrite', (table) => table.put(value, key)),
  };
}
