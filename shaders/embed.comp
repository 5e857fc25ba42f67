#version 460
// SPDX-License-Identifier: Apache-2.0
// out[m] = the dequantized weight row of row m's token. A workgroup takes one row.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "shapes.glsl"

float weight_at(uint row, uint c) {
#if defined(WEIGHT_F32)
  return uintBitsToFloat(Uints(uint64_t(p.weights)).v[row * ROW_WORDS4 * 4 + c]);
#elif defined(WEIGHT_F16)
  const vec2 pair = unpackHalf2x16(Uints(uint64_t(p.weights)).v[row * ROW_WORDS4 * 4 + c / 2]);
  return c % 2 == 0 ? pair.x : pair.y;
#else
  const uint word = Uints(uint64_t(p.weights)).v[row * ROW_WORDS4 * 4 + c / 4];
  const int q = int(word << (24 - 8 * (c % 4))) >> 24;
  return float(q) * p.scales.v[row * GROUPS + (GROUP == 0 ? 0 : c / GROUP)];
#endif
}

void main() {
  const uint m = gl_WorkGroupID.x;
  if (m >= p.head.v.n_rows) return;
  const uint token = uint(p.rows.v[m].token);
  for (uint c = thread_index(); c < COLS; c += gl_WorkGroupSize.x) {
    p.out_rows.v[m * OUT_STRIDE + c] = weight_at(token, c);
  }
}
