// SPDX-License-Identifier: Apache-2.0
// The origin private file system: whole/HASH, parts/HASH and records/NAME below one folder. A part
// becomes whole by a rename. Dedicated workers write and read through sync access handles, the
// fastest way there is; pages and service workers, which lack them, through writable streams.

import type { Backend, Part } from './backend.ts';
import type { Bytes } from './bytes.ts';
import { StorageError, isNamed, textOf } from './errors.ts';

// The part of the sync access handle that is used; TypeScript's dom library leaves it out.
interface SyncHandle {
  read(into: Bytes, options: { at: number }): number;
  write(bytes: Bytes, options: { at: number }): number;
  getSize(): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}
type FileHandle = FileSystemFileHandle & {
  createSyncAccessHandle?(options?: { mode: 'read-only' | 'readwrite' }): Promise<SyncHandle>;
  move?(folder: FileSystemDirectoryHandle, name: string): Promise<void>;
};
type Folder = FileSystemDirectoryHandle & { keys(): AsyncIterableIterator<string> };

const rootName = 'lamina-store-1';
// What a kill can cost a writer without sync access handles; each checkpoint copies the file.
const checkpoint = 16 * 2 ** 20;

export class OpfsBackend implements Backend {
  readonly kind = 'opfs';
  private readonly whole: Folder;
  private readonly parts: Folder;
  private readonly records: Folder;

  private constructor(whole: Folder, parts: Folder, records: Folder) {
    this.whole = whole;
    this.parts = parts;
    this.records = records;
  }

  /** Null where this browser has no usable private file system; other failures are thrown. */
  static async open(): Promise<OpfsBackend | null> {
    const prototype = globalThis.FileSystemFileHandle?.prototype as FileHandle | undefined;
    if (!prototype?.move || !navigator.storage?.getDirectory) return null;
    if (!('createWritable' in prototype)) return null;
    const top = await navigator.storage.getDirectory();
    const root = await top.getDirectoryHandle(rootName, { create: true });
    const folders = await Promise.all(['whole', 'parts', 'records'].map(
      (name) => root.getDirectoryHandle(name, { create: true }) as Promise<Folder>));
    const [whole, parts, records] = folders as [Folder, Folder, Folder];
    return new OpfsBackend(whole, parts, records);
  }

  async size(sha256: string): Promise<number> {
    const handle = await find(this.whole, sha256);
    return handle ? ((await fileOf(handle))?.size ?? -1) : -1;
  }

  async read(sha256: string, offset: number, into: Bytes): Promise<boolean> {
    const handle = await find(this.whole, sha256);
    if (!handle) return false;
    const sync = await openToRead(handle);
    if (!sync) return readFile(handle, offset, into);
    try {
      return readAll(sync, offset, into) === into.length;
    } finally {
      sync.close();
    }
  }

  async slice(sha256: string, first: number, count: number): Promise<Blob | null> {
    const handle = await find(this.whole, sha256);
    return (handle && (await fileOf(handle))?.slice(first, first + count)) ?? null;
  }

  async openPart(sha256: string): Promise<Part> {
    const handle: FileHandle = await this.parts.getFileHandle(sha256, { create: true });
    const commit = async (): Promise<void> => handle.move?.(this.whole, sha256);
    const discard = (): Promise<void> => drop(this.parts, sha256);
    if (!handle.createSyncAccessHandle) {
      return new StreamPart(handle, (await handle.getFile()).size, commit, discard);
    }
    return new SyncPart(await openToWrite(handle), commit, discard);
  }

  async remove(sha256: string): Promise<void> {
    await drop(this.whole, sha256);
    await drop(this.parts, sha256);
  }

  async list(): Promise<{ whole: string[]; parts: string[] }> {
    return { whole: await namesIn(this.whole), parts: await namesIn(this.parts) };
  }

  async getRecord(name: string): Promise<unknown> {
    const handle = await find(this.records, name);
    const text = handle ? await (await fileOf(handle))?.text() : undefined;
    return text ? parseOrNothing(text) : undefined;
  }

  // A writable stream replaces the file when it is closed, in one step.
  async putRecord(name: string, value: object): Promise<void> {
    const handle = await this.records.getFileHandle(name, { create: true });
    await overwrite(handle, 0, [JSON.stringify(value)]);
  }

  async removeRecord(name: string): Promise<void> {
    await drop(this.records, name);
  }

  async recordNames(prefix: string): Promise<string[]> {
    return (await namesIn(this.records)).filter((name) => name.startsWith(prefix));
  }
}

function parseOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function find(folder: Folder, name: string): Promise<FileHandle | null> {
  try {
    return await folder.getFileHandle(name);
  } catch (error) {
    if (isNamed(error, 'NotFoundError')) return null;
    throw error;
  }
}

async function fileOf(handle: FileHandle): Promise<File | null> {
  try {
    return await handle.getFile();
  } catch (error) {
    if (isNamed(error, 'NotFoundError')) return null;
    throw error;
  }
}

async function drop(folder: Folder, name: string): Promise<void> {
  try {
    await folder.removeEntry(name);
  } catch (error) {
    if (!isNamed(error, 'NotFoundError')) throw error;
  }
}

async function namesIn(folder: Folder): Promise<string[]> {
  const names: string[] = [];
  for await (const name of folder.keys()) names.push(name);
  return names;
}

