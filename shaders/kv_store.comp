#version 460
// SPDX-License-Identifier: Apache-2.0
// A step's keys and values, which qkv_rope left as floats, into an int8 cache. A subgroup takes one
// vector. The bytes and the scale are those of core/tensor/quantize.h to the bit, so that a cache is
// the same whoever wrote it; a GPU's own division may be some units in the last place off.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 10) const uint HEAD_DIM = 2;
layout(constant_id = 12) const uint N_KV_HEADS = 1;
layout(constant_id = 18) const uint KV_TYPE = 2;
layout(constant_id = 22) const uint VALUES_AT = 0;

#include "kv.glsl"

layout(push_constant, scalar) uniform Push {
  Floats fresh;  // [rows][k|v][N_KV_HEADS][HEAD_DIM]
  Heads head;
  Rows rows;
  Uints pages;
  Uints keys;    // of this layer
} p;

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

void main() {
  const uint vectors = 2 * N_KV_HEADS;  // of a row
  const uint row = gl_WorkGroupID.x, vector = gl_WorkGroupID.y * gl_NumSubgroups + gl_SubgroupID;
  if (row >= p.head.v.n_rows || vector >= vectors) return;
  const uint from = (row * vectors + vector) * HEAD_DIM;
  float largest = 0.0;
  for (uint i = gl_SubgroupInvocationID; i < HEAD_DIM; i += SUBGROUP) {
    largest = max(largest, abs(p.fresh.v[from + i]));
  }
  largest = subgroupMax(largest);
  // Zeros where the scale would be no normal number or the vector holds what is none.
  const bool usable = largest >= 127.0 * 1.1754944e-38 && largest < 127.0 * 1.329228e36;
  const float scale = usable ? quotient(largest, 127.0) : 0.0;
  const float inverse = usable ? quotient(127.0, largest) : 0.0;

  const Row r = p.rows.v[row];
  const bool is_key = vector < N_KV_HEADS;
  const uint at = kv_at(p.pages, r.pages_at, r.kv_index, vector % N_KV_HEADS) + (is_key ? 0 : VALUES_AT);
  for (uint w = gl_SubgroupInvocationID; w < KV_DIM / 4; w += SUBGROUP) {
    ivec4 q = ivec4(0);
    [[unroll]] for (uint k = 0; k < 4; ++k) {
      const uint i = 4 * w + k;
      if (i < HEAD_DIM && usable) q[k] = int(clamp(roundEven(p.fresh.v[from + i] * inverse), -127.0, 127.0)) & 0xff;
    }
    p.keys.v[at / 4 + w] = uint(q.x | q.y << 8 | q.z << 16 | q.w << 24);
  }
  if (subgroupElect()) Floats(uint64_t(p.keys)).v[kv_scale_at(at)] = scale;
}
