// SPDX-License-Identifier: Apache-2.0
// y[m][r] = x[m] . weights[r] for M rows of x at a time. LANES threads take a unit of R weight rows and walk
// along them side by side, 16 bytes each. The op's file says which rows make a unit (unit_row), what is
// loaded early for its end (load_early) and what becomes of its sums (store_unit).
//
// FUSED: x is one row, made ready by each workgroup for itself, in shared memory: cheaper than a
// dispatch of its own (D-010). Else prepare_rows.wgsl has left x in xq and xs.
//!if FUSED
//!if WEIGHT_I8
var<workgroup> x_words: array<vec4<u32>, ROW_WORDS4>;
var<workgroup> x_scales: array<f32, BLOCKS>;
fn store_word4(word4: u32, packed: vec4<u32>) { x_words[word4] = packed; }
fn store_scale(block: u32, scale: f32) { x_scales[block] = scale; }
fn x_word4(m: u32, k: u32) -> vec4<u32> { return x_words[k]; }
fn x_scale(m: u32, k: u32) -> f32 { return x_scales[min(k * 16u / BLOCK, BLOCKS - 1u)]; }
//!else
var<workgroup> x_floats: array<vec4<f32>, ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4u>;
fn store_float4(word: u32, v: vec4<f32>) { x_floats[word] = v; }
fn x_float4(m: u32, word: u32) -> vec4<f32> { return x_floats[word]; }
//!end
//!include "activations.wgsl"
//!else
//!if WEIGHT_I8
fn x_word4(m: u32, k: u32) -> vec4<u32> { return xq[m * ROW_WORDS4 + k]; }
fn x_scale(m: u32, k: u32) -> f32 { return xs[m * BLOCKS + min(k * 16u / BLOCK, BLOCKS - 1u)]; }
//!else
fn x_float4(m: u32, word: u32) -> vec4<f32> { return xq[m * (ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4u) + word]; }
//!end
//!end

const UNITS_WG = LANE_GROUPS;  // of a workgroup at a time
const TURNS = (ROW_WORDS4 + LANES - 1u) / LANES;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) n_wg: vec3<u32>,
        @builtin(local_invocation_index) tid: u32) {
  let lane = tid % LANES;
  let n_x = X_ROWS();
  let first_m = wg.y * M;
  if (first_m >= n_x) { return; }
//!if FUSED
//!if GATHER
  prepare_row(head[SELECTED_AT], tid);
//!else
  prepare_row(0u, tid);
//!end
  workgroupBarrier();
//!end
  for (var base = wg.x * UNITS_WG; base < UNITS; base += n_wg.x * UNITS_WG) {
    let wanted = base + tid / LANES;
    let unit = min(wanted, UNITS - 1u);
    var row: array<u32, R>;
    for (var r = 0u; r < R; r++) { row[r] = unit_row(unit, r) * ROW_WORDS4; }
    // Lane m % LANES finishes row m; what it needs for that it loads early.
    let my_m = min(first_m + lane % M, n_x - 1u);
    let early = load_early(unit, my_m);
    var factor = array<f32, R>();
    var added = array<f32, R>();
    for (var r = 0u; r < R; r++) {
      factor[r] = 1.0;
//!if WEIGHT_I8
      if (GROUP == 0u) { factor[r] = scales[unit_row(unit, r)]; }
//!end
//!if BIAS
      added[r] = bias[bias_row(unit, r)];
//!end
    }
    var acc = array<f32, R * M>();  // zeros again in every round
    for (var turn = 0u; turn < TURNS; turn += UNROLL) {
      var w: array<vec4<u32>, R * UNROLL>;
      for (var i = 0u; i < UNROLL; i++) {
        let k = min(lane + (turn + i) * LANES, ROW_WORDS4 - 1u);
        for (var r = 0u; r < R; r++) { w[i * R + r] = weights[row[r] + k]; }
      }
      for (var i = 0u; i < UNROLL; i++) {
        let k = lane + (turn + i) * LANES;
        if (k < ROW_WORDS4) {
          for (var m = 0u; m < M; m++) {
            let x_row = min(first_m + m, n_x - 1u);
//!if WEIGHT_I8
            let xw = x_word4(x_row, k);
            let scale = x_scale(x_row, k);
            for (var r = 0u; r < R; r++) {
              var s = scale;
              if (GROUP != 0u) { s *= scales[unit_row(unit, r) * GROUPS + min(k * 16u / max(GROUP, 1u), GROUPS - 1u)]; }
              acc[m * R + r] += s * f32(dot16(w[i * R + r], xw));
            }
//!end
//!if WEIGHT_F16
            let xa = x_float4(x_row, 2u * k);
            let xb = x_float4(x_row, 2u * k + 1u);
            for (var r = 0u; r < R; r++) {
              acc[m * R + r] += dot(xa, halves(w[i * R + r].xy)) + dot(xb, halves(w[i * R + r].zw));
            }
//!end
//!if WEIGHT_F32
            let xa = x_float4(x_row, k);
            for (var r = 0u; r < R; r++) { acc[m * R + r] += dot(xa, bitcast<vec4<f32>>(w[i * R + r])); }
//!end
          }
        }
      }
    }
    for (var m = 0u; m < M; m++) {
      var sums: array<f32, R>;
      for (var r = 0u; r < R; r++) { sums[r] = lane_sum(acc[m * R + r], tid) * factor[r] + added[r]; }
      if (lane == m % LANES && wanted < UNITS && first_m + m < n_x) {
        if (M <= LANES) {
          store_unit(unit, first_m + m, sums, early);
        } else {
          store_unit(unit, first_m + m, sums, load_early(unit, first_m + m));
        }
      }
    }
  }
}