// Browsers without shared reading refuse while another tab reads: then the slower way serves.
async function openToRead(handle: FileHandle): Promise<SyncHandle | null> {
  try {
    return (await handle.createSyncAccessHandle?.({ mode: 'read-only' })) ?? null;
  } catch {
    return null;
  }
}

// A killed tab's handle is released a moment after its lock.
async function openToWrite(handle: FileHandle): Promise<SyncHandle> {
  for (let tries = 0; ; ++tries) {
    try {
      return await (handle.createSyncAccessHandle as () => Promise<SyncHandle>).call(handle);
    } catch (error) {
      if (tries === 20 || !isNamed(error, 'NoModificationAllowedError')) throw error;
      await new Promise((done) => setTimeout(done, 100));
    }
  }
}

function readAll(sync: SyncHandle, offset: number, into: Bytes): number {
  let done = 0;
  while (done < into.length) {
    const count = sync.read(into.subarray(done), { at: offset + done });
    if (count === 0) break;
    done += count;
  }
  return done;
}

async function readFile(handle: FileHandle, offset: number, into: Bytes): Promise<boolean> {
  const file = await fileOf(handle);
  if (!file || file.size < offset + into.length) return false;
  const reader = file.slice(offset, offset + into.length).stream().getReader();
  let at = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return at === into.length;
    into.set(value, at);
    at += value.length;
  }
}

async function overwrite(
  handle: FileSystemFileHandle, keep: number, chunks: readonly (Bytes | string)[],
): Promise<void> {
  const stream = await handle.createWritable({ keepExistingData: keep > 0 });
  try {
    if (keep > 0) await stream.seek(keep);
    for (const chunk of chunks) await stream.write(chunk);
    await stream.close();
  } catch (error) {
    await stream.abort().catch(() => {});
    throw error;
  }
}

class SyncPart implements Part {
  length: number;
  private readonly handle: SyncHandle;
  private readonly rename: () => Promise<void>;
  private readonly drop: () => Promise<void>;
  private open = true;

  constructor(handle: SyncHandle, rename: () => Promise<void>, drop: () => Promise<void>) {
    this.handle = handle;
    this.length = handle.getSize();
    this.rename = rename;
    this.drop = drop;
  }

  async read(into: Bytes): Promise<void> {
    const got = readAll(this.handle, 0, into.subarray(0, this.length));
    if (got === this.length) return;
    throw new StorageError('storage_failed', 'parts', `only ${got} of ${this.length} bytes read`);
  }

  async append(bytes: Bytes): Promise<void> {
    const count = this.handle.write(bytes, { at: this.length });
    if (count !== bytes.length) {
      throw new StorageError('quota', 'parts', `only ${count} of ${bytes.length} bytes written`);
    }
    this.length += count;
  }

  async reset(): Promise<void> {
    this.handle.truncate(0);
    this.length = 0;
  }

  async commit(): Promise<void> {
    this.handle.flush();
    await this.close();
    await this.rename();
  }

  async close(): Promise<void> {
    if (this.open) this.handle.close();
    this.open = false;
  }

  async discard(): Promise<void> {
    await this.close();
    await this.drop();
  }
}

class StreamPart implements Part {
  private readonly handle: FileHandle;
  private readonly rename: () => Promise<void>;
  private readonly drop: () => Promise<void>;
  private stored: number;
  private waiting: Bytes[] = [];
  private waitingBytes = 0;

  constructor(
    handle: FileHandle, stored: number, rename: () => Promise<void>, drop: () => Promise<void>,
  ) {
    this.handle = handle;
    this.stored = stored;
    this.rename = rename;
    this.drop = drop;
  }

  get length(): number {
    return this.stored + this.waitingBytes;
  }

  async read(into: Bytes): Promise<void> {
    await this.store();
    if (await readFile(this.handle, 0, into.subarray(0, this.stored))) return;
    throw new StorageError('storage_failed', 'parts', 'a stored beginning could not be read');
  }

  // The caller's buffer stays as it is until commit() or close(), so no copy is kept.
  async append(bytes: Bytes): Promise<void> {
    this.waiting.push(bytes);
    this.waitingBytes += bytes.length;
    if (this.waitingBytes < checkpoint) return;
    try {
      await this.store();
    } catch (error) {
      this.waiting.pop();
      this.waitingBytes -= bytes.length;
      throw error;
    }
  }

  async reset(): Promise<void> {
    this.waiting = [];
    this.waitingBytes = 0;
    if (this.stored > 0) await overwrite(this.handle, 0, []);
    this.stored = 0;
  }

  async commit(): Promise<void> {
    await this.store();
    await this.rename();
  }

  async close(): Promise<void> {
    await this.store();
  }

  async discard(): Promise<void> {
    this.waiting = [];
    this.waitingBytes = 0;
    await this.drop();
  }

  private async store(): Promise<void> {
    if (this.waitingBytes === 0) return;
    await overwrite(this.handle, this.stored, this.waiting);
    this.stored += this.waitingBytes;
    this.waiting = [];
    this.waitingBytes = 0;
  }
}

/** Why the private file system could not be opened, for people. */
export function whyDenied(error: unknown): string {
  return `the browser refused the private file system (${textOf(error)})`;
}
