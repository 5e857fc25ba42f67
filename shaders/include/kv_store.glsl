// SPDX-License-Identifier: Apache-2.0
// Quantizing a key or value for an int8 cache. The bytes and the scale are those of
// core/tensor/quantize.h to the bit, so that a cache is the same whoever wrote it; a GPU's own division
// may be some units in the last place off. The includer gives FRESH(i), the floats of a step's vectors.

// a / b, rounded to nearest even, where a, b and the quotient are normal and positive: 28 binary
// places by long division, and a last one that says whether anything is left.
float quotient(float a, float b) {
  const uint ab = floatBitsToUint(a), bb = floatBitsToUint(b);
  const uint am = ab & 0x7fffffu | 0x800000u, bm = bb & 0x7fffffu | 0x800000u;
  uint q = am / bm, rest = am % bm;
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    rest <<= 7;
    q = q << 7 | rest / bm;
    rest %= bm;
  }
  q = q << 1 | (rest != 0 ? 1 : 0);
  const uint top = uint(findMSB(q));  // 28 or 29
  const uint dropped = top - 23, below = q & (1u << dropped) - 1, half_way = 1u << dropped - 1;
  uint m = q >> dropped;
  m += below > half_way || below == half_way && (m & 1) != 0 ? 1 : 0;  // 2^24 carries over by itself
  const uint exponent = (ab >> 23) - (bb >> 23) + 127 + top - 29;
  return uintBitsToFloat((exponent << 23) + (m - 0x800000u));
}

const uint KV_WORDS_EACH = (KV_DIM / 4 + SUBGROUP - 1) / SUBGROUP;  // words of four elements of a thread

// A subgroup writes the vector that begins at FRESH(from) to element `at` of the layer's cache.
void store_vector(uint from, uint64_t keys, uint at) {
  vec4 held[KV_WORDS_EACH];
  float largest = 0.0;
  [[unroll]] for (uint j = 0; j < KV_WORDS_EACH; ++j) {
    const uint first = 4 * (gl_SubgroupInvocationID + j * SUBGROUP);
    [[unroll]] for (uint k = 0; k < 4; ++k) held[j][k] = first + k < HEAD_DIM ? FRESH(from + first + k) : 0.0;
    const vec4 size = abs(held[j]);
    largest = max(largest, max(max(size.x, size.y), max(size.z, size.w)));
  }
  largest = subgroupMax(largest);
  // Zeros where the scale would be no normal number or the vector holds what is none.
  const bool usable = largest >= 127.0 * 1.1754944e-38 && largest < 127.0 * 1.329228e36;
  const float scale = usable ? quotient(largest, 127.0) : 0.0;
  const float inverse = usable ? quotient(127.0, largest) : 0.0;
  [[unroll]] for (uint j = 0; j < KV_WORDS_EACH; ++j) {
    const uint w = gl_SubgroupInvocationID + j * SUBGROUP;
    const ivec4 q = usable ? ivec4(clamp(roundEven(held[j] * inverse), -127.0, 127.0)) & 0xff : ivec4(0);
    if (w < KV_DIM / 4) Uints(keys).v[at / 4 + w] = uint(q.x | q.y << 8 | q.z << 16 | q.w << 24);
  }
  if (subgroupElect()) Floats(keys).v[kv_scale_at(at)] = scale;
}
