// SPDX-License-Identifier: Apache-2.0
// One version of a model: its files, from the store or the network, verified before anybody sees
// a byte.

import type { Bytes, Hasher } from './bytes.ts';
import { download } from './download.ts';
import { StorageError, throwIfAborted } from './errors.ts';
import { Gate } from './gate.ts';
import { Keep } from './keep.ts';
import { allFiles, type FileEntry, type ManifestTable, type ShardEntry } from './manifest.ts';
import { BufferPool, inOrder } from './pipeline.ts';
import { Meter, type OnProgress } from './progress.ts';
import { distinct } from './records.ts';
import type { ReadOptions, StoreCore } from './core.ts';
import type { SignatureFacts } from './trust.ts';

/**
 * A verified shard. `bytes` is valid until the next one is asked for, unless transferred away; they are
 * in its place too, where it has one.
 */
export interface LoadedShard {
  index: number;
  file: string;
  bytes: Bytes;
  /** Where its bytes came from. */
  from: 'store' | 'network';
}

export interface ShardsOptions {
  /** Only these, in this order; default all, in the order in which layers need them. */
  indices?: readonly number[];
  /** At most so many in memory at once, the one handed out included; default the store's. */
  parallel?: number;
  /** Hashes what is stored; default: this thread. */
  hasher?: Hasher;
  /** Memory of its size where shard `index` is to be written once it is verified, if anywhere. */
  place?: (index: number) => Uint8Array | undefined;
}

/** What verify() or repair() found, by file name. */
export interface Verdict {
  good: string[];
  missing: string[];
  /** Were in the store with wrong bytes; they are removed from it. */
  bad: string[];
}

export interface StoredModelParts {
  core: StoreCore;
  url: string;
  sha256: string;
  manifestBytes: Bytes;
  manifest: ManifestTable;
  signatureText: string | null;
  signature: SignatureFacts;
  source: 'network' | 'store';
}

export class StoredModel {
  /** Address of manifest.json. */
  readonly url: string;
  /** SHA-256 of manifest.json: the version's name. */
  readonly sha256: string;
  /** The exact bytes that were hashed and whose signature was checked. */
  readonly manifestBytes: Bytes;
  readonly manifest: ManifestTable;
  /** Text of manifest.sig, or null. */
  readonly signatureText: string | null;
  readonly signature: SignatureFacts;
  /** Where the manifest came from: `store` when the network is not there, or not asked. */
  readonly source: 'network' | 'store';
  private readonly core: StoreCore;
  private readonly gate = new Gate();

  constructor(parts: StoredModelParts) {
    this.core = parts.core;
    this.url = parts.url;
    this.sha256 = parts.sha256;
    this.manifestBytes = parts.manifestBytes;
    this.manifest = parts.manifest;
    this.signatureText = parts.signatureText;
    this.signature = parts.signature;
    this.source = parts.source;
  }

  /**
   * Every shard, verified, in the order in which layers need them, while later ones download.
   * At most `parallel` shards are in memory: a shard's bytes are overwritten or freed when the next
   * is asked for and when the loop ends; transfer or copy what must stay. Leaving the loop stops
   * the downloads.
   * @throws StorageError; the store keeps what it has, and the next call goes on from there
   */
  async *shards(
    signal?: AbortSignal, onProgress?: OnProgress, options: ShardsOptions = {},
  ): AsyncGenerator<LoadedShard, void, void> {
    const shards = (options.indices ?? this.manifest.order).map((index) => this.entry(index));
    const leave = await this.core.use(this.sha256, signal);
    try {
      if (!options.indices) await this.keepSideFiles(signal);
      yield* this.load(shards, signal, onProgress, options);
    } finally {
      leave();
    }
    await this.core.finished(this.url, this.sha256);
  }

  /** One shard in a buffer of its own, for putting a layer back. */
  async shard(index: number, signal?: AbortSignal): Promise<Bytes> {
    return this.single(this.entry(index), signal);
  }

