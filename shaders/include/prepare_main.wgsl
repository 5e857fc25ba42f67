// SPDX-License-Identifier: Apache-2.0
// A workgroup prepares one row of the step, or with GATHER one that wants logits; includers store it by own_row.
var<private> own_row: u32;
//!include "activations.wgsl"

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  own_row = wg.x;
//!if GATHER
  if (wg.x >= n_selected()) { return; }
  prepare_row(head[SELECTED_AT + wg.x], tid);
//!else
  if (wg.x >= n_rows()) { return; }
  prepare_row(wg.x, tid);
//!end
}
