#version 460
// SPDX-License-Identifier: Apache-2.0
// logits[m][r] = x[m] . weights[r] + bias[r], for the rows that want them. A unit is two
// neighbouring rows.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot.glsl"
#include "shapes.glsl"

uvec2 unit_rows(uint unit) { return uvec2(2 * unit, min(2 * unit + 1, N_OUT - 1)); }

#define Early uint
Early load_early(uint unit, uint m) { return 0; }

void store_unit(uint unit, uint m, float a, float b, Early none) {
  const uint at = m * OUT_STRIDE + 2 * unit;
  p.out_rows.v[at] = a;
  if (2 * unit + 1 < N_OUT) p.out_rows.v[at + 1] = b;
}

#include "matmul.glsl"
