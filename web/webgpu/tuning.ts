// SPDX-License-Identifier: Apache-2.0
// Sizes of workgroups, which depend on the device alone.
import { kMostSplits, kPage } from './buffers.ts';
import type { GpuFacts } from './device.ts';

/** Of the kernel that multiplies one row of x by a weight. */
export interface VectorSizes {
  /** Of a workgroup: a power of two. */
  readonly threads: number;
  /** Weight rows of a unit: 1, 2 or 4. */
  readonly rows: number;
  /** 16-byte words of weights that a thread has under way. */
  readonly inFlight: number;
  /** Workgroups, at most. */
  readonly groups: number;
}

/** By productKey(). */
export type Products = Readonly<Record<string, VectorSizes>>;

export interface Tuning {
  /** Of a workgroup that multiplies, at most: a power of two. */
  readonly threads: number;
  /** And at least. */
  readonly leastThreads: number;
  /** Workgroups of 256 threads of a one-row product, at most. */
  readonly groups: number;
  /** Units of weight rows shrink until there are as many workgroups. */
  readonly leastGroups: number;
  /** 16-byte words of weights that a thread has under way. */
  readonly inFlight: number;
  /** Rows from which products go in tiles; weight rows and rows of x that a thread makes of one, at most: 2, 4 or 8. */
  readonly tileRows: number;
  readonly tileWeights: number;
  readonly tileX: number;
  /** 16-byte words of a row in shared memory at a time: 4 or 8. */
  readonly tileStep: number;
  /** A multiple of 64. */
  readonly attentionThreads: number;
  /** Query heads of a workgroup, at most. */
  readonly attentionHeads: number;
  /** Positions of one split of attention, at least. */
  readonly splitPositions: number;
  /** Tokens of one submission while more follow: the device works while the next are encoded. */
  readonly tokensTogether: number;
  /** Submissions of the first token, and of the last. */
  readonly parts: number;
  /** Measured on the device; products that are not here go by the rules above. */
  readonly products?: Products;
}

const kDefaultTuning: Tuning = {
  threads: 512, leastThreads: 128, groups: 1056, leastGroups: 120, inFlight: 4, tileRows: 12, tileWeights: 4, tileX: 4, tileStep: 8,
  attentionThreads: 256, attentionHeads: 1, splitPositions: 256, tokensTogether: 1, parts: 4,
};
/** Of devices that are processors playing GPU: they compile a tile for seconds, and have no shared memory to gain by. */
const kSoftwareTuning: Tuning = {
  threads: 64, leastThreads: 64, groups: 16, leastGroups: 1, inFlight: 4, tileRows: Infinity, tileWeights: 2, tileX: 2, tileStep: 4,
  attentionThreads: 64, attentionHeads: 8, splitPositions: 64, tokensTogether: 32, parts: 1,
};

export function defaultTuning(facts: GpuFacts): Tuning {
  return facts.software ? kSoftwareTuning : kDefaultTuning;
}

/**
 * Few rows would leave a device idle: the positions of each are dealt to several workgroups, `positions` to one.
 * Pages of a split are walked one after another, and what reads the result merges the splits: more positions get
 * more of both. `n`: steps that follow; `slots`: rows times splits, at most.
 */
export function attentionSplits(
  tuning: Tuning, kvIndices: Int32Array, n: number, slots: number,
): { splits: number; positions: number } {
  let longest = 0;
  for (const i of kvIndices) longest = Math.max(longest, i + n);
  const wanted = Math.ceil(Math.sqrt(longest / kPage / 2));
  const most = Math.max(1, Math.min(kMostSplits, wanted, Math.floor(slots / kvIndices.length)));
  const positions = Math.ceil(longest / most / tuning.splitPositions) * tuning.splitPositions;
  return { splits: Math.ceil(longest / positions), positions };
}
