// SPDX-License-Identifier: Apache-2.0
// One kernel's run in a step, ready to be encoded.

export interface Dispatch {
  readonly label: string;
  readonly layer: number;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly x: number;
  /** Times the step's rows (or selected rows) over `rowsEach`. */
  readonly rowsEach: number;
  readonly selected: boolean;
  readonly rowsOnX: boolean;
  /** Once for each split of the step's attention. */
  readonly splits: boolean;
  readonly weightBytes: number;
}

/**
 * What is submitted together of `n` steps of one row. The device works while the next is encoded, so the first step
 * goes in parts, for the device to begin, and the last one, so that little is left when all is encoded.
 */
export function submissions(step: readonly Dispatch[], n: number, sizes: { tokensTogether: number; parts: number }): Dispatch[][] {
  const size = Math.ceil(step.length / sizes.parts);
  const cut: Dispatch[][] = [];
  for (let at = 0; at < step.length; at += size) cut.push(step.slice(at, at + size));
  if (n === 1) return cut;
  const middle: Dispatch[][] = [];
  for (let at = 1; at < n - 1; at += sizes.tokensTogether) {
    const together = Math.min(sizes.tokensTogether, n - 1 - at);
    middle.push(Array.from({ length: together }, () => step).flat());
  }
  return [...cut, ...middle, ...cut];
}

/** `rows`, `selected`, `splits`: of the step. */
export function encode(pass: GPUComputePassEncoder, list: readonly Dispatch[], rows: number, selected: number, splits: number): void {
  for (const d of list) {
    pass.setPipeline(d.pipeline);
    pass.setBindGroup(0, d.bindGroup);
    const n = Math.max(1, Math.ceil((d.selected ? selected : rows) / d.rowsEach));
    if (d.rowsOnX) pass.dispatchWorkgroups(n);
    else pass.dispatchWorkgroups(d.x, n, d.splits ? splits : 1);
  }
}
