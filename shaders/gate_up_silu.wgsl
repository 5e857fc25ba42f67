// SPDX-License-Identifier: Apache-2.0
// out[m][i] = silu(gate) * up with gate = x[m] . weights[i] + bias[i], up = the same of row N_OUT + i;
// silu(v) = v / (1 + e^-v). A unit is R / 2 neighbouring gate rows with their up rows; a part of the
// tensor holds its gate rows, then its up rows.
// Bindings: 0 weights, 1 scales, 2 bias, 3 x, 4 norm, 5 xq, 6 xs, 7 out_rows, 8 head.
//!include "common.wgsl"
//!include "matmul_bindings.wgsl"
//!include "weights.wgsl"
//!include "lanes.wgsl"

const PAIRS = R / 2u;
const PART_OUT = PART_ROWS / 2u;

fn X_ROWS() -> u32 { return n_rows(); }
fn unit_row(unit: u32, r: u32) -> u32 { return min(unit * PAIRS + r % PAIRS, PART_OUT - 1u) + r / PAIRS * PART_OUT; }
fn bias_row(unit: u32, r: u32) -> u32 {
  return PART_ROW_BEGIN + min(unit * PAIRS + r % PAIRS, PART_OUT - 1u) + r / PAIRS * N_OUT;
}
fn load_early(unit: u32, m: u32) -> u32 { return 0u; }

fn store_unit(unit: u32, m: u32, sums: array<f32, R>, none: u32) {
  for (var r = 0u; r < PAIRS; r++) {
    let i = unit * PAIRS + r;
    let gate = sums[r];
    if (i < PART_OUT) { out_rows[m * OUT_STRIDE + PART_ROW_BEGIN + i] = gate / (1.0 + exp(-gate)) * sums[PAIRS + r]; }
  }
}
//!include "matmul.wgsl"
