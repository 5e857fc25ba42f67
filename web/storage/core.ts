// SPDX-License-Identifier: Apache-2.0
// What ShardStore and StoredModel share: reading with a check, room, and who uses what.

import type { Backend } from './backend.ts';
import { hashHere, type Bytes, type Hasher } from './bytes.ts';
import { StorageError, aborted, isQuotaError, textOf } from './errors.ts';
import type { Transport } from './http.ts';
import type { Locks } from './locks.ts';
import type { FileEntry } from './manifest.ts';
import { distinct, type ModelRecord, type Records } from './records.ts';

/** Something the user may want to know; nothing failed. */
export interface StoreNotice {
  kind:
    | 'evicted'            // another model was removed to make room
    | 'not_stored'         // there is no room: bytes were used from memory and not kept
    | 'repaired'           // stored bytes were wrong: they are fetched again
    | 'replayed'           // the address gives an older manifest again
    | 'storage_denied'     // nothing can be stored on this page
    | 'superseded';        // an older version of a model was removed
  file: string;
  message: string;
}

/** A model in the store. */
export interface ModelInfo {
  sha256: string;
  url: string;
  name: string;
  /** Of all its files. */
  bytes: number;
  storedBytes: number;
  complete: boolean;
  addedAt: number;
  usedAt: number;
}

export type Eviction =
  | 'auto'
  | 'never'
  | ((model: ModelInfo) => boolean | Promise<boolean>);

export interface CoreOptions {
  parallel: number;
  verify: 'always' | 'once';
  evict: Eviction;
  onQuota: 'memory' | 'fail';
  onNotice: (notice: StoreNotice) => void;
  transport: Transport;
}

export interface ReadOptions {
  verify?: CoreOptions['verify'];
  hasher?: Hasher | undefined;
  place?: Uint8Array | undefined;
}

export class StoreCore {
  readonly backend: Backend;
  readonly locks: Locks;
  readonly records: Records;
  readonly options: CoreOptions;
  private roomMade = 0;  // times

  constructor(backend: Backend, locks: Locks, records: Records, options: CoreOptions) {
    this.backend = backend;
    this.locks = locks;
    this.records = records;
    this.options = options;
  }

  notice(kind: StoreNotice['kind'], file: string, message: string): void {
    this.options.onNotice({ kind, file, message });
  }

  /**
   * Fills `into` from the store, and `place` with what is good. Wrong bytes are removed, whatever made
   * them so. The bytes returned are `into` or what the hasher has made of it.
   */
  async readVerified(
    entry: FileEntry, into: Bytes, { verify = this.options.verify, hasher = hashHere, place }: ReadOptions = {},
  ): Promise<{ found: 'good' | 'missing' | 'bad'; bytes: Bytes }> {
    let bytes = into;
    const size = await this.backend.size(entry.sha256);
    if (size < 0) return { found: 'missing', bytes };
    if (size === entry.bytes) {
      if (!(await this.backend.read(entry.sha256, 0, bytes))) return { found: 'missing', bytes };
      if (verify === 'once') {
        place?.set(bytes);
        return { found: 'good', bytes };
      }
      const checked = await hasher.check(bytes, entry.sha256, place);
      if (checked.good) return { found: 'good', bytes: checked.bytes };
      bytes = checked.bytes;
    }
    await this.backend.remove(entry.sha256);
    this.notice('repaired', entry.file,
      `the stored copy was damaged (${size} bytes); it was removed and is fetched again`);
    return { found: 'bad', bytes };
  }

  /** Marks a model as in use by this tab until the returned function is called. */
  async use(sha256: string, signal: AbortSignal | undefined): Promise<() => void> {
    if (signal?.aborted) throw aborted('model');
    let leave = (): void => {};
    const left = new Promise<void>((done) => {
      leave = done;
    });
    await new Promise<void>((entered, failed) => {
      const held = async (): Promise<void> => {
        entered();
        await left;
      };
      this.locks.hold(useLock(sha256), held, undefined, 'shared').catch(failed);
    });
    return leave;
  }

