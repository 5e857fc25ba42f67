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
const HELD = R * UNROLL;
const WHOLE = ROW_WORDS4 % (LANES * UNROLL) == 0u;

fn unit_of(base: u32, tid: u32) -> u32 { return min(base + tid / LANES, UNITS - 1u); }

// UNROLL words of each of the unit's rows from `turn` on, this thread's share; repeats beyond the row.
fn load_words4(unit: u32, turn: u32, lane: u32) -> array<vec4<u32>, HELD> {
  var w = array<vec4<u32>, HELD>();
  for (var r = 0u; r < R; r++) {
    let row = unit_row(unit, r) * ROW_WORDS4;
    for (var i = 0u; i < UNROLL; i++) { w[i * R + r] = weights[row + min(lane + (turn + i) * LANES, ROW_WORDS4 - 1u)]; }
  }
  return w;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) n_wg: vec3<u32>,
        @builtin(local_invocation_index) tid: u32) {
  let lane = tid % LANES;
  let n_x = X_ROWS();
  let first_m = wg.y * M;
  if (first_m >= n_x) { return; }
  let stride = n_wg.x * UNITS_WG;
  var w = load_words4(unit_of(wg.x * UNITS_WG, tid), 0u, lane);  // under way while x is made ready
//!if FUSED
//!if GATHER
  prepare_row(head[SELECTED_AT], tid);
//!else
  prepare_row(0u, tid);
//!end
  workgroupBarrier();
//!end
  for (var base = wg.x * UNITS_WG; base < UNITS; base += stride) {
    let unit = unit_of(base, tid);
    let wanted = base + tid / LANES < UNITS;
    // Lane m % LANES finishes row m; what it needs for that it loads early.
    let early = load_early(unit, min(first_m + lane % M, n_x - 1u));
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
      let now = w;
      if (turn + UNROLL < TURNS) {
        w = load_words4(unit, turn + UNROLL, lane);
      } else if (base + stride < UNITS) {
        w = load_words4(unit_of(base + stride, tid), 0u, lane);
      }
      for (var i = 0u; i < UNROLL; i++) {
        let k = lane + (turn + i) * LANES;
        if (WHOLE || k < ROW_WORDS4) {
          for (var m = 0u; m < M; m++) {
            let x_row = min(first_m + m, n_x - 1u);
//!if WEIGHT_I8
            let xw = x_word4(x_row, k);
            let scale = x_scale(x_row, k);
            for (var r = 0u; r < R; r++) {
              var s = scale;
              if (GROUP != 0u) { s *= scales[unit_row(unit, r) * GROUPS + min(k * 16u / max(GROUP, 1u), GROUPS - 1u)]; }
              acc[m * R + r] += s * f32(dot16(now[i * R + r], xw));
            }
//!end
//!if WEIGHT_F16
            let xa = x_float4(x_row, 2u * k);
            let xb = x_float4(x_row, 2u * k + 1u);
            for (var r = 0u; r < R; r++) {
              acc[m * R + r] += dot(xa, halves(now[i * R + r].xy)) + dot(xb, halves(now[i * R + r].zw));
            }
//!end
//!if WEIGHT_F32
            let xa = x_float4(x_row, k);
            for (var r = 0u; r < R; r++) { acc[m * R + r] += dot(xa, bitcast<vec4<f32>>(now[i * R + r])); }
//!end
          }
        }
      }
    }
    for (var m = 0u; m < M; m++) {
      var sums = array<f32, R>();
      for (var r = 0u; r < R; r++) { sums[r] = lane_sum(acc[m * R + r], tid) * factor[r] + added[r]; }
      if (lane == m % LANES && wanted && first_m + m < n_x) {
        if (M <= LANES) {
          store_unit(unit, first_m + m, sums, early);
        } else {
          store_unit(unit, first_m + m, sums, load_early(unit, first_m + m));
        }
      }
    }
  }
}
