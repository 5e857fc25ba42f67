// SPDX-License-Identifier: Apache-2.0
// IndexedDB, for browsers and contexts without a usable private file system. A blob lies in chunks
// of one size under [hash, number]; an entry in `whole` is what makes it one.

import type { Backend, Part } from './backend.ts';
import type { Bytes } from './bytes.ts';
import { StorageError } from './errors.ts';

const databaseName = 'lamina-store-1';
const chunkBytes = 4 * 2 ** 20;

interface Whole {
  bytes: number;
}

export class IdbBackend implements Backend {
  readonly kind = 'indexeddb';
  private readonly database: IDBDatabase;

  private constructor(database: IDBDatabase) {
    this.database = database;
  }

  /** Null where this browser has no IndexedDB; other failures are thrown. */
  static async open(): Promise<IdbBackend | null> {
    if (!globalThis.indexedDB) return null;
    const request = indexedDB.open(databaseName, 1);
    request.onupgradeneeded = () => {
      for (const name of ['whole', 'chunks', 'records']) request.result.createObjectStore(name);
    };
    const database = await settled(request);
    database.onversionchange = () => database.close();
    return new IdbBackend(database);
  }

  async size(sha256: string): Promise<number> {
    return (await this.get<Whole>('whole', sha256))?.bytes ?? -1;
  }

  async read(sha256: string, offset: number, into: Bytes): Promise<boolean> {
    const whole = await this.get<Whole>('whole', sha256);
    if (!whole || whole.bytes < offset + into.length) return false;
    return this.copy(sha256, offset, into);
  }

  async slice(sha256: string, first: number, count: number): Promise<ReadableStream<Bytes> | null> {
    const whole = await this.get<Whole>('whole', sha256);
    if (!whole || whole.bytes < first + count) return null;
    let at = first;
    return new ReadableStream<Bytes>({
      pull: async (controller) => {
        const piece = new Uint8Array(Math.min(chunkBytes, first + count - at));
        if (piece.length === 0) return controller.close();
        if (!(await this.copy(sha256, at, piece))) {
          return controller.error(new StorageError('not_stored', sha256, 'removed meanwhile'));
        }
        controller.enqueue(piece);
        at += piece.length;
      },
    }, { highWaterMark: 0 });
  }

  async openPart(sha256: string): Promise<Part> {
    const last = await this.chunkCount(sha256);
    return new IdbPart(this, sha256, last * chunkBytes);
  }

  async remove(sha256: string): Promise<void> {
    await this.change(['whole', 'chunks'], (stores) => {
      stores('whole').delete(sha256);
      stores('chunks').delete(chunksOf(sha256));
    });
  }

  async list(): Promise<{ whole: string[]; parts: string[] }> {
    const whole = (await this.keys('whole')) as string[];
    const chunked = new Set((await this.keys('chunks')).map((key) => (key as [string])[0]));
    for (const sha256 of whole) chunked.delete(sha256);
    return { whole, parts: [...chunked] };
  }

  async getRecord(name: string): Promise<unknown> {
    return this.get('records', name);
  }

  async putRecord(name: string, value: object): Promise<void> {
    await this.change(['records'], (stores) => stores('records').put(value, name));
  }

  async removeRecord(name: string): Promise<void> {
    await this.change(['records'], (stores) => stores('records').delete(name));
  }

  async recordNames(prefix: string): Promise<string[]> {
    return ((await this.keys('records')) as string[]).filter((name) => name.startsWith(prefix));
  }

  async copy(sha256: string, offset: number, into: Bytes): Promise<boolean> {
    for (let done = 0; done < into.length;) {
      const at = offset + done;
      const number = Math.floor(at / chunkBytes);
      const chunk = await this.get<ArrayBuffer>('chunks', [sha256, number]);
      const from = at - number * chunkBytes;
      if (!chunk || chunk.byteLength <= from) return false;
      const count = Math.min(chunk.byteLength - from, into.length - done);
      into.set(new Uint8Array(chunk, from, count), done);
      done += count;
    }
    return true;
  }

  /** Changes of one transaction: all or none. */
  change(names: string[], work: (stores: (name: string) => IDBObjectStore) => void): Promise<void> {
    const transaction = this.database.transaction(names, 'readwrite', { durability: 'relaxed' });
    work((name) => transaction.objectStore(name));
    return new Promise((done, fail) => {
      transaction.oncomplete = () => done();
      transaction.onabort = () => fail(transaction.error ?? new Error('transaction aborted'));
    });
  }

  private get<T>(store: string, key: IDBValidKey): Promise<T | undefined> {
    return settled(this.database.transaction(store).objectStore(store).get(key));
  }

  private keys(store: string): Promise<IDBValidKey[]> {
    return settled(this.database.transaction(store).objectStore(store).getAllKeys());
  }

  private chunkCount(sha256: string): Promise<number> {
    const store = this.database.transaction('chunks').objectStore('chunks');
    return settled(store.count(chunksOf(sha256)));
  }
}

function chunksOf(sha256: string): IDBKeyRange {
  return IDBKeyRange.bound([sha256, 0], [sha256, Number.MAX_SAFE_INTEGER]);
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((done, fail) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
  });
}

// Only whole chunks are stored before commit(), so the count of chunks tells the length.
class IdbPart implements Part {
  private readonly backend: IdbBackend;
  private readonly sha256: string;
  private stored: number;
  private tail: Bytes = new Uint8Array(0);

  constructor(backend: IdbBackend, sha256: string, stored: number) {
    this.backend = backend;
    this.sha256 = sha256;
    this.stored = stored;
  }

  get length(): number {
    return this.stored + this.tail.length;
  }

  async read(into: Bytes): Promise<void> {
    if (!(await this.backend.copy(this.sha256, 0, into.subarray(0, this.stored)))) {
      throw new StorageError('storage_failed', 'parts', 'a stored beginning could not be read');
    }
    into.set(this.tail, this.stored);
  }

  async append(bytes: Bytes): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const room = Math.min(chunkBytes - this.tail.length, bytes.length - at);
      const piece = bytes.subarray(at, at + room);
      const joined = new Uint8Array(this.tail.length + room);
      joined.set(this.tail);
      joined.set(piece, this.tail.length);
      if (joined.length === chunkBytes) await this.store(joined);
      this.tail = joined.length === chunkBytes ? new Uint8Array(0) : joined;
      at += room;
    }
  }

  async reset(): Promise<void> {
    this.tail = new Uint8Array(0);
    this.stored = 0;
    await this.backend.remove(this.sha256);
  }

  async commit(): Promise<void> {
    const bytes = this.length;
    await this.backend.change(['whole', 'chunks'], (stores) => {
      if (this.tail.length > 0) stores('chunks').put(this.tail.buffer, this.key());
      stores('whole').put({ bytes } satisfies Whole, this.sha256);
    });
  }

  async close(): Promise<void> {}

  async discard(): Promise<void> {
    await this.reset();
  }

  private async store(chunk: Bytes): Promise<void> {
    await this.backend.change(['chunks'], (stores) =>
      stores('chunks').put(chunk.buffer, this.key()));
    this.stored += chunkBytes;
  }

  private key(): [string, number] {
    return [this.sha256, this.stored / chunkBytes];
  }
}
