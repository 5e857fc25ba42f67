// SPDX-License-Identifier: Apache-2.0
// y[m][r] = x[m] . weights[r] for a few rows of x. A subgroup takes U units of two weight rows; its
// threads walk along the rows side by side, 16 bytes each. The op's file says which rows make a unit
// (unit_rows) and what becomes of the two sums (store_unit).
//
// FUSED: x is one row, made ready by each workgroup for itself, in shared memory: cheaper than a
// dispatch of its own. Else prepare_rows.comp has left x in p.xq, p.xs, or, for float weights, p.xq.

const uint R = 2 * U;

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

void main() {
  const uint units_at = (gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID) * U;
  uint row[R];
  [[unroll]] for (uint u = 0; u < U; ++u) {
    const uvec2 pair = unit_rows(min(units_at + u, UNITS - 1));
    row[2 * u] = pair.x;
    row[2 * u + 1] = pair.y;
  }
  [[unroll]] for (uint i = 0; i < R * M; ++i) acc[i] = 0.0;

#ifdef FUSED
  const uint x_row = GATHER ? p.selected.v[0] : 0;
#ifdef WEIGHT_I8
  quantize_row(x_row);
#else
  prepare_row(x_row);
#endif
  barrier();
#endif
  uint k = gl_SubgroupInvocationID;
  for (; k + (UNROLL - 1) * SUBGROUP < ROW_WORDS4; k += UNROLL * SUBGROUP) {
    uvec4 w[UNROLL][R];
    [[unroll]] for (uint i = 0; i < UNROLL; ++i) {
      [[unroll]] for (uint r = 0; r < R; ++r) {
        w[i][r] = p.weights.v[row[r] * ROW_WORDS4 + k + i * SUBGROUP];
      }
    }
    [[unroll]] for (uint i = 0; i < UNROLL; ++i) multiply(k + i * SUBGROUP, w[i], row);
  }
  for (; k < ROW_WORDS4; k += SUBGROUP) {
    uvec4 w[R];
    [[unroll]] for (uint r = 0; r < R; ++r) w[r] = p.weights.v[row[r] * ROW_WORDS4 + k];
    multiply(k, w, row);
  }

  [[unroll]] for (uint i = 0; i < R * M; ++i) acc[i] = subgroupAdd(acc[i]);
  const uint n_x = min(M, GATHER ? p.head.v.n_selected : p.head.v.n_rows);
  [[unroll]] for (uint u = 0; u < U; ++u) {
    [[unroll]] for (uint m = 0; m < M; ++m) {
      // One thread for each unit and row of x, as far as there are threads.
      if (gl_SubgroupInvocationID != (u * M + m) % SUBGROUP || units_at + u >= UNITS || m >= n_x) continue;
      float a = acc[2 * u * M + m], b = acc[(2 * u + 1) * M + m];
#ifdef WEIGHT_I8
      if (GROUP == 0) {
        a *= p.scales.v[row[2 * u]];
        b *= p.scales.v[row[2 * u + 1]];
      }
#endif
      if (BIAS) {
        a += p.bias.v[row[2 * u]];
        b += p.bias.v[row[2 * u + 1]];
      }
      store_unit(units_at + u, m, a, b);
    }
  }
}
