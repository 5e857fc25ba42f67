// SPDX-License-Identifier: Apache-2.0
// Sizes of workgroups, which depend on the device alone.

export interface Tuning {
  /** Of a workgroup that multiplies: a power of two. */
  readonly threads: number;
  /** Workgroups of a one-row product, at most. */
  readonly groups: number;
  /** 16-byte words of a weight row in flight. */
  readonly unroll: number;
  readonly attentionThreads: number;
  /** Query heads of a workgroup, at most. */
  readonly attentionHeads: number;
}

export const kDefaultTuning: Tuning = {
  threads: 256, groups: 528, unroll: 2, attentionThreads: 128, attentionHeads: 2,
};
/** Of devices that are processors playing GPU. */
export const kSoftwareTuning: Tuning = {
  threads: 64, groups: 16, unroll: 1, attentionThreads: 64, attentionHeads: 8,
};
