// SPDX-License-Identifier: Apache-2.0
// y[m][r] = x[m] . weights[r] for a few rows of x. A subgroup takes U units of two weight rows; its
// threads walk along the rows side by side, 16 bytes each. The op's file says which rows make a unit
// (unit_rows) and what becomes of the two sums (store_unit).
//
// FUSED: x is one row, made ready by each workgroup for itself, in shared memory: cheaper than a
// dispatch of its own. Else prepare_rows.comp has left x in p.xq, p.xs, or, for float weights, p.xq.

const uint R = 2 * U;
const uint HELD = UNROLL * R;

#ifdef FUSED
#ifdef WEIGHT_I8
shared uvec4 x_words[ROW_WORDS4];
shared float x_scales[BLOCKS];
void store_word(uint word, uint packed) { x_words[word / 4][word % 4] = packed; }
void store_scale(uint block, float scale) { x_scales[block] = scale; }
#else
shared vec4 x_floats[ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4];
void store_float4(uint word, vec4 v) { x_floats[word] = v; }
#endif
#include "activations.glsl"
#endif

#ifdef WEIGHT_I8
uvec4 x_word4(uint m, uint k) {
#ifdef FUSED
  return x_words[k];
#else
  return p.xq.v[m * ROW_WORDS4 + k];
#endif
}
float x_scale(uint m, uint k) {
  const uint block = k * 16 / BLOCK;
#ifdef FUSED
  return block < BLOCKS ? x_scales[block] : 0.0;
#else
  return block < BLOCKS ? p.xs.v[m * BLOCKS + block] : 0.0;
#endif
}
#else
vec4 x_float4(uint m, uint word) {
#ifdef FUSED
  return x_floats[word];
#else
  return uintBitsToFloat(p.xq.v[m * (ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4) + word]);
#endif
}
#endif

float acc[R * M];

void multiply(uint k, uvec4 w[R], uint row[R]) {
#ifdef WEIGHT_I8
  [[unroll]] for (uint m = 0; m < M; ++m) {
    const uvec4 x = x_word4(m, k);
    const float scale = x_scale(m, k);
    [[unroll]] for (uint r = 0; r < R; ++r) {
      float s = scale;
      if (GROUP != 0) s *= p.scales.v[row[r] * GROUPS + min(k * 16 / GROUP, GROUPS - 1)];
      acc[r * M + m] += s * float(dot16(w[r], x));
    }
  }
#else
  [[unroll]] for (uint m = 0; m < M; ++m) {
    [[unroll]] for (uint j = 0; j < WEIGHTS_PER_WORD4 / 4; ++j) {
      const vec4 x = x_float4(m, k * (WEIGHTS_PER_WORD4 / 4) + j);
      [[unroll]] for (uint r = 0; r < R; ++r) {
#ifdef WEIGHT_F16
        const uvec2 h = j == 0 ? w[r].xy : w[r].zw;
        acc[r * M + m] += dot(x, vec4(unpackHalf2x16(h.x), unpackHalf2x16(h.y)));
#else
        acc[r * M + m] += dot(x, uintBitsToFloat(w[r]));
#endif
      }
    }
  }
#endif
}

void rows_of(uint unit, out uint row[R]) {
  [[unroll]] for (uint u = 0; u < U; ++u) {
    const uvec2 pair = unit_rows(min(unit + u, UNITS - 1));
    row[2 * u] = pair.x;
    row[2 * u + 1] = pair.y;
  }
}

// UNROLL words of each row from `base` on, this thread's share; zeros beyond the row.
void load_words4(uint base, uint row[R], out uvec4 w[HELD]) {
  [[unroll]] for (uint i = 0; i < UNROLL; ++i) {
    const uint k = base + i * SUBGROUP + gl_SubgroupInvocationID;
    [[unroll]] for (uint r = 0; r < R; ++r) {
      w[i * R + r] = k < ROW_WORDS4 ? p.weights.v[row[r] * ROW_WORDS4 + k] : uvec4(0);
    }
  }
}

void main() {
  const uint first = (gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID) * U;
  const uint stride = gl_NumWorkGroups.x * gl_NumSubgroups * U;
  const uint lane = gl_SubgroupInvocationID;
  const uint n_x = min(M, GATHER ? p.head.v.n_selected : p.head.v.n_rows);
  uint row[R];
  uvec4 w[HELD];
  rows_of(first, row);
  load_words4(0, row, w);  // under way while x is made ready
#ifdef FUSED
  prepare_row(GATHER ? p.selected.v[0] : 0);
  barrier();
#endif
  for (uint unit = first; unit < UNITS; unit += stride) {
    // Thread u * M + m finishes unit u with row m of x; what it needs for that it loads early.
    const uint my_unit = unit + lane / M, my_m = lane % M;
    const bool finishes = lane < U * M && my_unit < UNITS && my_m < n_x;
    const uvec2 my_rows = unit_rows(min(my_unit, UNITS - 1));
    Early early;
    vec2 factor = vec2(1.0), added = vec2(0.0);
    if (finishes) {
      early = load_early(my_unit, my_m);
#ifdef WEIGHT_I8
      if (GROUP == 0) factor = vec2(p.scales.v[my_rows.x], p.scales.v[my_rows.y]);
#endif
      if (BIAS) added = vec2(p.bias.v[my_rows.x], p.bias.v[my_rows.y]);
    }
    [[unroll]] for (uint i = 0; i < R * M; ++i) acc[i] = 0.0;
    for (uint base = 0; base < ROW_WORDS4; base += UNROLL * SUBGROUP) {
      uvec4 next[HELD];
      const uint next_base = base + UNROLL * SUBGROUP;
      if (next_base < ROW_WORDS4) load_words4(next_base, row, next);
      [[unroll]] for (uint i = 0; i < UNROLL; ++i) {
        uvec4 now[R];
        [[unroll]] for (uint r = 0; r < R; ++r) now[r] = w[i * R + r];
        multiply(min(base + i * SUBGROUP + lane, ROW_WORDS4 - 1), now, row);
      }
      [[unroll]] for (uint i = 0; i < HELD; ++i) w[i] = next[i];
    }
    if (unit + stride < UNITS) {
      rows_of(unit + stride, row);
      load_words4(0, row, w);
    }
    vec2 sums = vec2(0.0);
    [[unroll]] for (uint u = 0; u < U; ++u) {
      [[unroll]] for (uint m = 0; m < M; ++m) {
        const float a = subgroupAdd(acc[2 * u * M + m]), b = subgroupAdd(acc[(2 * u + 1) * M + m]);
        if (lane == u * M + m) sums = vec2(a, b);
      }
    }
    if (finishes) {
      sums = sums * factor + added;
      store_unit(my_unit, my_m, sums.x, sums.y, early);
    }
  }
}