  async info(record: ModelRecord): Promise<ModelInfo> {
    const { sha256: hash, url, name, addedAt, usedAt } = record;
    const bytes = distinct(record.files).reduce((sum, file) => sum + file.bytes, 0);
    const storedBytes = await this.records.storedBytes(record);
    const complete = storedBytes === bytes;
    return { sha256: hash, url, name, bytes, storedBytes, complete, addedAt, usedAt };
  }

  /** @throws StorageError in_use */
  async remove(sha256: string): Promise<void> {
    if (await this.dropUnused(sha256)) return;
    throw new StorageError('in_use', sha256.slice(0, 12),
      'the model is being loaded, maybe in another tab; stop that, then remove it');
  }

  /** After a complete load: older versions from the same address have had their time. */
  async finished(url: string, sha256: string): Promise<void> {
    const versions = (await this.records.models()).filter((r) => r.url === url);
    if (versions.length < 2) return;
    const mine = versions.find((r) => r.sha256 === sha256);
    if (!mine || !(await this.records.isComplete(mine))) return;
    for (const old of versions) {
      if (old.addedAt >= mine.addedAt || old.sha256 === sha256) continue;
      if (!(await this.dropUnused(old.sha256))) continue;
      this.notice('superseded', old.name, 'an older version of the model was removed');
    }
  }

  /** Removes what no model names; tells how many blobs that were. */
  collect(): Promise<number> {
    return this.records.change(() => this.records.collect((hash) => this.isBusy(hash)));
  }

  /** A write failed: true when room was made. @throws StorageError quota where that is asked for */
  async onStoreFailure(error: unknown, entry: FileEntry, forModel: string): Promise<boolean> {
    if (isQuotaError(error)) {
      if (await this.makeRoom(forModel)) return true;
      const message = `${entry.bytes} bytes don't fit${await roomText()}`;
      if (this.options.onQuota === 'fail') {
        throw new StorageError('quota', entry.file,
          `${message}; remove a model, free disk space, or go on without storing`);
      }
      this.notice('not_stored', entry.file, `${message}; the model runs from memory`);
    } else {
      this.notice('not_stored', entry.file,
        `storing failed (${textOf(error)}); the model runs from memory`);
    }
    return false;
  }

  // Writes that fail side by side wait for one to make room, then all try again.
  private makeRoom(forModel: string): Promise<boolean> {
    const before = this.roomMade;
    return this.locks.hold('room', async () => {
      if (this.roomMade > before) return true;
      if (!(await this.removeSomething(forModel))) return false;
      this.roomMade += 1;
      return true;
    });
  }

  // Garbage first, then the least recently used model that nobody uses and the user lets go.
  private async removeSomething(forModel: string): Promise<boolean> {
    if ((await this.collect()) > 0) return true;
    const { evict } = this.options;
    if (evict === 'never') return false;
    const others = (await this.records.models()).filter((r) => r.sha256 !== forModel);
    others.sort((a, b) => a.usedAt - b.usedAt);
    for (const record of others) {
      const info = await this.info(record);
      if (info.storedBytes === 0 || (evict !== 'auto' && !(await evict(info)))) continue;
      if (!(await this.dropUnused(record.sha256))) continue;
      this.notice('evicted', record.name,
        `removed from the store (${info.storedBytes} bytes) to make room for another model`);
      return true;
    }
    return false;
  }

  private dropUnused(sha256: string): Promise<boolean> {
    return this.locks.tryHold(useLock(sha256), () => this.records.change(async () => {
      await this.records.removeModel(sha256);
      await this.records.collect((hash) => this.isBusy(hash));
    }));
  }

  // A file that is being fetched in some tab.
  private async isBusy(sha256: string): Promise<boolean> {
    return !(await this.locks.tryHold(`file:${sha256}`, async () => {}));
  }
}

function useLock(sha256: string): string {
  return `use:${sha256}`;
}

async function roomText(): Promise<string> {
  try {
    const { quota = 0, usage = 0 } = await navigator.storage.estimate();
    return ` (the browser grants ${quota} bytes, ${usage} are used)`;
  } catch {
    return '';
  }
}
