// SPDX-License-Identifier: Apache-2.0
// Which sizes of a product's kernel are fastest on this device, told from noise: what is usual stays unless
// something else wins again and again by more than the usual one varies (D-024).
import type { VectorSizes } from './tuning.ts';

/** A kind of product of a step with one row: its usual sizes and what may do better. */
export interface Product {
  readonly key: string;
  readonly usual: VectorSizes;
  readonly candidates: readonly VectorSizes[];
}

/** Microseconds of so many dispatches of the product; Infinity where the device doesn't take the kernel. */
export type Measure = (product: Product, sizes: VectorSizes, dispatches: number) => Promise<number>;

export interface TuningLimits {
  /** Microseconds on the device, of all products together. */
  readonly budget: number;
  /** Microseconds of one sample, about. */
  readonly sample: number;
  readonly rounds: number;
  /** Milliseconds by the clock on the wall, compiling included; nothing is begun after them. */
  readonly wall: number;
}

export const kTuningLimits: TuningLimits = { budget: 300_000, sample: 3000, rounds: 5, wall: 3000 };
const kLeastGain = 0.03;
/** What is so much slower in the first round is not measured again. */
const kHopeless = 1.05;
const kMostDispatches = 4096;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

// How far samples of one thing lie apart.
function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/**
 * `samples`: of each candidate, the usual one first, one a round. The candidate to take: the fastest of those that beat
 * the usual one in all rounds but one at most, and in the middle by more than both vary by themselves.
 */
export function decide(samples: readonly (readonly number[])[]): number {
  const usual = samples[0]!;
  let best = 0;
  for (const [i, own] of samples.entries()) {
    if (i === 0 || own.length < usual.length) continue;
    const won = own.filter((us, round) => us < usual[round]!).length;
    const gain = 1 - median(own) / median(usual);
    if (won < usual.length - 1 || gain < Math.max(kLeastGain, spread(usual) + spread(own))) continue;
    if (best === 0 || median(own) < median(samples[best]!)) best = i;
  }
  return best;
}

/**
 * The sizes of each product, as far as the budget reaches: products that are missing in the answer have not been
 * decided. Rounds are interleaved, so that a device that changes its clock does so for all.
 */
export async function tune(
  products: readonly Product[], measure: Measure, limits: TuningLimits = kTuningLimits, now = () => performance.now(),
): Promise<{ decided: Record<string, VectorSizes>; spent: number }> {
  const decided: Record<string, VectorSizes> = {};
  const until = now() + limits.wall;
  let spent = 0;
  const over = () => spent > limits.budget || now() > until;
  for (const product of products) {
    if (over()) break;
    const all = [product.usual, ...product.candidates];
    const measured = async (sizes: VectorSizes, n: number) => {
      const us = await measure(product, sizes, n);
      if (Number.isFinite(us)) spent += us;
      return us / n;
    };
    // Clocks rise meanwhile; short passes are beneath what the device's clock tells.
    let dispatches = 1;
    let each = await measured(product.usual, dispatches);
    while (each * dispatches < limits.sample / 8 && dispatches < kMostDispatches) {
      dispatches *= 8;
      each = await measured(product.usual, dispatches);
    }
    if (each * all.length * limits.rounds > limits.budget) {  // nor would it be another time
      decided[product.key] = product.usual;
      continue;
    }
    dispatches = Math.max(1, Math.min(kMostDispatches, Math.ceil(limits.sample / each)));
    const samples: number[][] = all.map(() => []);
    const inRace = all.map(() => true);
    for (let round = 0; round < limits.rounds; ++round) {
      for (const [i, sizes] of all.entries()) {
        if (!inRace[i]) continue;
        if (over()) return { decided, spent };
        samples[i]!.push(await measured(sizes, dispatches));
        if (round === 0) inRace[i] = samples[i]![0]! <= kHopeless * samples[0]![0]!;
      }
      if (!inRace.includes(true, 1)) break;
    }
    decided[product.key] = all[decide(samples)]!;
  }
  return { decided, spent };
}
