// SPDX-License-Identifier: Apache-2.0
// How a layer's K and V lie, from the layer's address on: keys, VALUES_AT elements later values, each
// [page][kv head][position in page][KV_DIM]; for int8 then the vectors' f32 scales in the same order,
// keys' [page][kv head][position in page] and after them values'. KV_DIM makes a vector whole 16-byte
// words; what pads it is never anything but zero. Includers declare HEAD_DIM, N_KV_HEADS, KV_TYPE and
// VALUES_AT.
const uint KV_F16 = 0, KV_F32 = 1, KV_I8 = 2;
const uint KV_ELEMENTS = KV_TYPE == KV_I8 ? 16 : KV_TYPE == KV_F32 ? 4 : 8;  // of a 16-byte word
const uint KV_ALIGN = KV_TYPE == KV_I8 ? 16 : 8;
const uint KV_DIM = (HEAD_DIM + KV_ALIGN - 1) / KV_ALIGN * KV_ALIGN;

// Element index of a head's key at kv_index of the sequence whose block table begins at pages_at; its
// value is VALUES_AT further.
uint kv_at(Uints pages, int pages_at, int kv_index, uint head) {
  const uint page = pages.v[uint(pages_at) + uint(kv_index) / PAGE];
  return ((page * N_KV_HEADS + head) * PAGE + uint(kv_index) % PAGE) * KV_DIM;
}

// Index, among the floats from the layer's address on, of the scale of the int8 key or value that
// begins at element `at`. Neighbouring positions of a page have neighbouring scales.
uint kv_scale_at(uint at) { return VALUES_AT / 2 + at / KV_DIM; }

// Four neighbouring elements: of a 32-bit word of int8, without their scale, or of two words of f16.
vec4 kv_bytes(uint word) {
  return vec4(ivec4(int(word << 24), int(word << 16), int(word << 8), int(word)) >> 24);
}
vec4 kv_halves(uvec2 words) { return vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y)); }
