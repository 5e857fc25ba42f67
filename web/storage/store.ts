// SPDX-License-Identifier: Apache-2.0
// The verified shard store: models by address, files by hash, nothing used unchecked. For pages,
// dedicated workers (fastest) and service workers.

import { putBlob, type Backend, type BackendKind } from './backend.ts';
import { IdbBackend } from './backend_idb.ts';
import { MemoryBackend } from './backend_memory.ts';
import { OpfsBackend } from './backend_opfs.ts';
import { sha256, type Bytes } from './bytes.ts';
import {
  StoreCore, type CoreOptions, type Eviction, type ModelInfo, type StoreNotice,
} from './core.ts';
import { StorageError, isKind, quote, textOf } from './errors.ts';
import { transportDefaults, type Transport } from './http.ts';
import { Locks } from './locks.ts';
import { allFiles, maxManifestBytes, parseManifest } from './manifest.ts';
import { fetchManifest, type FetchedManifest } from './manifest_fetch.ts';
import { StoredModel } from './model.ts';
import { Records, type ModelRecord } from './records.ts';
import { respond, type RespondOptions } from './serve.ts';
import { importFiles, type ImportSource } from './transfer.ts';
import { checkPolicy, checkSignature, needsSignature, type TrustPolicy } from './trust.ts';

export type { BackendKind, Eviction, ModelInfo, StoreNotice, TrustPolicy };

export interface StoreOptions extends Partial<Transport> {
  /** Default `auto`: the private file system, else IndexedDB, else memory. */
  backend?: 'auto' | BackendKind;
  /** Bytes that the memory backend may hold; default 128 MiB. Larger models are always fetched. */
  memoryBudget?: number;
  /** Shards in memory and requests at once; default 3. */
  parallel?: number;
  /** Hash stored files at every load (default), or only when they are stored. */
  verify?: 'always' | 'once';
  /** May other models go, least recently used first, when there is no room? Default auto. */
  evict?: Eviction;
  /** Without room: go on from memory (default), or fail. */
  onQuota?: 'memory' | 'fail';
  onNotice?: (notice: StoreNotice) => void;
}

export interface ModelOptions {
  trust?: TrustPolicy;
  signal?: AbortSignal;
  /** `store`: don't ask the server when the model is stored completely. Default `network`. */
  prefer?: 'network' | 'store';
}

export interface Usage {
  backend: BackendKind;
  models: ModelInfo[];
  /** Of all models, files that they share once. */
  bytes: number;
  /** What the browser grants this origin; no promise. Null where it doesn't tell. */
  quota: number | null;
  /** Whether the browser may throw the store away when the disk fills up; null if unknown. */
  persistent: boolean | null;
}

const megabyte = 2 ** 20;

export class ShardStore {
  private readonly core: StoreCore;

  private constructor(core: StoreCore) {
    this.core = core;
  }

  /** @throws StorageError storage_failed when one backend is asked for and cannot be had */
  static async open(options: StoreOptions = {}): Promise<ShardStore> {
    const budget = options.memoryBudget ?? 128 * megabyte;
    const denials: string[] = [];
    const backend = await openBackend(options.backend ?? 'auto', budget, denials);
    const locks = new Locks();
    const core = new StoreCore(backend, locks, new Records(backend, locks), settings(options));
    if (denials.length > 0 && backend.kind === 'memory') {
      core.notice('storage_denied', 'store',
        `${denials.join('; ')}: models are fetched each time; allow this site to store data`);
    }
    return new ShardStore(core);
  }

  get backend(): BackendKind {
    return this.core.backend.kind;
  }

  /**
   * Gets and checks manifest.json and its signature; no shard is fetched. Without network, with
   * `prefer: 'store'`, or for an imported model, the stored version serves, checked the same way.
   * @throws StorageError
   */
  async model(manifestUrl: string | URL, options: ModelOptions = {}): Promise<StoredModel> {
    const url = modelUrl(manifestUrl);
    const trust = options.trust ?? {};
    checkPolicy(trust);
    if (options.prefer === 'store' || url.startsWith('lamina-import:')) {
      const stored = await this.fromStore(url, trust, true);
      if (stored) return stored;
    }
    try {
      return await this.fromNetwork(url, trust, options.signal);
    } catch (error) {
      if (!isOutage(error)) throw error;
      const stored = await this.fromStore(url, trust, false);
      if (stored) return stored;
      throw error;
    }
  }

