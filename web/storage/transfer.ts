// SPDX-License-Identifier: Apache-2.0
// Model folders in and out of the store as files: moving a model by disk instead of by network.

import { putBlob } from './backend.ts';
import { sha256, type Bytes } from './bytes.ts';
import type { StoreCore } from './core.ts';
import { StorageError, quote, throwIfAborted } from './errors.ts';
import { allFiles, maxManifestBytes, type FileEntry } from './manifest.ts';
import type { FetchedManifest } from './manifest_fetch.ts';
import type { StoredModel } from './model.ts';
import { distinct } from './records.ts';
import { maxSignatureBytes } from './trust.ts';

/** A folder that the user has picked, or its files (from an input element or a drop). */
export type ImportSource = FileSystemDirectoryHandle | Iterable<File>;

type FindFile = (file: string) => Promise<File | null>;

/** Checks the folder's manifest by `accept`, then stores every file that is what it promises. */
export async function importFiles(
  core: StoreCore, source: ImportSource, signal: AbortSignal | undefined,
  accept: (got: FetchedManifest, name: string) => Promise<StoredModel>,
): Promise<StoredModel> {
  const find = 'getFileHandle' in source ? inFolder(source) : inList(source);
  const bytes = await readSmall(find, 'manifest.json', maxManifestBytes);
  if (!bytes) {
    throw new StorageError('not_stored', 'manifest.json',
      'is not among these files; choose the whole model folder');
  }
  const signature = await readSmall(find, 'manifest.sig', maxSignatureBytes);
  const hash = await sha256(bytes, 'manifest.json');
  const got: FetchedManifest = {
    bytes, sha256: hash, signature: signature && new TextDecoder().decode(signature),
    fromStore: true,
  };
  const model = await accept(got, hash);
  const leave = await core.use(hash, signal);
  try {
    for (const entry of distinct(allFiles(model.manifest))) {
      await importOne(core, entry, find, hash, signal);
    }
  } finally {
    leave();
  }
  return model;
}

async function importOne(
  core: StoreCore, entry: FileEntry, find: FindFile, model: string, signal: AbortSignal | undefined,
): Promise<void> {
  throwIfAborted(signal, entry.file);
  if (await core.records.isWhole(entry)) return;
  const file = await find(entry.file);
  if (!file) {
    throw new StorageError('not_stored', entry.file,
      'is not among these files; choose the whole model folder');
  }
  if (file.size !== entry.bytes) {
    throw new StorageError('size_mismatch', entry.file,
      `has ${file.size} bytes, the manifest says ${entry.bytes}; copy the folder again`);
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const found = await sha256(bytes, entry.file);
  if (found !== entry.sha256) {
    throw new StorageError('hash_mismatch', entry.file,
      `SHA-256 is ${found}, the manifest says ${entry.sha256}; copy the folder again`);
  }
  await core.locks.hold(`file:${entry.sha256}`, () => keep(core, entry, bytes, model), signal);
}

async function keep(
  core: StoreCore, entry: FileEntry, bytes: Bytes, model: string,
): Promise<void> {
  for (;;) {
    try {
      return await putBlob(core.backend, entry.sha256, bytes);
    } catch (error) {
      if (await core.onStoreFailure(error, entry, model)) continue;
      throw new StorageError('quota', entry.file,
        'could not be stored: remove other models or free disk space, then import again',
        { cause: error });
    }
  }
}

async function readSmall(find: FindFile, name: string, most: number): Promise<Bytes | null> {
  const file = await find(name);
  if (!file) return null;
  if (file.size > most) {
    throw new StorageError('size_mismatch', name, `is larger than ${most} bytes`);
  }
  return new Uint8Array(await file.arrayBuffer());
}

function inFolder(folder: FileSystemDirectoryHandle): FindFile {
  return async (path) => {
    const parts = path.split('/');
    const name = parts.pop() as string;
    try {
      let at = folder;
      for (const part of parts) at = await at.getDirectoryHandle(part);
      return await (await at.getFileHandle(name)).getFile();
    } catch (error) {
      if ((error as Error).name === 'NotFoundError') return null;
      throw error;
    }
  };
}

// By the end of their paths: pickers put the chosen folder's name in front, drops give names alone.
function inList(files: Iterable<File>): FindFile {
  const list = [...files];
  return async (path) => {
    const name = path.split('/').pop();
    const fits = list.filter((file) => file.webkitRelativePath
      ? file.webkitRelativePath.endsWith(`/${path}`) : file.name === name);
    if (fits.length < 2) return fits[0] ?? null;
    throw new StorageError('unknown_file', quote(path), 'is there twice; choose one model folder');
  };
}

/** Where an export goes: a folder that the user has picked, or a stream for each file. */
export type ExportTarget =
  | FileSystemDirectoryHandle
  | ((file: string, bytes: number) => Promise<WritableStream<Bytes>>);

/** Writes the whole model folder, every file verified on its way out. */
export async function exportModel(
  model: StoredModel, target: ExportTarget, signal?: AbortSignal,
): Promise<void> {
  const open = typeof target === 'function' ? target : streamsInto(target);
  const write = async (file: string, bytes: Bytes): Promise<void> => {
    throwIfAborted(signal, file);
    const stream = await open(file, bytes.length);
    const writer = stream.getWriter();
    try {
      await writer.write(bytes);
      await writer.close();
    } catch (error) {
      await writer.abort(error).catch(() => {});
      throw error;
    }
  };
  await write('manifest.json', model.manifestBytes);
  if (model.signatureText !== null) {
    await write('manifest.sig', new TextEncoder().encode(model.signatureText));
  }
  for (const { file } of [model.manifest.tokenizer, ...model.manifest.files]) {
    await write(file, await model.file(file, signal));
  }
  for await (const { file, bytes } of model.shards(signal)) await write(file, bytes);
}

function streamsInto(folder: FileSystemDirectoryHandle) {
  return async (path: string): Promise<WritableStream<Bytes>> => {
    const parts = path.split('/');
    const name = parts.pop() as string;
    let at = folder;
    for (const part of parts) at = await at.getDirectoryHandle(part, { create: true });
    const handle = await at.getFileHandle(name, { create: true });
    return await handle.createWritable() as unknown as WritableStream<Bytes>;
  };
}
