// SPDX-License-Identifier: Apache-2.0
// Where K and V of a position lie: [page][kv head][position in page][KV_DIM], in f16 or f32.
const uint KV_DIM = (HEAD_DIM + 7) / 8 * 8;

// Element index of a head's vector at kv_index of the sequence whose block table begins at pages_at.
uint kv_at(Uints pages, int pages_at, int kv_index, uint head) {
  const uint page = pages.v[uint(pages_at) + uint(kv_index) / PAGE];
  return ((page * N_KV_HEADS + head) * PAGE + uint(kv_index) % PAGE) * KV_DIM;
}
