// SPDX-License-Identifier: Apache-2.0
// What of manifest.json the store needs: which files there are and what they hash to. The limits
// are those of core/model/manifest_parse.cc; the core itself reads the same bytes again and checks the
// rest (config, tensors, overlaps).

import { isHash } from './bytes.ts';
import { StorageError, quote } from './errors.ts';

/** A file of the model folder. `file` is from a closed table: plain names and shards/NNNNN.bin. */
export interface FileEntry {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface ShardEntry extends FileEntry {
  readonly index: number;
  /** Layers with tensors in this shard, ascending; empty for embeddings and the head alone. */
  readonly layers: readonly number[];
}

/** The checked tables of a manifest. */
export interface ManifestTable {
  readonly name: string;
  readonly tokenizer: FileEntry;
  /** Side files, the tokenizer excluded. */
  readonly files: readonly FileEntry[];
  readonly shards: readonly ShardEntry[];
  /** Shard indices in the order in which layers need them. */
  readonly order: readonly number[];
  /** Of all shards. */
  readonly shardBytes: number;
}

export const maxManifestBytes = 64 * 2 ** 20;
/** A shard is hashed in one call and lies in memory whole. */
export const maxShardBytes = 512 * 2 ** 20;
const maxShards = 65536;
const maxFiles = 64;
const maxTensors = 65536;
const maxFileBytes = 256 * 2 ** 20;

type Json = Record<string, unknown>;

class Reader {
  readonly what: string;
  constructor(what: string) {
    this.what = what;
  }

  fail(field: string, problem: string): never {
    throw new StorageError('manifest_invalid', this.what,
      `${field} ${problem}; convert the model again or get its folder anew`);
  }

  object(value: unknown, field: string): Json {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
    return this.fail(field, 'must be an object');
  }

  list(value: unknown, field: string, most: number): unknown[] {
    if (!Array.isArray(value)) return this.fail(field, 'must be an array');
    if (value.length > most) return this.fail(field, `has more than ${most} entries`);
    return value;
  }

  text(value: unknown, field: string, most: number): string {
    if (typeof value !== 'string') return this.fail(field, 'must be a text');
    if (value.length > most) return this.fail(field, `is longer than ${most} characters`);
    return value;
  }

  integer(value: unknown, field: string, least: number, most: number): number {
    if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) {
      return value as number;
    }
    return this.fail(field, `must be an integer from ${least} to ${most}`);
  }

  entry(value: unknown, field: string, least: number, most: number): FileEntry {
    const entry = this.object(value, field);
    const file = this.text(entry['file'], `${field}.file`, 200);
    const bytes = this.integer(entry['bytes'], `${field}.bytes`, least, most);
    const sha256 = entry['sha256'];
    if (!isHash(sha256)) return this.fail(`${field}.sha256`, 'must be 64 lower-case hex digits');
    return { file, bytes, sha256 };
  }

  sideFile(value: unknown, field: string): FileEntry {
    const entry = this.entry(value, field, 0, maxFileBytes);
    if (isPlainName(entry.file)) return entry;
    return this.fail(`${field}.file`, `is ${quote(entry.file)}, no plain file name`);
  }
}

export function shardFileName(index: number): string {
  return `shards/${String(index).padStart(5, '0')}.bin`;
}

function isPlainName(name: string): boolean {
  return /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/.test(name) && name !== 'manifest.json' &&
    name !== 'manifest.sig' && name !== 'shards';
}

/**
 * Reads and checks manifest.json; `what` names it in errors.
 * @throws StorageError manifest_invalid, manifest_unsupported
 */