  /** Models in the store, most recently used first. */
  async list(): Promise<ModelInfo[]> {
    const records = await this.core.records.models();
    const infos = await Promise.all(records.map((record) => this.core.info(record)));
    return infos.sort((a, b) => b.usedAt - a.usedAt);
  }

  /** Removes a version by its manifest's hash, or all of an address. @throws StorageError in_use */
  async remove(sha256OrUrl: string): Promise<void> {
    const records = await this.core.records.models();
    for (const record of records) {
      if (record.sha256 === sha256OrUrl || record.url === sha256OrUrl) {
        await this.core.remove(record.sha256);
      }
    }
  }

  async usage(): Promise<Usage> {
    const models = await this.list();
    const files = new Map<string, number>();
    for (const record of await this.core.records.models()) {
      for (const file of record.files) {
        if (await this.core.records.isWhole(file)) files.set(file.sha256, file.bytes);
      }
    }
    const bytes = [...files.values()].reduce((sum, n) => sum + n, 0);
    const estimate = await globalThis.navigator?.storage?.estimate().catch(() => null);
    const persistent = await globalThis.navigator?.storage?.persisted?.().catch(() => null);
    return {
      backend: this.backend, models, bytes, quota: estimate?.quota ?? null,
      persistent: persistent ?? null,
    };
  }

  /**
   * Asks the browser, once ever, to keep the store when the disk fills up. Only pages may ask: in
   * workers the answer is what holds now. Call it before the first download.
   */
  async persist(): Promise<boolean> {
    const storage = globalThis.navigator?.storage as StorageManager | undefined;
    if (!storage || this.backend === 'memory') return false;
    if (await storage.persisted?.()) return true;
    if (!('persist' in storage)) return false;
    if (await this.core.records.backend.getRecord('persist-asked')) return false;
    await this.core.records.backend.putRecord('persist-asked', { at: Date.now() });
    return storage.persist();
  }

  /** Removes blobs and unfinished downloads that belong to no model; tells how many. */
  collect(): Promise<number> {
    return this.core.collect();
  }

  /** Takes a model folder from files or a folder handle, verified like one from a server. */
  async importModel(source: ImportSource, options: ModelOptions = {}): Promise<StoredModel> {
    const trust = options.trust ?? {};
    checkPolicy(trust);
    return importFiles(this.core, source, options.signal, (got, name) =>
      this.accept(`lamina-import:${encodeURIComponent(name)}`, got, trust, 'store'));
  }

  /** Answers a request for a model's file from the store; null when that is not possible. */
  respond(request: Request, options: RespondOptions = {}): Promise<Response | null> {
    return respond(this.core, request, options);
  }

  private async fromNetwork(
    url: string, trust: TrustPolicy, signal: AbortSignal | undefined,
  ): Promise<StoredModel> {
    const { transport } = this.core.options;
    const got = await fetchManifest(url, transport, signal, 'no-cache');
    const source = got.fromStore ? 'store' : 'network';
    try {
      return await this.accept(url, got, trust, source);
    } catch (error) {
      // Manifest and signature may be of two versions when a server is just being updated.
      if (!isKind(error, 'signature_mismatch')) throw error;
      return this.accept(url, await fetchManifest(url, transport, signal, 'reload'), trust, source);
    }
  }

  private async fromStore(
    url: string, trust: TrustPolicy, onlyComplete: boolean,
  ): Promise<StoredModel | null> {
    const { records } = this.core;
    const candidates = await records.modelsOf(url);
    const complete: ModelRecord[] = [];
    for (const record of candidates) if (await records.isComplete(record)) complete.push(record);
    const order = onlyComplete ? complete : [...complete, ...candidates];
    for (const record of order) {
      const bytes = await this.storedManifest(record);
      if (!bytes) continue;
      const got = { bytes, sha256: record.sha256, signature: record.signature, fromStore: true };
      return this.accept(url, got, trust, 'store');
    }
    return null;
  }

  private async storedManifest(record: ModelRecord): Promise<Bytes | null> {
    const size = await this.core.backend.size(record.sha256);
    if (size !== record.manifestBytes || size > maxManifestBytes) return null;
    const bytes = new Uint8Array(size);
    if (!(await this.core.backend.read(record.sha256, 0, bytes))) return null;
    return (await sha256(bytes)) === record.sha256 ? bytes : null;
  }

