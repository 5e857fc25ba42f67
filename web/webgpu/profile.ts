// SPDX-License-Identifier: Apache-2.0
// What work takes on the device, and each op of a step.
import type { OpTime } from '../abi/types.ts';
import { LaminaError } from './error.ts';
import { GPUUsage, readBack } from './device.ts';
import type { Dispatch } from './dispatch.ts';

/** Times passes by the device's timestamps; without them by how long it takes until they are done. */
export class DeviceClock {
  readonly #device: GPUDevice;
  readonly #stamps: { readonly querySet: GPUQuerySet; readonly resolved: GPUBuffer } | undefined;

  constructor(device: GPUDevice) {
    this.#device = device;
    if (!device.features.has('timestamp-query')) return;
    this.#stamps = {
      querySet: device.createQuerySet({ type: 'timestamp', count: 2 }),
      resolved: device.createBuffer({ size: 16, usage: GPUUsage.queryResolve | GPUUsage.copySrc }),
    };
  }

  get exact(): boolean {
    return this.#stamps !== undefined;
  }

  /** Microseconds of a pass. */
  async time(encode: (pass: GPUComputePassEncoder) => void): Promise<number> {
    const encoder = this.#device.createCommandEncoder();
    if (!this.#stamps) {
      const pass = encoder.beginComputePass();
      encode(pass);
      pass.end();
      const { queue } = this.#device;
      await queue.onSubmittedWorkDone();
      const began = performance.now();
      queue.submit([encoder.finish()]);
      await queue.onSubmittedWorkDone();
      return 1000 * (performance.now() - began);
    }
    const { querySet, resolved } = this.#stamps;
    const pass = encoder.beginComputePass({
      timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    });
    encode(pass);
    pass.end();
    encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
    const [begin, end] = new BigUint64Array(await readBack(this.#device, encoder, resolved, 16));
    return Number(end! - begin!) / 1000;
  }

  destroy(): void {
    this.#stamps?.querySet.destroy();
    this.#stamps?.resolved.destroy();
  }
}

/** Throws LaminaError `unsupported` where the device has no clock. */
export async function measureOps(
  device: GPUDevice, list: readonly Dispatch[], rounds: number,
  encode: (pass: GPUComputePassEncoder, some: readonly Dispatch[]) => void,
): Promise<OpTime[]> {
  const clock = new DeviceClock(device);
  if (!clock.exact) throw new LaminaError('unsupported', 'this device has no timestamp-query');
  const kinds = new Map<string, Dispatch[]>();
  for (const d of list) {
    const key = `${d.label} ${d.weightBytes}`;
    kinds.set(key, [...kinds.get(key) ?? [], d]);
  }
  const times: OpTime[] = [];
  for (const same of kinds.values()) {
    const repeats = Math.max(1, Math.round(rounds / same.length));
    let best = Infinity;
    for (let round = 0; round < 3; ++round) {
      const us = await clock.time((pass) => {
        for (let i = 0; i < repeats; ++i) encode(pass, same);
      });
      best = Math.min(best, us / (repeats * same.length));
    }
    times.push({ label: same[0]!.label, count: same.length, microseconds: best, bytes: same[0]!.weightBytes });
  }
  clock.destroy();
  return times;
}
