// SPDX-License-Identifier: Apache-2.0
// What each op takes, by the device's timestamps.
import { LaminaError } from './error.ts';
import { GPUUsage, readBack } from './device.ts';
import type { Dispatch } from './dispatch.ts';

export interface OpTime {
  readonly label: string;
  /** Of these dispatches in a step. */
  readonly count: number;
  readonly us: number;
  /** Weights read by one. */
  readonly bytes: number;
}

/** Throws LaminaError `unsupported` where the device has no clock. */
export async function measureOps(
  device: GPUDevice, list: readonly Dispatch[], rounds: number,
  encode: (pass: GPUComputePassEncoder, some: readonly Dispatch[]) => void,
): Promise<OpTime[]> {
  if (!device.features.has('timestamp-query')) throw new LaminaError('unsupported', 'this device has no timestamp-query');
  const kinds = new Map<string, Dispatch[]>();
  for (const d of list) {
    const key = `${d.label} ${d.weightBytes}`;
    kinds.set(key, [...kinds.get(key) ?? [], d]);
  }
  const querySet = device.createQuerySet({ type: 'timestamp', count: 2 });
  const resolved = device.createBuffer({ size: 16, usage: GPUUsage.queryResolve | GPUUsage.copySrc });
  const times: OpTime[] = [];
  for (const same of kinds.values()) {
    let best = Infinity;
    for (let round = 0; round < 3; ++round) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
      });
      const repeats = Math.max(1, Math.round(rounds / same.length));
      for (let i = 0; i < repeats; ++i) encode(pass, same);
      pass.end();
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
      const [begin, end] = new BigUint64Array(await readBack(device, encoder, resolved, 16));
      best = Math.min(best, Number(end! - begin!) / 1000 / (repeats * same.length));
    }
    times.push({ label: same[0]!.label, count: same.length, us: best, bytes: same[0]!.weightBytes });
  }
  querySet.destroy();
  resolved.destroy();
  return times;
}
