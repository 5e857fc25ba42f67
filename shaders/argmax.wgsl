// SPDX-License-Identifier: Apache-2.0
// The most likely token of a step's one row becomes the next step's row: the first of the largest
// logits, the next position, the next row of rope. One workgroup.
// Bindings: 0 logits, 1 head, 3 tokens.
//!include "common.wgsl"
@group(0) @binding(0) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> head: array<u32>;
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;  // [steps]
//!include "lanes.wgsl"
//!include "next_step.wgsl"

var<workgroup> best_value: array<f32, LANE_GROUPS>;
var<workgroup> best_index: array<u32, LANE_GROUPS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) tid: u32) {
  var value = LOWEST;
  var index = 0xffffffffu;
  for (var w = tid; w < (N_OUT + 3u) / 4u; w += THREADS) {
    let v = logits[w];
    for (var j = 0u; j < 4u; j++) {
      if (v[j] > value && 4u * w + j < N_OUT) {
        value = v[j];
        index = 4u * w + j;
      }
    }
  }
  // Within the lanes, then between them: larger value, then lower index. NaN never wins.
  let most = lane_max(value, tid);
  index = lane_min_u32(select(0xffffffffu, index, value == most), tid);
  if (tid % LANES == 0u) {
    best_value[tid / LANES] = most;
    best_index[tid / LANES] = index;
  }
  workgroupBarrier();
  if (tid != 0u) { return; }
  var best = best_value[0];
  var at = best_index[0];
  for (var i = 1u; i < LANE_GROUPS; i++) {
    if (best_value[i] > best || (best_value[i] == best && best_index[i] < at)) {
      best = best_value[i];
      at = best_index[i];
    }
  }
  next_step(select(at, 0u, at >= N_OUT));
}
