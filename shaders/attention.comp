#version 460
// SPDX-License-Identifier: Apache-2.0
// out = softmax(q K^T / sqrt(HEAD_DIM)) V over the positions 0 .. kv_index of a row, for all query
// heads that share a key/value head; online softmax (Milakov and Gimelshein, 2018) over chunks of 128
// positions, split over workgroups where few rows would leave the device idle (Dao et al.,
// "Flash-Decoding", 2023). The last workgroup of a row and head merges the splits' results.
//
// Workgroup (HEADS query heads, ROWS rows of one sequence, split) of 128 threads: few heads and one row
// while decoding, so that many workgroups share the work; up to 8 queries in a prompt, so that keys
// and values are read less often. For scores a thread takes one position; for the
// weighted sum it takes four neighbouring dimensions of every n-th position.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 10) const uint HEAD_DIM = 2;
layout(constant_id = 11) const uint N_HEADS = 1;
layout(constant_id = 12) const uint N_KV_HEADS = 1;
layout(constant_id = 14) const uint X_STRIDE = 4;
layout(constant_id = 15) const uint OUT_STRIDE = 4;
layout(constant_id = 18) const uint KV_TYPE = 0;
layout(constant_id = 22) const uint VALUES_AT = 0;
layout(constant_id = 23) const float SCALE = 1.0;
layout(constant_id = 24) const uint MAX_SPLITS = 1;
layout(constant_id = 25) const uint HEADS = 1;  // divides the group of a key/value head
layout(constant_id = 26) const uint ROWS = 1;   // 1 where there are splits

#include "kv.glsl"

layout(push_constant, scalar) uniform Push {
  Floats x;          // q: [rows][X_STRIDE]
  Floats out_rows;   // [rows][OUT_STRIDE]
  Heads head;
  Rows rows;
  Uints pages;
  Uvec4s keys;       // of this layer, see kv.glsl
  SharedFloats partial;    // [row][head][split]: HEAD_DIM weighted sums, largest score, sum of weights
  SharedUints arrived;     // [row][group of heads]: splits that are done, 0 between dispatches
} p;

const uint THREADS = 128;
const uint G = HEADS * ROWS;                   // queries
const uint HEAD_GROUPS = N_HEADS / HEADS;
const uint GROUP_HEADS = N_HEADS / N_KV_HEADS;  // that share a key/value head
const uint DIM_WORDS4 = KV_DIM / KV_ELEMENTS;
const uint QUADS = KV_DIM / 4;
const uint STRIPES = THREADS / QUADS > 0 ? THREADS / QUADS : 1;  // positions worked on at a time
const uint QUADS_EACH = (QUADS + THREADS - 1) / THREADS;
const uint RECORD = HEAD_DIM + 2;

shared float q[G * KV_DIM];
shared float score[G * THREADS];
shared float value_scale[KV_TYPE == KV_I8 ? THREADS : 1];
shared float largest[G];
shared float total[G];
shared float rescale[G];
shared float merged[G * STRIPES * KV_DIM];
shared uint last;

shared int limit[ROWS];  // positions that each row sees; 0 beyond the step's rows

void load_query(uint row, uint head) {
  for (uint i = thread_index(); i < G * KV_DIM; i += THREADS) {
    const uint g = i / KV_DIM, d = i % KV_DIM;
    q[i] = d < HEAD_DIM
               ? p.x.v[(row + g / HEADS) * X_STRIDE + (head + g % HEADS) * HEAD_DIM + d] * SCALE
               : 0.0;
  }
  if (thread_index() < G) {
    largest[thread_index()] = -1e30;
    total[thread_index()] = 0.0;
  }
  if (thread_index() < ROWS) {
    const uint r = row + thread_index();
    limit[thread_index()] = r < p.head.v.n_rows ? p.rows.v[r].kv_index + 1 : 0;
  }
}

// The key of this thread's position, loaded before it is known what it is multiplied with. Returns
// its scale.
float load_key(Row row, uint kv_head, int position, bool seen, out uvec4 key[DIM_WORDS4]) {
  const uint at = seen ? kv_at(p.pages, row.pages_at, position, kv_head) : 0;
  [[unroll]] for (uint w = 0; w < DIM_WORDS4; ++w) key[w] = seen ? p.keys.v[at / KV_ELEMENTS + w] : uvec4(0);
  if (KV_TYPE != KV_I8) return 1.0;
  Floats scales = Floats(uint64_t(p.keys));
  value_scale[thread_index()] = seen ? scales.v[kv_scale_at(at + VALUES_AT)] : 0.0;
  return seen ? scales.v[kv_scale_at(at)] : 0.0;
}

vec4 query4(uint i) { return vec4(q[i], q[i + 1], q[i + 2], q[i + 3]); }

