// SPDX-License-Identifier: Apache-2.0
// How a layer's K and V lie: keys, VALUES_AT elements later values, each [page][kv head][position in
// page][KV_DIM], f16 two to a word (f32 with KV_F32). KV_DIM is HEAD_DIM rounded up to 8; what pads it is
// never anything but zero.
const KV_DIM = (HEAD_DIM + 7u) / 8u * 8u;

// Element index of a head's key at kv_index of the sequence whose block table begins at pages_at; its
// value is VALUES_AT further.
fn kv_at(pages_at: u32, kv_index: u32, kv_head: u32) -> u32 {
  let page = head[pages_at + kv_index / PAGE];
  return ((page * N_KV_HEADS + kv_head) * PAGE + kv_index % PAGE) * KV_DIM;
}
