// SPDX-License-Identifier: Apache-2.0
// Sizes of workgroups, which depend on the device alone.

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
  /** A multiple of 64. */
  readonly attentionThreads: number;
  /** Query heads of a workgroup, at most. */
  readonly attentionHeads: number;
  /** Positions of one split of attention, at least; and splits of a step of one row, at most. */
  readonly splitPositions: number;
  readonly splits: number;
  /** Tokens of one submission while more follow: the device works while the next are encoded. */
  readonly tokensTogether: number;
}

export const kDefaultTuning: Tuning = {
  threads: 512, leastThreads: 128, groups: 1056, leastGroups: 120, inFlight: 4, attentionThreads: 256,
  attentionHeads: 1, splitPositions: 256, splits: 4, tokensTogether: 1,
};
/** Of devices that are processors playing GPU. */
export const kSoftwareTuning: Tuning = {
  threads: 64, leastThreads: 64, groups: 16, leastGroups: 1, inFlight: 4, attentionThreads: 64,
  attentionHeads: 8, splitPositions: 64, splits: 4, tokensTogether: 32,
};
