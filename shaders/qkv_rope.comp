#version 460
// SPDX-License-Identifier: Apache-2.0
// q | k | v = x[m] . weights + bias; q and k are turned by rotary positions (Su et al., 2021; the
// pairs are i and i + HEAD_DIM / 2); q goes to out, k and v to the cache, or, where that is
// int8, to p.keys as [rows][k|v][N_KV_HEADS][HEAD_DIM] floats for kv_store. A unit is such a pair.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot.glsl"
#include "shapes.glsl"
#include "kv.glsl"

const uint HALF = HEAD_DIM / 2;

uvec2 unit_rows(uint unit) {
  const uint row = unit / HALF * HEAD_DIM + unit % HALF;
  return uvec2(row, row + HALF);
}

void store_kv(uint at, float v) {
  if (KV_TYPE != KV_F16) {
    p.keys.v[at] = floatBitsToUint(v);
  } else {
    Halves(uint64_t(p.keys)).v[at] = float16_t(v);
  }
}

// Where k or v go, and how far q and k are turned.
struct Early { uint at; float c; float s; };

Early load_early(uint unit, uint m) {
  const uint head = unit / HALF, i = unit % HALF;
  const Row row = p.rows.v[m];
  Early e = Early(0, 1.0, 0.0);
  if (head < N_HEADS + N_KV_HEADS) {
    const uint at = uint(row.rope_at) * HEAD_DIM + i;
    e.c = p.rope.v[at];
    e.s = p.rope.v[at + HALF];
  }
  if (head >= N_HEADS) {
    const bool is_key = head < N_HEADS + N_KV_HEADS;
    const uint kv_head = head - N_HEADS - (is_key ? 0 : N_KV_HEADS);
    if (KV_TYPE == KV_I8) {
      e.at = (m * 2 * N_KV_HEADS + head - N_HEADS) * HEAD_DIM + i;
      return e;
    }
    e.at = kv_at(p.pages, row.pages_at, row.kv_index, kv_head) + i + (is_key ? 0 : VALUES_AT);
  }
  return e;
}

void store_unit(uint unit, uint m, float a, float b, Early e) {
  const uint head = unit / HALF, i = unit % HALF;
  if (head < N_HEADS + N_KV_HEADS) {
    const float turned = a * e.c - b * e.s;
    b = b * e.c + a * e.s;
    a = turned;
  }
  if (head < N_HEADS) {
    p.out_rows.v[m * OUT_STRIDE + head * HEAD_DIM + i] = a;
    p.out_rows.v[m * OUT_STRIDE + head * HEAD_DIM + i + HALF] = b;
  } else {
    store_kv(e.at, a);
    store_kv(e.at + HALF, b);
  }
}

#include "matmul.glsl"