void scores_of(uvec4 key[DIM_WORDS4], float key_scale, int position, int end) {
  float s[G];
  [[unroll]] for (uint g = 0; g < G; ++g) s[g] = 0.0;
  [[unroll]] for (uint w = 0; w < DIM_WORDS4; ++w) {
    if (KV_TYPE == KV_F32) {
      const vec4 v = uintBitsToFloat(key[w]);
      [[unroll]] for (uint g = 0; g < G; ++g) s[g] += dot(v, query4(g * KV_DIM + 4 * w));
    } else if (KV_TYPE == KV_F16) {
      const vec4 a = kv_halves(key[w].xy), b = kv_halves(key[w].zw);
      [[unroll]] for (uint g = 0; g < G; ++g) {
        s[g] += dot(a, query4(g * KV_DIM + 8 * w)) + dot(b, query4(g * KV_DIM + 8 * w + 4));
      }
    } else {
      const vec4 a = kv_bytes(key[w].x), b = kv_bytes(key[w].y), c = kv_bytes(key[w].z), d = kv_bytes(key[w].w);
      [[unroll]] for (uint g = 0; g < G; ++g) {
        const uint at = g * KV_DIM + 16 * w;
        s[g] += dot(a, query4(at)) + dot(b, query4(at + 4)) + dot(c, query4(at + 8)) + dot(d, query4(at + 12));
      }
    }
  }
  if (KV_TYPE == KV_I8) {
    [[unroll]] for (uint g = 0; g < G; ++g) s[g] *= key_scale;
  }
  [[unroll]] for (uint g = 0; g < G; ++g) {
    score[g * THREADS + thread_index()] = position < min(end, limit[g / HEADS]) ? s[g] : -1e30;
  }
}

// Scores of the chunk to weights, of int8 values to weights times scales; a subgroup takes a head at a time.
void soften() {
  for (uint g = gl_SubgroupID; g < G; g += gl_NumSubgroups) {
    float most = largest[g];
    for (uint i = gl_SubgroupInvocationID; i < THREADS; i += SUBGROUP) {
      most = max(most, score[g * THREADS + i]);
    }
    most = subgroupMax(most);
    float sum = 0.0;
    for (uint i = gl_SubgroupInvocationID; i < THREADS; i += SUBGROUP) {
      const float s = score[g * THREADS + i];
      const float e = s <= -1e30 ? 0.0 : exp(s - most);
      score[g * THREADS + i] = KV_TYPE == KV_I8 ? e * value_scale[i] : e;
      sum += e;
    }
    sum = subgroupAdd(sum);
    if (subgroupElect()) {
      const float factor = exp(largest[g] - most);
      rescale[g] = factor;
      total[g] = total[g] * factor + sum;
      largest[g] = most;
    }
  }
}

vec4 value_quad(uint at) {
  if (KV_TYPE == KV_I8) return kv_bytes(Uints(uint64_t(p.keys)).v[at / 4]);
  if (KV_TYPE == KV_F32) return uintBitsToFloat(p.keys.v[at / 4]);
  return kv_halves(Uvec2s(uint64_t(p.keys)).v[at / 4]);
}

vec4 acc[G * QUADS_EACH];

// Adds the values of n <= PAGE positions of one page, weighted by score[.. first + i].
void add_page(uint at, uint first, uint n) {
  const uint stripe = thread_index() / QUADS;
  if (stripe >= STRIPES) return;
  const uint STEPS = 8;
  for (uint i = stripe; i < n; i += STEPS * STRIPES) {
    [[unroll]] for (uint j = 0; j < QUADS_EACH; ++j) {
      const uint quad = thread_index() % QUADS + j * THREADS;
      if (quad >= QUADS) break;
      vec4 v[STEPS];
      [[unroll]] for (uint k = 0; k < STEPS; ++k) {
        const uint position = i + k * STRIPES;
        v[k] = position < n ? value_quad(at + position * KV_DIM + 4 * quad) : vec4(0.0);
      }
      [[unroll]] for (uint k = 0; k < STEPS; ++k) {
        const uint position = min(i + k * STRIPES, n - 1);
        [[unroll]] for (uint g = 0; g < G; ++g) {
          acc[g * QUADS_EACH + j] += score[g * THREADS + first + position] * v[k];
        }
      }
    }
  }
}

