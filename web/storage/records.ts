// SPDX-License-Identifier: Apache-2.0
// What the store remembers about models and addresses. Blobs hold all bytes (the manifest's too);
// records say which belong together. All changes happen under one lock.

import type { Backend } from './backend.ts';
import { isHash, sha256OfText } from './bytes.ts';
import type { Locks } from './locks.ts';
import type { FileEntry } from './manifest.ts';

/** One version of a model: named by its manifest's hash. */
export interface ModelRecord {
  /** SHA-256 of manifest.json. */
  sha256: string;
  /** Address of manifest.json. */
  url: string;
  name: string;
  manifestBytes: number;
  /** Text of manifest.sig. */
  signature: string | null;
  files: FileEntry[];
  /** Milliseconds since 1970. */
  addedAt: number;
  usedAt: number;
}

/** What an address gave so far. */
interface SourceRecord {
  url: string;
  current: string;
  superseded: string[];
}

const maxSuperseded = 100;

export class Records {
  readonly backend: Backend;
  private readonly locks: Locks;

  constructor(backend: Backend, locks: Locks) {
    this.backend = backend;
    this.locks = locks;
  }

  /** Runs `work` while nobody else changes records or collects garbage. */
  change<T>(work: () => Promise<T>): Promise<T> {
    return this.locks.hold('records', work);
  }

  async model(sha256: string): Promise<ModelRecord | null> {
    const record = await this.backend.getRecord(`model-${sha256}`);
    return isModelRecord(record) && record.sha256 === sha256 ? record : null;
  }

  async models(): Promise<ModelRecord[]> {
    const names = await this.backend.recordNames('model-');
    const found = await Promise.all(names.map((name) => this.model(name.slice('model-'.length))));
    return found.filter((record) => record !== null);
  }

  putModel(record: ModelRecord): Promise<void> {
    return this.backend.putRecord(`model-${record.sha256}`, record);
  }

  removeModel(sha256: string): Promise<void> {
    return this.backend.removeRecord(`model-${sha256}`);
  }

  /** Of all models that this address gave, newest first. */
  async modelsOf(url: string): Promise<ModelRecord[]> {
    const source = await this.source(url);
    const found = (await this.models()).filter((record) => record.url === url);
    const rank = (r: ModelRecord): number => (r.sha256 === source?.current ? Infinity : r.addedAt);
    return found.sort((a, b) => rank(b) - rank(a));
  }

  /** Whether this address gave this manifest once and another one since. */
  async isSuperseded(url: string, sha256: string): Promise<boolean> {
    return (await this.source(url))?.superseded.includes(sha256) ?? false;
  }

  /** Remembers what an address gives now. */
  async noteSource(url: string, sha256: string): Promise<void> {
    const before = await this.source(url);
    if (before?.current === sha256) return;
    const old = before ? [...before.superseded, before.current] : [];
    const superseded = old.filter((hash) => hash !== sha256).slice(-maxSuperseded);
    const record: SourceRecord = { url, current: sha256, superseded };
    await this.backend.putRecord(await sourceName(url), record);
  }

  async isWhole(file: FileEntry): Promise<boolean> {
    return (await this.backend.size(file.sha256)) === file.bytes;
  }

  /** Bytes of the record's files that are stored whole, equal files once. */
  async storedBytes(record: ModelRecord): Promise<number> {
    let bytes = 0;
    for (const file of distinct(record.files)) if (await this.isWhole(file)) bytes += file.bytes;
    return bytes;
  }

  async isComplete(record: ModelRecord): Promise<boolean> {
    for (const file of record.files) if (!(await this.isWhole(file))) return false;
    return true;
  }

  /** Removes blobs and parts that no record names; call it in change(). Tells their count. */
  async collect(isBusy: (sha256: string) => Promise<boolean>): Promise<number> {
    const wanted = new Set<string>();
    for (const record of await this.models()) {
      wanted.add(record.sha256);
      for (const file of record.files) wanted.add(file.sha256);
    }
    const { whole, parts } = await this.backend.list();
    let count = 0;
    for (const sha256 of new Set([...whole, ...parts])) {
      if (!isHash(sha256) || wanted.has(sha256) || await isBusy(sha256)) continue;
      await this.backend.remove(sha256);
      await this.backend.removeRecord(`part-${sha256}`);
      ++count;
    }
    return count;
  }

  private async source(url: string): Promise<SourceRecord | null> {
    const record = await this.backend.getRecord(await sourceName(url));
    return isSourceRecord(record) ? record : null;
  }
}

/** Each hash once. */
export function distinct(files: readonly FileEntry[]): FileEntry[] {
  return [...new Map(files.map((file) => [file.sha256, file])).values()];
}

async function sourceName(url: string): Promise<string> {
  return `source-${await sha256OfText(url)}`;
}

function isSourceRecord(value: unknown): value is SourceRecord {
  const record = value as SourceRecord | undefined;
  return isHash(record?.current) && Array.isArray(record?.superseded);
}

function isModelRecord(value: unknown): value is ModelRecord {
  const record = value as ModelRecord | undefined;
  return isHash(record?.sha256) && typeof record?.url === 'string' &&
    Array.isArray(record.files) && record.files.every((f) => isHash(f?.sha256));
}
