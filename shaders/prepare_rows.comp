#version 460
// SPDX-License-Identifier: Apache-2.0
// Rows of x made ready for a product with many of them: rms_norm if asked for, and for i8 weights
// quantization; for f16 weights on cooperative matrices (SPLIT) each value as two halves. A workgroup
// takes one row.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "shapes.glsl"

const uint ROW_FLOATS4 = ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4;

void store_word(uint word, uint packed) {
  Uints(uint64_t(p.xq)).v[gl_WorkGroupID.x * ROW_WORDS4 * 4 + word] = packed;
}
#ifdef SPLIT
void store_scale(float factor) { p.xs.v[gl_WorkGroupID.x] = factor; }

#include "split.glsl"

// Two lines of halves.
void store_float4(uint word, vec4 v) {
  uvec2 high, low;
  split(v, high, low);
  const uint at = gl_WorkGroupID.x * 2 * ROW_FLOATS4 + word;
  Uvec2s(uint64_t(p.xq)).v[at] = high;
  Uvec2s(uint64_t(p.xq)).v[at + ROW_FLOATS4] = low;
}
#else
void store_scale(uint block, float scale) { p.xs.v[gl_WorkGroupID.x * BLOCKS + block] = scale; }
void store_float4(uint word, vec4 v) {
  Vec4s(uint64_t(p.xq)).v[gl_WorkGroupID.x * ROW_FLOATS4 + word] = v;
}
#endif
#include "activations.glsl"

void main() {
  const uint n = GATHER ? p.head.v.n_selected : p.head.v.n_rows;
  if (gl_WorkGroupID.x >= n) return;
  const uint row = GATHER ? p.selected.v[gl_WorkGroupID.x] : gl_WorkGroupID.x;
  prepare_row(row);
}
