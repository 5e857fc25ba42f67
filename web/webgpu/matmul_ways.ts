// SPDX-License-Identifier: Apache-2.0
// Which kernel multiplies by a weight, for how many rows of x, and in workgroups of what size.
import type { GpuFacts } from './device.ts';
import type { GraphOp, GraphWeight } from './graph_table.ts';
import type { ShaderConstants } from './shader_source.ts';
import type { Tuning } from './tuning.ts';

/** fused: one row, made ready by each workgroup; rows: a few at a time; tile: many, from shared memory. */
export type Way = 'fused' | 'rows' | 'tile';

export interface Bucket {
  readonly way: Way;
  /** Rows of x in one pass. */
  readonly m: number;
  /** Passes, as far as they matter for the sizes of workgroups. */
  readonly passes: number;
}

export interface Matmul {
  readonly way: Way;
  readonly constants: ShaderConstants;
  /** Weight rows of a unit, and units that a workgroup makes at a time. */
  readonly unitRows: number;
  readonly unitsEach: number;
  /** Rows of x of a workgroup. */
  readonly rowsEach: number;
  /** Workgroups at most, along the units. */
  readonly most: number;
}

const kSide = 16;  // of a tile, in threads
const kMostPasses = 4;

/** What steps of that many rows share. */
export function bucketOf(rows: number, tuning: Tuning, facts: GpuFacts): Bucket {
  if (rows <= 1) return { way: 'fused', m: 1, passes: 1 };
  if (rows < tuning.tileRows || facts.maxThreads < kSide * kSide) {
    return { way: 'rows', m: rows <= 2 ? 2 : rows <= 4 ? 4 : 8, passes: 1 };
  }
  const m = Math.min(rows <= 32 ? 32 : rows <= 64 ? 64 : 128, kSide * tuning.tileX);
  return { way: 'tile', m, passes: Math.min(Math.ceil(rows / m), kMostPasses) };
}

export function bucketKey(bucket: Bucket): string {
  return `${bucket.way} ${bucket.m} ${bucket.passes}`;
}

// Whether a workgroup's copy of a row of x fits its shared memory.
function fitsFused(w: GraphWeight, facts: GpuFacts): boolean {
  const others = 4 * 1024 + 4 * Math.ceil(w.cols / 32) * 2 + 512;
  const copy = w.dtype === 'i8' ? w.rowBytes : w.dtype === 'f16' ? 2 * w.rowBytes : w.rowBytes;
  return copy + others <= facts.maxShared;
}

/** `threads`, `lanes`: of the op's other kernels. `fresh`: keys and values go out as floats, see qkv_rope.wgsl. */
export function planMatmul(
  op: GraphOp, w: GraphWeight, bucket: Bucket, tuning: Tuning, facts: GpuFacts, threads: number, lanes: number, fresh: boolean,
): Matmul {
  if (bucket.way === 'tile') return tiled(op, w, bucket, tuning, facts, fresh);
  const fused = bucket.way === 'fused' && fitsFused(w, facts);
  const unit = fused ? vectorUnit(op, w, tuning, facts, lanes) : { rows: 4, threads };
  const turns = Math.ceil(w.rowBytes / 16 / lanes);
  const unroll = fused ? Math.max(1, Math.floor(tuning.inFlight / unit.rows)) : 2;
  const rows = fresh ? 2 : unit.rows;
  return {
    way: fused ? 'fused' : 'rows', unitRows: rows, unitsEach: unit.threads / lanes, rowsEach: bucket.m,
    // As many workgroups as run at a time: each makes x ready once and then walks on.
    most: fused ? tuning.groups * 256 / unit.threads : Infinity,
    constants: { M: bucket.m, FUSED: fused, TILE: false, R: rows, THREADS: unit.threads, UNROLL: Math.min(unroll, turns) },
  };
}

// Many weight rows a unit share what is read of x; but there are to be workgroups enough for all of the device.
function vectorUnit(op: GraphOp, w: GraphWeight, tuning: Tuning, facts: GpuFacts, lanes: number): { rows: number; threads: number } {
  const least = op.kind === 'qkv_rope' ? 4 : op.kind === 'gate_up_silu' ? 2 : 1;
  // A thread makes sixteen columns of x ready.
  let threads = Math.min(tuning.threads, facts.maxThreads);
  while (threads / 2 >= Math.max(w.cols / 16, tuning.leastThreads)) threads /= 2;
  let rows = 4;
  while (rows > least && Math.ceil(w.rows / rows) / (threads / lanes) < tuning.leastGroups) rows /= 2;
  return { rows, threads };
}

// A thread makes more of a large product: it reads less for each sum. Neighbouring threads write neighbouring outputs.
function tiled(op: GraphOp, w: GraphWeight, bucket: Bucket, tuning: Tuning, facts: GpuFacts, fresh: boolean): Matmul {
  const unitRows = op.kind === 'qkv_rope' ? (fresh ? 2 : 4) : op.kind === 'gate_up_silu' ? 2 : 1;
  const x = bucket.m / kSide;
  const quads = w.rowBytes / (w.dtype === 'f16' ? 8 : 16);  // of a row
  let step = quads % tuning.tileStep === 0 ? tuning.tileStep : 4;
  let each = Math.max(tuning.tileWeights, unitRows);
  const bytes = () => step * 16 * kSide * (each + x);
  while (each > 4 && Math.ceil(w.rows / (kSide * each)) * bucket.passes < tuning.leastGroups) each /= 2;
  if (bytes() > facts.maxShared) step = 4;
  while (each > 4 && bytes() > facts.maxShared) each /= 2;
  return {
    way: 'tile', unitRows, unitsEach: kSide * each / unitRows, rowsEach: bucket.m, most: Infinity,
    constants: { FUSED: false, TILE: true, R: unitRows, TILE_W: each, TILE_X: x, STEP: step, THREADS: kSide * kSide },
  };
}