  /** tokenizer.json or another side file of the manifest, verified. */
  async file(name: string, signal?: AbortSignal): Promise<Bytes> {
    const { tokenizer, files } = this.manifest;
    const entry = [tokenizer, ...files].find((file) => file.file === name);
    if (entry) return this.single(entry, signal);
    throw new StorageError('unknown_file', name, 'the manifest lists no such file');
  }

  /** Brings every missing file into the store, hands none out. @throws StorageError quota */
  async download(signal?: AbortSignal, onProgress?: OnProgress): Promise<void> {
    const leave = await this.core.use(this.sha256, signal);
    try {
      await this.fetchAll(await this.missingFiles(), signal, onProgress);
    } finally {
      leave();
    }
    await this.core.finished(this.url, this.sha256);
  }

  /** Indices of the shards that are not in the store. */
  async missing(): Promise<number[]> {
    const absent = new Set((await this.missingFiles()).map((file) => file.sha256));
    return this.manifest.shards.filter((s) => absent.has(s.sha256)).map((s) => s.index);
  }

  /** Hashes every stored file; removes the wrong ones, so that the next load fetches them. */
  async verify(signal?: AbortSignal, onProgress?: OnProgress): Promise<Verdict> {
    const verdict: Verdict = { good: [], missing: [], bad: [] };
    const files = distinct(allFiles(this.manifest));
    const meter = new Meter(onProgress, files);
    const pool = new BufferPool();
    const check = async (entry: FileEntry): Promise<void> => {
      throwIfAborted(signal, entry.file);
      const buffer = pool.take(entry.bytes);
      const { found, bytes } = await this.core.readVerified(entry, buffer, { verify: 'always' });
      pool.give(bytes);
      verdict[found].push(entry.file);
      meter.fromStore(entry.file, entry.bytes);
      meter.fileDone(entry.file);
    };
    for await (const _ of inOrder(files, this.core.options.parallel, check, () => {})) void _;
    pool.clear();
    return verdict;
  }

  /** verify(), then fetches what is missing or was bad, and nothing else. */
  async repair(signal?: AbortSignal, onProgress?: OnProgress): Promise<Verdict> {
    const verdict = await this.verify(signal);
    await this.download(signal, onProgress);
    return verdict;
  }

  /** Stops downloading after the bytes at hand; what is read from the store goes on. */
  pause(): void {
    this.gate.close();
  }

  resume(): void {
    this.gate.open();
  }

  get paused(): boolean {
    return this.gate.closed;
  }

  /** Removes this version; files that other models share stay. @throws StorageError in_use */
  remove(): Promise<void> {
    return this.core.remove(this.sha256);
  }

  private entry(index: number): ShardEntry {
    const entry = this.manifest.shards[index];
    if (entry) return entry;
    throw new StorageError('unknown_file', `shard ${index}`,
      `the model has ${this.manifest.shards.length} shards`);
  }

  // So that a model that was loaded once is complete without network.
  private async keepSideFiles(signal: AbortSignal | undefined): Promise<void> {
    if (this.core.backend.kind === 'memory') return;
    for (const file of [this.manifest.tokenizer, ...this.manifest.files]) {
      if (!(await this.core.records.isWhole(file))) await this.single(file, signal);
    }
  }

  private async missingFiles(): Promise<FileEntry[]> {
    const missing: FileEntry[] = [];
    for (const file of distinct(allFiles(this.manifest))) {
      if (!(await this.core.records.isWhole(file))) missing.push(file);
    }
    return missing;
  }

