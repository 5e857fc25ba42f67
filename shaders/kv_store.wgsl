// SPDX-License-Identifier: Apache-2.0
// A step's keys and values, [rows][k|v][N_KV_HEADS][HEAD_DIM] floats, to the cache: for head sizes whose
// halves a product can't write two at a time. A workgroup takes a row; a thread two neighbouring elements.
// Bindings: 0 fresh, 1 head, 4 keys.
//!include "common.wgsl"
@group(0) @binding(0) var<storage, read> fresh: array<f32>;
@group(0) @binding(1) var<storage, read> head: array<u32>;
@group(0) @binding(4) var<storage, read_write> keys: array<u32>;
//!include "kv.wgsl"

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let m = wg.x;
  if (m >= n_rows()) { return; }
  for (var i = tid; i < N_KV_HEADS * HEAD_DIM; i += THREADS) {
    let kv_head = 2u * i / HEAD_DIM;  // of 2 N_KV_HEADS
    let d = 2u * i % HEAD_DIM;
    let source = (m * 2u * N_KV_HEADS + kv_head) * HEAD_DIM + d;
    let at = kv_at(row_pages_at(m), row_kv_index(m), kv_head % N_KV_HEADS) + kv_head / N_KV_HEADS * VALUES_AT + d;
//!if KV_WORDS
    keys[at] = bitcast<u32>(fresh[source]);
    keys[at + 1u] = bitcast<u32>(fresh[source + 1u]);
//!else
    keys[at / 2u] = pack2x16float(vec2<f32>(fresh[source], fresh[source + 1u]));
//!end
  }
}
