#version 460
// SPDX-License-Identifier: Apache-2.0
// out[m][i] = silu(gate) * up with gate = x[m] . weights[i] + bias[i], up = the same of row N_OUT + i;
// silu(v) = v / (1 + e^-v). A unit is one gate row with its up row.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot.glsl"
#include "shapes.glsl"

uvec2 unit_rows(uint unit) { return uvec2(unit, N_OUT + unit); }

#define Early uint
Early load_early(uint unit, uint m) { return 0; }

void store_unit(uint unit, uint m, float gate, float up, Early none) {
  p.out_rows.v[m * OUT_STRIDE + unit] = gate / (1.0 + exp(-gate)) * up;
}

#include "matmul.glsl"
