// SPDX-License-Identifier: Apache-2.0
// q | k | v = x[m] . weights + bias; q and k are turned by rotary positions (Su et al., 2021; the
// pairs are i and i + HEAD_DIM / 2); q goes to out, k and v to the cache. A unit is two neighbouring pairs,
// so that a word of two halves is written whole (R = 4); where HEAD_DIM / 2 is odd it is one pair (R = 2,
// FRESH), and keys is a buffer [rows][k|v][N_KV_HEADS][HEAD_DIM] of floats for kv_store. A part of the
// tensor holds whole heads.
// Bindings: 0 weights, 1 scales, 2 bias, 3 x, 4 norm, 5 xq, 6 xs, 7 out_rows, 8 head, 13 keys.
//!include "common.wgsl"
//!include "matmul_bindings.wgsl"
@group(0) @binding(13) var<storage, read_write> keys: array<u32>;
//!include "weights.wgsl"
//!include "lanes.wgsl"
//!include "kv.wgsl"

const HALF = HEAD_DIM / 2u;
const PAIRS = R / 2u;
const HEAD_UNITS = HALF / PAIRS;

fn X_ROWS() -> u32 { return n_rows(); }
fn unit_row(unit: u32, r: u32) -> u32 {
  return unit / HEAD_UNITS * HEAD_DIM + unit % HEAD_UNITS * PAIRS + r % PAIRS + r / PAIRS * HALF;
}
fn bias_row(unit: u32, r: u32) -> u32 { return PART_ROW_BEGIN + unit_row(unit, r); }

// How far q and k are turned, and where k or v go.
struct Early { c: array<f32, PAIRS>, s: array<f32, PAIRS>, at: u32 }

fn load_early(unit: u32, m: u32) -> Early {
  let of_head = PART_ROW_BEGIN / HEAD_DIM + unit / HEAD_UNITS;
  let i = unit % HEAD_UNITS * PAIRS;
  var e: Early;
  let rope = row_rope_at(m) + i;
  for (var p = 0u; p < PAIRS; p++) {
    e.c[p] = 1.0;
    if (of_head < N_HEADS + N_KV_HEADS) {
      e.c[p] = bitcast<f32>(head[rope + p]);
      e.s[p] = bitcast<f32>(head[rope + p + HALF]);
    }
  }
  if (of_head >= N_HEADS) {
    let is_value = of_head >= N_HEADS + N_KV_HEADS;
//!if FRESH
    e.at = (m * 2u * N_KV_HEADS + of_head - N_HEADS) * HEAD_DIM + i;
//!else
    let kv_head = of_head - N_HEADS - select(0u, N_KV_HEADS, is_value);
    e.at = kv_at(row_pages_at(m), row_kv_index(m), kv_head) + i + select(0u, VALUES_AT, is_value);
//!end
  }
  return e;
}

fn store_kv(at: u32, v: array<f32, PAIRS>) {
//!if KV_WORDS
  for (var p = 0u; p < PAIRS; p++) { keys[at + p] = bitcast<u32>(v[p]); }
//!else
  keys[at / 2u] = pack2x16float(vec2<f32>(v[0], v[1]));
//!end
}

fn store_unit(unit: u32, m: u32, sums: array<f32, R>, e: Early) {
  let of_head = PART_ROW_BEGIN / HEAD_DIM + unit / HEAD_UNITS;
  let i = unit % HEAD_UNITS * PAIRS;
  var a: array<f32, PAIRS>;
  var b: array<f32, PAIRS>;
  for (var p = 0u; p < PAIRS; p++) {
    a[p] = sums[p] * e.c[p] - sums[PAIRS + p] * e.s[p];
    b[p] = sums[PAIRS + p] * e.c[p] + sums[p] * e.s[p];
  }
  if (of_head < N_HEADS) {
    let at = m * OUT_STRIDE + of_head * HEAD_DIM + i;
    for (var p = 0u; p < PAIRS; p++) {
      out_rows[at + p] = a[p];
      out_rows[at + p + HALF] = b[p];
    }
  } else {
    store_kv(e.at, a);
    store_kv(e.at + HALF, b);
  }
}
//!include "matmul.wgsl"