// A subgroup finds the factors of a head's splits, then every thread sums one dimension.
void merge_splits(uint row, uint first_head, uint splits) {
  for (uint g = gl_SubgroupID; g < G; g += gl_NumSubgroups) {
    const uint base = (row * N_HEADS + first_head + g) * MAX_SPLITS * RECORD;
    float most = -1e30, sum = 0.0;
    for (uint s = gl_SubgroupInvocationID; s < splits; s += SUBGROUP) {
      most = max(most, p.partial.v[base + s * RECORD + HEAD_DIM]);
    }
    most = subgroupMax(most);
    for (uint s = gl_SubgroupInvocationID; s < splits; s += SUBGROUP) {
      const float factor = exp(p.partial.v[base + s * RECORD + HEAD_DIM] - most);
      score[g * THREADS + s] = factor;
      sum += factor * p.partial.v[base + s * RECORD + HEAD_DIM + 1];
    }
    sum = subgroupAdd(sum);
    if (subgroupElect()) total[g] = sum;
  }
  barrier();
  for (uint i = thread_index(); i < G * HEAD_DIM; i += THREADS) {
    const uint g = i / HEAD_DIM, d = i % HEAD_DIM, head = first_head + g;
    const uint base = (row * N_HEADS + head) * MAX_SPLITS * RECORD + d;
    float value = 0.0;
    for (uint s = 0; s < splits; s += 4) {
      float v[4];
      [[unroll]] for (uint k = 0; k < 4; ++k) v[k] = p.partial.v[base + min(s + k, splits - 1) * RECORD];
      [[unroll]] for (uint k = 0; k < 4; ++k) value += s + k < splits ? score[g * THREADS + s + k] * v[k] : 0.0;
    }
    p.out_rows.v[row * OUT_STRIDE + head * HEAD_DIM + d] = value / total[g];
  }
}

void main() {
  const uint first_head = gl_WorkGroupID.x * HEADS, r = gl_WorkGroupID.y * ROWS, split = gl_WorkGroupID.z;
  const uint kv_head = first_head / GROUP_HEADS;
  const Row row = p.rows.v[r];
  const uint last_row = min(r + ROWS, p.head.v.n_rows) - 1;
  const int positions = (ROWS == 1 ? row.kv_index : p.rows.v[last_row].kv_index) + 1;
  const int begin = int(split * p.head.v.split_positions);
  if (begin >= positions) return;
  const int end = min(positions, begin + int(p.head.v.split_positions));
  const uint splits = (uint(positions) - 1) / p.head.v.split_positions + 1;
  load_query(r, first_head);

  [[unroll]] for (uint i = 0; i < G * QUADS_EACH; ++i) acc[i] = vec4(0.0);
  for (int chunk = begin; chunk < end; chunk += int(THREADS)) {
    const int position = chunk + int(thread_index());
    uvec4 key[DIM_WORDS4];
    const float key_scale = load_key(row, kv_head, position, position < end, key);
    const uint n = min(THREADS, uint(end - chunk));
    const uint values = VALUES_AT + kv_at(p.pages, row.pages_at, chunk, kv_head);
    const uint more_values = n > PAGE ? VALUES_AT + kv_at(p.pages, row.pages_at, chunk + int(PAGE), kv_head) : 0;
    barrier();
    scores_of(key, key_scale, position, end);
    barrier();
    soften();
    barrier();
    [[unroll]] for (uint g = 0; g < G; ++g) {
      [[unroll]] for (uint j = 0; j < QUADS_EACH; ++j) acc[g * QUADS_EACH + j] *= rescale[g];
    }
    add_page(values, 0, min(n, PAGE));
    if (n > PAGE) add_page(more_values, PAGE, n - PAGE);
  }

  const uint stripe = thread_index() / QUADS;
  if (stripe < STRIPES) {
    [[unroll]] for (uint g = 0; g < G; ++g) {
      [[unroll]] for (uint j = 0; j < QUADS_EACH; ++j) {
        const uint quad = thread_index() % QUADS + j * THREADS;
        if (quad >= QUADS) break;
        const uint at = (g * STRIPES + stripe) * KV_DIM + 4 * quad;
        [[unroll]] for (uint k = 0; k < 4; ++k) merged[at + k] = acc[g * QUADS_EACH + j][k];
      }
    }
  }
  barrier();
  for (uint i = thread_index(); i < G * HEAD_DIM; i += THREADS) {
    const uint g = i / HEAD_DIM, d = i % HEAD_DIM, head = first_head + g % HEADS;
    const uint out_row = r + g / HEADS;
    if (out_row > last_row) continue;
    float sum = 0.0;
    for (uint s = 0; s < STRIPES; ++s) sum += merged[(g * STRIPES + s) * KV_DIM + d];
    if (splits == 1) {
      p.out_rows.v[out_row * OUT_STRIDE + head * HEAD_DIM + d] = sum / total[g];
      continue;
    }
    const uint at = ((r * N_HEADS + head) * MAX_SPLITS + split) * RECORD;
    p.partial.v[at + d] = sum;
    if (d == 0) {
      p.partial.v[at + HEAD_DIM] = largest[g];
      p.partial.v[at + HEAD_DIM + 1] = total[g];
    }
  }
  if (splits == 1) return;
  memoryBarrierBuffer();
  barrier();
  if (thread_index() == 0) {
    last = atomicAdd(p.arrived.v[r * HEAD_GROUPS + gl_WorkGroupID.x], 1) == splits - 1 ? 1 : 0;
  }
  barrier();
  if (last == 0) return;
  memoryBarrierBuffer();
  merge_splits(r, first_head, splits);
  if (thread_index() == 0) p.arrived.v[r * HEAD_GROUPS + gl_WorkGroupID.x] = 0;
}
