#version 460
// SPDX-License-Identifier: Apache-2.0
// out[m][r] += x[m] . weights[r] + bias[r]. A unit is two neighbouring rows.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot.glsl"
#include "shapes.glsl"

uvec2 unit_rows(uint unit) { return uvec2(2 * unit, min(2 * unit + 1, N_OUT - 1)); }

// What out holds before. Rows are padded, so the second is there to be read.
#define Early vec2
Early load_early(uint unit, uint m) {
  const uint at = m * OUT_STRIDE + 2 * unit;
  return vec2(p.out_rows.v[at], p.out_rows.v[at + 1]);
}

void store_unit(uint unit, uint m, float a, float b, Early before) {
  const uint at = m * OUT_STRIDE + 2 * unit;
  p.out_rows.v[at] = before.x + a;
  if (2 * unit + 1 < N_OUT) p.out_rows.v[at + 1] = before.y + b;
}

#include "matmul.glsl"