  private async *load(
    shards: readonly ShardEntry[], signal: AbortSignal | undefined,
    onProgress: OnProgress | undefined, options: ShardsOptions,
  ): AsyncGenerator<LoadedShard, void, void> {
    const { parallel = this.core.options.parallel, hasher } = options;
    const meter = new Meter(onProgress, shards);
    const pool = new BufferPool();
    const one = async (shard: ShardEntry, stop: AbortSignal): Promise<LoadedShard> => {
      const buffer = pool.take(shard.bytes);
      const place = options.place?.(shard.index);
      const brought = await this.bring(shard, buffer, both(signal, stop), meter, { hasher, place });
      return { index: shard.index, file: shard.file, ...brought };
    };
    try {
      yield* inOrder(shards, parallel, one, ({ bytes }) => pool.give(bytes));
    } finally {
      pool.clear();
    }
  }

  private async fetchAll(
    files: readonly FileEntry[], signal: AbortSignal | undefined,
    onProgress: OnProgress | undefined,
  ): Promise<void> {
    const meter = new Meter(onProgress, files);
    const pool = new BufferPool();
    const one = async (file: FileEntry, stop: AbortSignal): Promise<Bytes> => {
      const { bytes } = await this.bring(file, pool.take(file.bytes), both(signal, stop), meter);
      if (await this.core.records.isWhole(file)) return bytes;
      throw new StorageError('quota', file.file,
        'could not be stored: there is no room; remove other models or run without storing');
    };
    const { parallel } = this.core.options;
    for await (const _ of inOrder(files, parallel, one, (bytes) => pool.give(bytes))) void _;
    pool.clear();
  }

  private async single(entry: FileEntry, signal: AbortSignal | undefined): Promise<Bytes> {
    const buffer = new Uint8Array(entry.bytes);
    return (await this.bring(entry, buffer, signal, new Meter(undefined, [entry]))).bytes;
  }

  // Fills `into` with verified bytes, from the store if they are there.
  private async bring(
    entry: FileEntry, into: Bytes, signal: AbortSignal | undefined, meter: Meter,
    options: ReadOptions = {},
  ): Promise<{ bytes: Bytes; from: 'store' | 'network' }> {
    throwIfAborted(signal, entry.file);
    let bytes = into;
    const fromStore = async (): Promise<boolean> => {
      const read = await this.core.readVerified(entry, bytes, options);
      bytes = read.bytes;
      if (read.found !== 'good') return false;
      meter.fromStore(entry.file, entry.bytes);
      return true;
    };
    let from: 'store' | 'network' = 'store';
    if (!(await fromStore())) {
      // Under the lock the file may be there after all: another tab has fetched it meanwhile.
      await this.core.locks.hold(`file:${entry.sha256}`, async () => {
        if (await fromStore()) return;
        await this.fetch(entry, bytes, signal, meter);
        options.place?.set(bytes);
        from = 'network';
      }, signal);
    }
    meter.fileDone(entry.file);
    return { bytes, from };
  }

  private async fetch(
    entry: FileEntry, buffer: Bytes, signal: AbortSignal | undefined, meter: Meter,
  ): Promise<void> {
    const { core, gate } = this;
    if (!/^https?:/.test(this.url)) {
      throw new StorageError('not_stored', entry.file,
        'is missing from an imported model, and there is no server to ask; import it again');
    }
    const onFailure = (error: unknown): Promise<boolean> =>
      core.onStoreFailure(error, entry, this.sha256);
    const keep = await Keep.open(core.backend, entry.sha256, onFailure);
    const address = new URL(entry.file, this.url);
    address.searchParams.set('sha256', entry.sha256);
    const nameOf = (hash: string): string | undefined =>
      allFiles(this.manifest).find((file) => file.sha256 === hash)?.file;
    try {
      await download({
        entry, url: address.href, buffer, keep, gate, meter, signal, nameOf,
        transport: core.options.transport,
      });
      await keep.commit();
    } finally {
      await keep.close();
    }
  }
}

function both(signal: AbortSignal | undefined, stop: AbortSignal): AbortSignal {
  return signal ? AbortSignal.any([signal, stop]) : stop;
}
