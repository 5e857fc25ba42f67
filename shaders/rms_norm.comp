#version 460
// SPDX-License-Identifier: Apache-2.0
// out[m][c] = x[m][c] / sqrt(mean(x[m]^2) + eps) * norm[c]: for a norm that no product takes in. A
// workgroup takes one row.
#extension GL_GOOGLE_include_directive : require
#define WEIGHT_F32
#include "common.glsl"
#include "shapes.glsl"

void store_float4(uint word, vec4 v) {
  [[unroll]] for (uint j = 0; j < 4; ++j) {
    if (4 * word + j < COLS) p.out_rows.v[gl_WorkGroupID.x * OUT_STRIDE + 4 * word + j] = v[j];
  }
}
#include "activations.glsl"

void main() {
  const uint n = GATHER ? p.head.v.n_selected : p.head.v.n_rows;
  if (gl_WorkGroupID.x >= n) return;
  prepare_row(GATHER ? p.selected.v[gl_WorkGroupID.x] : gl_WorkGroupID.x);
}
