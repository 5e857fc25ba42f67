// SPDX-License-Identifier: Apache-2.0
// Sizes of workgroups, which depend on the device alone.
import { kMostSplits, kPage } from './buffers.ts';
import type { GpuFacts } from './device.ts';

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
  /** Rows from which products go in tiles, and weight rows and rows of x that a thread makes of one: 2, 4 or 8. */
  readonly tileRows: number;
  readonly tile: number;
  /** A multiple of 64. */
  readonly attentionThreads: number;
  /** Query heads of a workgroup, at most. */
  readonly attentionHeads: number;
  /** Positions of one split of attention, at least. */
  readonly splitPositions: number;
  /** Tokens of one submission while more follow: the device works while the next are encoded. */
  readonly tokensTogether: number;
}

const kDefaultTuning: Tuning = {
  threads: 512, leastThreads: 128, groups: 1056, leastGroups: 120, inFlight: 4, tileRows: 12, tile: 8,
  attentionThreads: 256, attentionHeads: 1, splitPositions: 256, tokensTogether: 1,
};
/** Of devices that are processors playing GPU: they compile a tile for seconds, and have no shared memory to gain by. */
const kSoftwareTuning: Tuning = {
  threads: 64, leastThreads: 64, groups: 16, leastGroups: 1, inFlight: 4, tileRows: 4096, tile: 4,
  attentionThreads: 64, attentionHeads: 8, splitPositions: 64, tokensTogether: 32,
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
  const wanted = Math.round(Math.sqrt(longest / kPage));
  const most = Math.max(1, Math.min(kMostSplits, wanted, Math.floor(slots / kvIndices.length)));
  const positions = Math.ceil(longest / most / tuning.splitPositions) * tuning.splitPositions;
  return { splits: Math.ceil(longest / positions), positions };
}

/** Where a choice is remembered: localStorage or a Map will do. */
export interface TuningCache {
  get(key: string): string | undefined | null;
  set(key: string, value: string): unknown;
}

/** What is worth trying on a device, differences from its defaults; the first are these themselves. */
export function candidates(defaults: Tuning): Partial<Tuning>[] {
  const { inFlight, leastGroups, threads } = defaults;
  return [{}, { inFlight: 2 * inFlight }, { leastGroups: 2 * leastGroups }, { threads: threads / 2 }, { tokensTogether: 4 }];
}

/** A remembered choice; undefined where there is none or it can't be one. */
export function readTuning(text: string | undefined | null): Partial<Tuning> | undefined {
  if (!text) return undefined;
  try {
    const kept = JSON.parse(text) as Record<string, unknown> | null;
    if (!kept || typeof kept !== 'object') return undefined;
    const powers = ['threads', 'inFlight'];
    const known = Object.entries(kept).every(([name, v]) => name in kDefaultTuning && Number.isInteger(v) &&
      (v as number) >= 1 && (v as number) <= 4096 && (!powers.includes(name) || Number.isInteger(Math.log2(v as number))));
    return known ? kept as Partial<Tuning> : undefined;
  } catch {
    return undefined;
  }
}
