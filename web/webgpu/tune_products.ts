// SPDX-License-Identifier: Apache-2.0
// Tuning on the device at hand: what is remembered of it, else what its clock says.
import type { GpuFacts } from './device.ts';
import { encode, type Dispatch } from './dispatch.ts';
import { DeviceClock } from './profile.ts';
import type { Program } from './program.ts';
import { kTuningLimits, tune, type Measure, type Product, type TuningLimits } from './tuner.ts';
import type { Products, VectorSizes } from './tuning.ts';
import { remembered, type TuningStore } from './tuning_store.ts';

export interface TuneOptions extends Partial<TuningLimits> {
  /** Tune a processor that plays GPU, too. */
  readonly onSoftware?: boolean;
  /** Products of fewer bytes of weights a step are left as they are: launches bound them. */
  readonly leastBytes?: number;
  /** In place of the device's clock; for tests. */
  readonly measure?: Measure;
}

/** What tuning did. */
export interface TuningReport {
  /** Sizes that were remembered. */
  readonly remembered: Products;
  /** Sizes that were measured now, and what they would be without. */
  readonly decided: Products;
  readonly usually: Products;
  /** On the device, and by the clock on the wall. */
  readonly milliseconds: number;
  readonly wall: number;
}

export const kNotTuned: TuningReport = { remembered: {}, decided: {}, usually: {}, milliseconds: 0, wall: 0 };

const kLeastBytes = 1 << 22;

/** `base`: the program to be tuned; `programOf`: the same with such products. The step's buffer tells of one row. */
export async function tuneProducts(
  device: GPUDevice, facts: GpuFacts, base: Program, programOf: (products: Products) => Program,
  store: TuningStore | undefined, options: TuneOptions,
): Promise<TuningReport> {
  const began = performance.now();
  const all = base.products(options.leastBytes ?? kLeastBytes);
  const known = store ? await remembered(store, facts, all) : {};
  const clock = new DeviceClock(device);
  const lists = new Map<VectorSizes, Promise<Dispatch[]>>();
  // All that compete for a product are compiled side by side.
  const dispatches = (product: Product, sizes: VectorSizes) => {
    for (const s of lists.has(sizes) ? [] : [product.usual, ...product.candidates]) {
      const list = programOf({ [product.key]: s }).product(product.key);
      list.catch(() => {});
      lists.set(s, list);
    }
    return lists.get(sizes)!;
  };
  const measured: Measure = async (product, sizes, n) => {
    const list = await dispatches(product, sizes).catch(() => undefined);
    if (!list) return Infinity;
    return clock.time((pass) => {
      for (let i = 0; i < n; i += list.length) encode(pass, list.slice(0, n - i), 1, 1, 1);
    });
  };
  try {
    const products = all.filter((p) => !known[p.key]);
    const { decided, spent } = await tune(products, options.measure ?? measured, { ...kTuningLimits, ...options });
    return {
      remembered: known, decided, usually: Object.fromEntries(products.filter((p) => decided[p.key]).map((p) => [p.key, p.usual])),
      milliseconds: spent / 1000, wall: performance.now() - began,
    };
  } finally {
    clock.destroy();
  }
}

/** Of a step with sizes that were tuned to one with the usual ones, at most. The same sums: by right the same bits. */
const kTunedError = 1e-3;

export function sameLogits(tuned: Float32Array, usual: Float32Array): boolean {
  let error = 0;
  let length = 0;
  for (const [i, want] of usual.entries()) {
    error += (tuned[i]! - want) ** 2;
    length += want ** 2;
  }
  return error <= kTunedError ** 2 * length;
}
