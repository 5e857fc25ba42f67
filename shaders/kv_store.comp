#version 460
// SPDX-License-Identifier: Apache-2.0
// A step's keys and values, which qkv_rope left as floats, into an int8 cache. A subgroup takes one
// vector.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 10) const uint HEAD_DIM = 2;
layout(constant_id = 12) const uint N_KV_HEADS = 1;
layout(constant_id = 18) const uint KV_TYPE = 2;
layout(constant_id = 22) const uint VALUES_AT = 0;

#include "kv.glsl"

layout(push_constant, scalar) uniform Push {
  Floats fresh;  // [rows][k|v][N_KV_HEADS][HEAD_DIM]
  Heads head;
  Rows rows;
  Uints pages;
  Uints keys;    // of this layer
} p;

#define FRESH(i) p.fresh.v[i]
#include "kv_store.glsl"

void main() {
  const uint vectors = 2 * N_KV_HEADS;  // of a row
  const uint row = gl_WorkGroupID.x, vector = gl_WorkGroupID.y * gl_NumSubgroups + gl_SubgroupID;
  if (row >= p.head.v.n_rows || vector >= vectors) return;
  const Row r = p.rows.v[row];
  const bool is_key = vector < N_KV_HEADS;
  const uint at = kv_at(p.pages, r.pages_at, r.kv_index, vector % N_KV_HEADS) + (is_key ? 0 : VALUES_AT);
  store_vector((row * vectors + vector) * HEAD_DIM, uint64_t(p.keys), at);
}