  private async accept(
    url: string, got: FetchedManifest, trust: TrustPolicy, source: 'network' | 'store',
  ): Promise<StoredModel> {
    const manifest = parseManifest(got.bytes, 'manifest.json');
    const what = manifest.name || 'the model';
    const signature = await checkSignature(got.bytes, got.signature, trust, what);
    if (source === 'network') await this.checkReplay(url, got.sha256, trust, what);
    const model = new StoredModel({
      core: this.core, url, sha256: got.sha256, manifestBytes: got.bytes, manifest,
      signatureText: got.signature, signature, source,
    });
    await this.remember(model);
    return model;
  }

  private async checkReplay(
    url: string, hash: string, trust: TrustPolicy, what: string,
  ): Promise<void> {
    if (!(await this.core.records.isSuperseded(url, hash))) return;
    const refuse = trust.replay ? trust.replay === 'refuse' : needsSignature(trust);
    if (!refuse) {
      this.core.notice('replayed', what, 'the server gives an older manifest than before');
      return;
    }
    throw new StorageError('manifest_replayed', what,
      "the server gives an older manifest than before, which may bring back old weights; if that " +
      "is meant, open it with trust.replay 'accept'");
  }

  private async remember(model: StoredModel): Promise<void> {
    const { core } = this;
    const { url, manifestBytes, manifest, signatureText } = model;
    const entry = { file: 'manifest.json', bytes: manifestBytes.length, sha256: model.sha256 };
    const write = (): Promise<void> => core.records.change(async () => {
      const known = await core.records.model(model.sha256);
      await putBlob(core.backend, model.sha256, manifestBytes);
      const now = Date.now();
      const files = allFiles(manifest).map(({ file, bytes, sha256: hash }) =>
        ({ file, bytes, sha256: hash }));
      await core.records.putModel({
        sha256: model.sha256, url, name: manifest.name, manifestBytes: manifestBytes.length,
        signature: signatureText, files, addedAt: known?.addedAt ?? now, usedAt: now,
      });
      if (model.source === 'network') await core.records.noteSource(url, model.sha256);
    });
    for (;;) {
      try {
        return await write();
      } catch (error) {
        if (!(await core.onStoreFailure(error, entry, model.sha256))) return;
      }
    }
  }
}

function settings(options: StoreOptions): CoreOptions {
  const transport: Transport = { ...transportDefaults };
  for (const key of Object.keys(transportDefaults) as (keyof Transport)[]) {
    if (options[key] !== undefined) Object.assign(transport, { [key]: options[key] });
  }
  return {
    parallel: Math.max(1, Math.min(16, Math.floor(options.parallel ?? 3))),
    verify: options.verify ?? 'always',
    evict: options.evict ?? 'auto',
    onQuota: options.onQuota ?? 'memory',
    onNotice: options.onNotice ?? (() => {}),
    transport,
  };
}

async function openBackend(
  wanted: 'auto' | BackendKind, budget: number, denials: string[],
): Promise<Backend> {
  const kinds: BackendKind[] = wanted === 'auto' ? ['opfs', 'indexeddb', 'memory'] : [wanted];
  for (const kind of kinds) {
    if (kind === 'memory') return new MemoryBackend(budget);
    try {
      const backend = kind === 'opfs' ? await OpfsBackend.open() : await IdbBackend.open();
      if (backend) return backend;
      denials.push(`this browser has no ${kind}`);
    } catch (error) {
      denials.push(`${kind} is refused (${textOf(error)})`);
    }
  }
  throw new StorageError('storage_failed', 'store', `${denials.join('; ')}; allow storage or ` +
    "leave the choice of backend to 'auto'");
}

// Without user, password and fragment: the same address is always the same text.
function modelUrl(text: string | URL): string {
  const base = globalThis.location?.href;
  const url = URL.canParse(text, base) ? new URL(text, base) : null;
  const usable = url && /^(https?|lamina-import):$/.test(url.protocol);
  if (!usable) {
    throw new StorageError('unknown_file', quote(String(text)),
      'is not the http or https address of a manifest.json');
  }
  url.username = url.password = url.hash = '';
  if (url.pathname.endsWith('/')) url.pathname += 'manifest.json';
  return url.href;
}

// The stored version may serve instead.
function isOutage(error: unknown): boolean {
  if (!(error instanceof StorageError)) return false;
  if (error.kind === 'http_status') return error.status >= 500 || error.status === 429;
  return ['network', 'offline', 'html_instead_of_shard'].includes(error.kind);
}
