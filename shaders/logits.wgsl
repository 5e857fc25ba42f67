// SPDX-License-Identifier: Apache-2.0
// logits[m][r] = x[m] . weights[r] + bias[r], for the rows that want them. A unit is R neighbouring rows.
// Bindings: 0 weights, 1 scales, 2 bias, 3 x, 4 norm, 5 xq, 6 xs, 7 out_rows, 8 head.
//!include "common.wgsl"
//!include "matmul_bindings.wgsl"
//!include "weights.wgsl"
//!include "lanes.wgsl"

fn X_ROWS() -> u32 { return n_selected(); }
fn unit_row(unit: u32, r: u32) -> u32 { return min(unit * R + r, PART_ROWS - 1u); }
fn bias_row(unit: u32, r: u32) -> u32 { return PART_ROW_BEGIN + unit_row(unit, r); }
fn load_early(unit: u32, m: u32) -> u32 { return 0u; }

fn store_unit(unit: u32, m: u32, sums: array<f32, R>, none: u32) {
  for (var r = 0u; r < R; r++) {
    let row = unit * R + r;
    if (row < PART_ROWS) { out_rows[m * OUT_STRIDE + PART_ROW_BEGIN + row] = sums[r]; }
  }
}
//!include "matmul.wgsl"
