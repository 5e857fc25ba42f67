// SPDX-License-Identifier: Apache-2.0
// out[m] = the dequantized weight row of row m's token. A workgroup takes one row. Of a tensor in several
// parts, the dispatch of part PART_ROW_BEGIN .. + PART_ROWS takes the tokens that lie in it.
// Bindings: 0 weights, 1 scales (i8), 7 out_rows, 8 head.
//!include "common.wgsl"
@group(0) @binding(0) var<storage, read> weights: array<u32>;
//!if WEIGHT_I8
@group(0) @binding(1) var<storage, read> scales: array<f32>;
//!end
@group(0) @binding(7) var<storage, read_write> out_rows: array<f32>;
@group(0) @binding(8) var<storage, read> head: array<u32>;
//!include "weights.wgsl"

fn weight_at(row: u32, c: u32) -> f32 {
//!if WEIGHT_F32
  return bitcast<f32>(weights[row * ROW_WORDS4 * 4u + c]);
//!end
//!if WEIGHT_F16
  return unpack2x16float(weights[row * ROW_WORDS4 * 4u + c / 2u])[c % 2u];
//!end
//!if WEIGHT_I8
  let word = weights[row * ROW_WORDS4 * 4u + c / 4u];
  let q = bitcast<i32>(word << (24u - 8u * (c % 4u))) >> 24u;
  return f32(q) * scales[row * GROUPS + select(c / max(GROUP, 1u), 0u, GROUP == 0u)];
//!end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let m = wg.x;
  let token = row_token(m);
  if (m >= n_rows() || token < PART_ROW_BEGIN || token >= PART_ROW_BEGIN + PART_ROWS) { return; }
  for (var c = tid; c < COLS; c += THREADS) {
    out_rows[m * OUT_STRIDE + c] = weight_at(token - PART_ROW_BEGIN, c);
  }
}
