// SPDX-License-Identifier: Apache-2.0
// What the tests of web/webgpu share: Dawn for Node on a software Vulkan device, model folders, sequences.
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { GraphTable } from '../../../web/webgpu/graph_table.ts';
import { WebGpuExecutor, type Batch, type ExecutorOptions } from '../../../web/webgpu/executor.ts';

/** Milliseconds: a processor that plays GPU beside other work may keep silent for minutes. */
export const kNoHurry = 1e9;

export const kRoot = path.join(import.meta.dirname, '../../..');

let instance: GPU | undefined;  // its devices do not keep it alive

/** Dawn's navigator.gpu. The ICD is the environment's, else Chromium's SwiftShader; DAWN_FEATURES: Dawn's toggles. */
export async function dawn(): Promise<GPU> {
  const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json';
  if (!process.env['VK_DRIVER_FILES'] && fs.existsSync(swiftShader)) process.env['VK_DRIVER_FILES'] = swiftShader;
  process.env['VK_ICD_FILENAMES'] ??= process.env['VK_DRIVER_FILES'];
  const { create } = await import(path.join(kRoot, 'web/node_modules/webgpu/index.js')) as { create(options: string[]): GPU };
  instance ??= create([`enable-dawn-features=${process.env['DAWN_FEATURES'] ?? 'allow_unsafe_apis'}`]);
  return instance;
}

export function lamina(...args: string[]): string {
  const binary = process.env['LAMINA'] ?? path.join(kRoot, 'build/dev/bin/lamina');
  return execFileSync(binary, args, { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] });
}

export interface Model {
  readonly folder: string;
  readonly graph: GraphTable;
  readonly shards: readonly Uint8Array[];
}

const folders = new Map<string, Model>();

/** A converted checkpoint of the tree, made once a process. */
export function model(source: string, dtype: string, ...flags: string[]): Model {
  const key = [source, dtype, ...flags].join(' ');
  let found = folders.get(key);
  if (!found) {
    const folder = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'lamina-webgpu-')), 'model');
    lamina('convert', path.join(kRoot, source), folder, '--dtype', dtype, '-q', ...flags);
    const graph = JSON.parse(lamina('inspect', folder, '--graph', '--json')) as GraphTable;
    const shards = graph.shards.map((s) => new Uint8Array(fs.readFileSync(path.join(folder, s.file))));
    found = { folder, graph, shards };
    folders.set(key, found);
  }
  return found;
}

process.on('exit', () => {
  for (const m of folders.values()) fs.rmSync(path.dirname(m.folder), { recursive: true, force: true });
});

export async function executor(gpu: GPU | GPUDevice, m: Pick<Model, 'graph' | 'shards'>, options: Partial<ExecutorOptions> = {}): Promise<WebGpuExecutor> {
  const made = await WebGpuExecutor.create(gpu, m.graph, { pages: 16, maxRows: 64, maxLogitRows: 64, patience: kNoHurry, ...options });
  for (const [i, bytes] of m.shards.entries()) made.uploadShard(i, bytes);
  await made.ready();
  return made;
}

/** Rows of one sequence from position `begin` on. */
export function rowsOf(ids: readonly number[], begin: number, pages: readonly number[], wants = true): Batch {
  const places = Int32Array.from(ids, (_, i) => begin + i);
  return {
    tokens: Int32Array.from(ids), positions: places, kvIndices: places, sequence: new Int32Array(ids.length),
    wantsLogits: new Uint8Array(ids.length).fill(wants ? 1 : 0), blockTable: Int32Array.from(pages), tableStride: pages.length,
  };
}

/** Batches side by side, each a sequence of its own. */
export function together(...batches: Batch[]): Batch {
  const stride = Math.max(...batches.map((b) => b.tableStride));
  const table = new Int32Array(stride * batches.length);
  batches.forEach((b, i) => table.set(b.blockTable, i * stride));
  const all = (f: (b: Batch) => Int32Array) => Int32Array.from(batches.flatMap((b) => [...f(b)]));
  return {
    tokens: all((b) => b.tokens), positions: all((b) => b.positions), kvIndices: all((b) => b.kvIndices),
    sequence: Int32Array.from(batches.flatMap((b, i) => [...b.tokens].map(() => i))),
    wantsLogits: Uint8Array.from(batches.flatMap((b) => [...b.wantsLogits])), blockTable: table, tableStride: stride,
  };
}

/** Logits of every position, [ids][vocab], in steps of at most `rows` rows. */
export function logitsOf(engine: WebGpuExecutor, ids: readonly number[], rows: number, pages = range(16)): Promise<Float32Array> {
  return logitsInSteps(engine, ids, range(Math.ceil(ids.length / rows), 1).map((i) => i * rows), pages);
}

/** The same in steps that end before these positions; the last may lie beyond. Steps of more than 64 rows go in several. */
export async function logitsInSteps(engine: WebGpuExecutor, ids: readonly number[], ends: readonly number[], pages = range(16)): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  let begin = 0;
  for (const end of ends) {
    for (let to: number; begin < Math.min(end, ids.length); begin = to) {
      to = Math.min(end, begin + 64);
      parts.push(await engine.step(rowsOf(ids.slice(begin, to), begin, pages)));
    }
  }
  const out = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

export function range(n: number, begin = 0): number[] {
  return Array.from({ length: n }, (_, i) => begin + i);
}

export function argmax(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; ++i) if (row[i]! > row[best]!) best = i;
  return best;
}

/** |got - want| / |want|. */
export function rowError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let difference = 0;
  let length = 0;
  for (let i = 0; i < want.length; ++i) {
    difference += (got[i]! - want[i]!) ** 2;
    length += want[i]! ** 2;
  }
  return Math.sqrt(difference / length);
}

/** One f32 tensor of a safetensors file. */
export function tensor(file: string, name: string): Float32Array {
  const bytes = fs.readFileSync(file);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<string, { data_offsets: [number, number] }>;
  const [begin, end] = header[name]!.data_offsets;
  const at = 8 + headerBytes;
  return new Float32Array(new Uint8Array(bytes.subarray(at + begin, at + end)).buffer);
}

/** The native CPU's logits of every position. */
export function nativeLogits(m: Model, ids: readonly number[], ...flags: string[]): Float32Array {
  const file = path.join(path.dirname(m.folder), `logits-${process.pid}.safetensors`);
  lamina('logits', '-m', m.folder, '--ids', ids.join(','), '--backend', 'cpu', '-o', file, '-q', ...flags);
  const out = tensor(file, 'logits');
  fs.rmSync(file);
  return out;
}
