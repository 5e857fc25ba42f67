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
