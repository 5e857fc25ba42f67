// SPDX-License-Identifier: Apache-2.0
// One product of decode_layers.comp: out = x . weights for one row of x. Included once per op, with
// NAME(f), COLS, UNITS, PAIRED (a unit is two weight rows, else one), BIAS, and what activations.glsl
// wants; the functions rows(unit), load_early(l, unit) and finish(l, unit, sums, early) are the op's.
//
// A subgroup takes a unit at a time, its threads walk along the rows side by side, 16 bytes each. Words of
// weights are in flight in `w` while the words before them are multiplied; the first ones of an op are
// asked for before x is there, so that memory works while the device waits for its slowest workgroup.

#define ROW_WORDS4 row_words4(COLS)
#include "activations.glsl"

const uint NAME(R) = PAIRED ? 2 : 1;
const uint NAME(IN_FLIGHT) = FLIGHT / NAME(R);  // words of a row
const uint NAME(CHUNKS) = (ROW_WORDS4 + NAME(IN_FLIGHT) * SUBGROUP - 1) / (NAME(IN_FLIGHT) * SUBGROUP);

void NAME(load)(uint64_t weights, uint unit, uint chunk) {
  if (unit >= UNITS) return;
  const uvec2 row = NAME(rows)(unit);
  [[unroll]] for (uint i = 0; i < NAME(IN_FLIGHT); ++i) {
    const uint k = (chunk * NAME(IN_FLIGHT) + i) * SUBGROUP + gl_SubgroupInvocationID;
    const bool there = (NAME(CHUNKS) * NAME(IN_FLIGHT) * SUBGROUP == ROW_WORDS4) || k < ROW_WORDS4;
    w[i * NAME(R)] = there ? Uvec4s(weights).v[row.x * ROW_WORDS4 + k] : uvec4(0);
    if (PAIRED) w[i * NAME(R) + 1] = there ? Uvec4s(weights).v[row.y * ROW_WORDS4 + k] : uvec4(0);
  }
}

// Starts the first loads of this op.
void NAME(begin)(uint l) { NAME(load)(address(l, OP, WEIGHTS), worker(), 0); }

float NAME(product)(uvec4 weights, uint k) {
#ifdef WEIGHT_I8
  return float(dot16(weights, x_words[k]));
#else
  float sum = 0.0;
  [[unroll]] for (uint j = 0; j < WEIGHTS_PER_WORD4 / 4; ++j) {
    const vec4 x = x_floats[k * (WEIGHTS_PER_WORD4 / 4) + j];
#ifdef WEIGHT_F16
    const uvec2 h = j == 0 ? weights.xy : weights.zw;
    sum += dot(x, vec4(unpackHalf2x16(h.x), unpackHalf2x16(h.y)));
#else
    sum += dot(x, uintBitsToFloat(weights));
#endif
  }
  return sum;
#endif
}

// The factor of this thread's word k of a row.
float NAME(scale)(Floats scales, uint row, uint k) {
#ifdef WEIGHT_I8
  const uint block = k * 16 / BLOCK;
  const float x = block < (COLS + BLOCK - 1) / BLOCK ? x_scales[block] : 0.0;
  if (GROUP == 0) return x;
  const uint groups = (COLS + GROUP - 1) / GROUP;
  return x * scales.v[row * groups + min(k * 16 / GROUP, groups - 1)];
#else
  return 1.0;
#endif
}

// All units of this worker. x is ready; `w` holds the first words.
void NAME(multiply)(uint l) {
  const uint64_t weights = address(l, OP, WEIGHTS);
  Floats scales = Floats(address(l, OP, SCALES)), bias = Floats(address(l, OP, BIASES));
  const float row_factor = NORM ? late_factor(COLS) : 1.0;
  for (uint unit = worker(); unit < UNITS; unit += workers()) {
    const uvec2 row = NAME(rows)(unit);
    vec2 factor = vec2(row_factor), added = vec2(0.0);
    const bool finishes = gl_SubgroupInvocationID == 0;
    NAME(Early) early;
    if (finishes) {
      early = NAME(load_early)(l, unit);
#ifdef WEIGHT_I8
      if (GROUP == 0) factor *= vec2(scales.v[row.x], PAIRED ? scales.v[row.y] : 0.0);
#endif
      if (BIAS) added = vec2(bias.v[row.x], PAIRED ? bias.v[row.y] : 0.0);
    }
    vec2 sums = vec2(0.0);
    for (uint chunk = 0; chunk < NAME(CHUNKS); ++chunk) {
      uvec4 now[FLIGHT];
      [[unroll]] for (uint i = 0; i < FLIGHT; ++i) now[i] = w[i];
      const bool last = chunk + 1 == NAME(CHUNKS);
      NAME(load)(weights, last ? unit + workers() : unit, last ? 0 : chunk + 1);
      [[unroll]] for (uint i = 0; i < NAME(IN_FLIGHT); ++i) {
        const uint k = min((chunk * NAME(IN_FLIGHT) + i) * SUBGROUP + gl_SubgroupInvocationID, ROW_WORDS4 - 1);
        sums.x += NAME(scale)(scales, row.x, k) * NAME(product)(now[i * NAME(R)], k);
        if (PAIRED) sums.y += NAME(scale)(scales, row.y, k) * NAME(product)(now[i * NAME(R) + 1], k);
      }
    }
    sums.x = subgroupAdd(sums.x);
    if (PAIRED) sums.y = subgroupAdd(sums.y);
    if (finishes) NAME(finish)(l, unit, sums * factor + added, early);
  }
}

#undef ROW_WORDS4
#undef COLS
#undef UNITS
#undef PAIRED
#undef BIAS
#undef NORM
#undef OP
#undef NAME
#undef X4
#undef NORM4