export function parseManifest(bytes: Uint8Array, what: string): ManifestTable {
  const read = new Reader(what);
  const root = read.object(parseJson(bytes, read), 'manifest');
  checkVersion(root, read);
  const name = read.text(root['name'], 'name', 200);
  const tokenizer = read.sideFile(root['tokenizer'], 'tokenizer');
  const files = read.list(root['files'], 'files', maxFiles)
    .map((value, i) => read.sideFile(value, `files[${i}]`));
  const names = new Set([tokenizer.file]);
  for (const { file } of files) {
    if (names.has(file)) read.fail('files', `lists ${quote(file)} twice`);
    names.add(file);
  }
  const layers = layersOfShards(root, read);
  const shards = read.list(root['shards'], 'shards', maxShards)
    .map((value, i) => readShard(value, i, layers, read));
  for (const index of layers.keys()) {
    if (index >= shards.length) read.fail('tensors', `name shard ${index} of ${shards.length}`);
  }
  checkSizes([tokenizer, ...files, ...shards], read);
  const shardBytes = shards.reduce((sum, s) => sum + s.bytes, 0);
  return { name, tokenizer, files, shards, order: needOrder(shards, layers), shardBytes };
}

function parseJson(bytes: Uint8Array, read: Reader): unknown {
  if (bytes.length > maxManifestBytes) return read.fail('manifest', 'is larger than 64 MiB');
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return read.fail('manifest', 'is not JSON in UTF-8');
  }
}

function checkVersion(root: Json, read: Reader): void {
  if (root['format'] !== 'lamina') read.fail('format', "must be 'lamina'");
  const version = read.integer(root['version'], 'version', 1, 2 ** 20);
  if (version === 1) return;
  throw new StorageError('manifest_unsupported', read.what,
    `is of version ${version}, this program reads version 1; update it or convert the model again`);
}

function readShard(value: unknown, index: number, layers: LayerTable, read: Reader): ShardEntry {
  const field = `shards[${index}]`;
  const entry = read.entry(value, field, 1, 2 ** 50);
  if (entry.file !== shardFileName(index)) {
    read.fail(`${field}.file`, `is ${quote(entry.file)}, must be '${shardFileName(index)}'`);
  }
  if (entry.bytes > maxShardBytes) {
    throw new StorageError('manifest_unsupported', read.what,
      `${entry.file} has ${entry.bytes} bytes, a browser takes at most ${maxShardBytes} a shard; ` +
      'convert the model with a smaller --shard-size');
  }
  const ranks = [...(layers.get(index) ?? [])];
  return { ...entry, index, layers: ranks.filter(Number.isFinite).sort((a, b) => a - b) };
}

// Shard index to the layers in it; embeddings count as -1 and what follows the layers as infinity.
type LayerTable = Map<number, Set<number>>;

function layersOfShards(root: Json, read: Reader): LayerTable {
  const table: LayerTable = new Map();
  read.list(root['tensors'], 'tensors', maxTensors).forEach((value, i) => {
    const tensor = read.object(value, `tensors[${i}]`);
    const rank = rankOf(read.text(tensor['name'], `tensors[${i}].name`, 200));
    read.list(tensor['parts'], `tensors[${i}].parts`, 2 ** 22).forEach((part) => {
      const shard = read.object(part, `tensors[${i}].parts`)['shard'];
      const index = read.integer(shard, `tensors[${i}].parts.shard`, 0, maxShards - 1);
      table.set(index, (table.get(index) ?? new Set()).add(rank));
    });
  });
  return table;
}

function rankOf(tensor: string): number {
  const layer = /^layers\.(\d{1,6})\./.exec(tensor);
  if (layer) return Number(layer[1]);
  return tensor === 'token_embedding' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

function needOrder(shards: readonly ShardEntry[], layers: LayerTable): number[] {
  const first = shards.map((s) => Math.min(...(layers.get(s.index) ?? [Infinity])));
  const byNeed = (a: number, b: number): number =>
    first[a] === first[b] ? a - b : (first[a] as number) - (first[b] as number);
  return shards.map((s) => s.index).sort(byNeed);
}

// What is stored under a hash has one size.
function checkSizes(entries: readonly FileEntry[], read: Reader): void {
  const sizes = new Map<string, number>();
  for (const { file, bytes, sha256 } of entries) {
    if ((sizes.get(sha256) ?? bytes) !== bytes) {
      read.fail(file, 'has the hash of another file of another size');
    }
    sizes.set(sha256, bytes);
  }
}

/** All hashed files: tokenizer, side files, shards. */
export function allFiles(table: ManifestTable): FileEntry[] {
  return [table.tokenizer, ...table.files, ...table.shards];
}
