// SPDX-License-Identifier: Apache-2.0
// Which kernel multiplies by a weight, for how many rows of x, and in workgroups of what size.
import type { GpuFacts } from './device.ts';
import type { GraphOp, GraphWeight } from './graph_table.ts';
import type { ShaderConstants } from './shader_source.ts';
import type { Tuning, VectorSizes } from './tuning.ts';

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
  if (bucket.way === 'fused' && fitsFused(w, facts)) return fused(op, w, tuning, facts, lanes, fresh);
  const turns = Math.ceil(w.rowBytes / 16 / lanes);
  const rows = fresh ? 2 : 4;
  return {
    way: 'rows', unitRows: rows, unitsEach: threads / lanes, rowsEach: bucket.m, most: Infinity,
    constants: { M: bucket.m, FUSED: false, TILE: false, R: rows, THREADS: threads, UNROLL: Math.min(2, turns) },
  };
}

/** Products of one key share their kernels. */
export function productKey(op: GraphOp, w: GraphWeight): string {
  return `${op.kind} ${w.dtype} ${w.group} ${w.rows} ${w.cols}${op.in === 'mixed' ? ' merged' : ''}`;
}

function fused(op: GraphOp, w: GraphWeight, tuning: Tuning, facts: GpuFacts, lanes: number, fresh: boolean): Matmul {
  const sizes = tuning.products?.[productKey(op, w)] ?? usualSizes(op, w, tuning, facts, lanes);
  const rows = fresh ? 2 : sizes.rows;
  return {
    way: 'fused', unitRows: rows, unitsEach: sizes.threads / lanes, rowsEach: 1,
    // As many workgroups as run at a time: each makes x ready once and then walks on.
    most: sizes.groups,
    constants: { M: 1, FUSED: true, TILE: false, R: rows, THREADS: sizes.threads, UNROLL: unrollOf(w, sizes, lanes) },
  };
}

// Many weight rows a unit share what is read of x; but there are to be workgroups enough for all of the device.
function usualSizes(op: GraphOp, w: GraphWeight, tuning: Tuning, facts: GpuFacts, lanes: number): VectorSizes {
  const least = leastRows(op);
  // A thread makes sixteen columns of x ready.
  let threads = Math.min(tuning.threads, facts.maxThreads);
  while (threads / 2 >= Math.max(w.cols / 16, tuning.leastThreads)) threads /= 2;
  let rows = 4;
  while (rows > least && Math.ceil(w.rows / rows) / (threads / lanes) < tuning.leastGroups) rows /= 2;
  return { threads, rows, inFlight: tuning.inFlight, groups: tuning.groups * 256 / threads };
}

// Weight rows of a unit, at least: a rotation takes pairs of a word of two halves, a gate its up.
function leastRows(op: GraphOp): number {
  return op.kind === 'qkv_rope' ? 4 : op.kind === 'gate_up_silu' ? 2 : 1;
}

// Under way at a time: of each row of a unit.
function unrollOf(w: GraphWeight, sizes: VectorSizes, lanes: number): number {
  return Math.max(1, Math.min(Math.floor(sizes.inFlight / sizes.rows), Math.ceil(w.rowBytes / 16 / lanes)));
}

/**
 * What else than the usual sizes may be fastest; none for what isn't a product of one row. The threads stay, so every
 * candidate sums in the same order and has the same bits.
 */
export function candidateSizes(op: GraphOp, w: GraphWeight, tuning: Tuning, facts: GpuFacts, lanes: number): { usual: VectorSizes; candidates: VectorSizes[] } | undefined {
  if (!fitsFused(w, facts)) return undefined;
  const usual = usualSizes(op, w, tuning, facts, lanes);
  const kernel = (s: VectorSizes) => {
    const units = Math.ceil(w.rows / s.rows / (s.threads / lanes));
    return `${s.rows} ${unrollOf(w, s, lanes)} ${Math.min(units, s.groups)}`;
  };
  const seen = new Set([kernel(usual)]);
  const candidates: VectorSizes[] = [];
  for (const rows of [4, 2, 1].filter((n) => n >= leastRows(op))) {
    for (const inFlight of [usual.inFlight, 2 * usual.inFlight]) {
      const sizes = { ...usual, rows, inFlight, groups: Math.ceil(usual.groups / 2) };
      if (!seen.has(kernel(sizes))) candidates.push(sizes);
      seen.add(kernel(sizes));
    }
  }
  return { usual, candidates };
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
