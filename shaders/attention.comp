#version 460
// SPDX-License-Identifier: Apache-2.0
// out = softmax(q K^T / sqrt(HEAD_DIM)) V over the positions 0 .. kv_index of a row, for all query
// heads that share a key/value head; online softmax (Milakov and Gimelshein, 2018) over chunks of 128
// positions, split over workgroups where few rows would leave the device idle (Dao et al.,
// "Flash-Decoding", 2023). The last workgroup of a row and head merges the splits' results.
//
// Workgroup (kv head, row, split) of 128 threads. For scores a thread takes one position; for the
// weighted sum it takes two neighbouring dimensions of every n-th position.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 10) const uint HEAD_DIM = 2;
layout(constant_id = 11) const uint N_HEADS = 1;
layout(constant_id = 12) const uint N_KV_HEADS = 1;
layout(constant_id = 14) const uint X_STRIDE = 4;
layout(constant_id = 15) const uint OUT_STRIDE = 4;
layout(constant_id = 18) const bool KV_F32 = false;
layout(constant_id = 22) const uint VALUES_AT = 0;
layout(constant_id = 23) const float SCALE = 1.0;
layout(constant_id = 24) const uint MAX_SPLITS = 1;

#include "kv.glsl"

layout(push_constant, scalar) uniform Push {
  Floats x;          // q: [rows][X_STRIDE]
  Floats out_rows;   // [rows][OUT_STRIDE]
  Heads head;
  Rows rows;
  Uints pages;
  Uvec4s keys;       // of this layer; its values lie VALUES_AT elements later
  SharedFloats partial;    // [row][head][split]: HEAD_DIM weighted sums, largest score, sum of weights
  SharedUints arrived;     // [row][kv head]: splits that are done, 0 between dispatches
} p;

const uint THREADS = 128;
const uint G = N_HEADS / N_KV_HEADS;
const uint ELEMENTS = KV_F32 ? 4 : 8;  // of a 16-byte word
const uint DIM_WORDS4 = KV_DIM / ELEMENTS;
const uint PAIRS = KV_DIM / 2;
const uint STRIPES = THREADS / PAIRS > 0 ? THREADS / PAIRS : 1;  // positions worked on at a time
const uint PAIRS_EACH = (PAIRS + THREADS - 1) / THREADS;
const uint RECORD = HEAD_DIM + 2;

shared float q[G * KV_DIM];
shared float score[G * THREADS];
shared float largest[G];
shared float total[G];
shared float rescale[G];
shared float merged[G * STRIPES * KV_DIM];
shared uint last;

void load_query(uint row, uint kv_head) {
  for (uint i = thread_index(); i < G * KV_DIM; i += THREADS) {
    const uint g = i / KV_DIM, d = i % KV_DIM;
    q[i] = d < HEAD_DIM ? p.x.v[row * X_STRIDE + (kv_head * G + g) * HEAD_DIM + d] * SCALE : 0.0;
  }
  if (thread_index() < G) {
    largest[thread_index()] = -1e30;
    total[thread_index()] = 0.0;
  }
}

void scores_of(Row row, uint kv_head, int position, bool seen) {
  float s[G];
  [[unroll]] for (uint g = 0; g < G; ++g) s[g] = 0.0;
  if (seen) {
    const uint at = kv_at(p.pages, row.pages_at, position, kv_head) / ELEMENTS;
    for (uint w = 0; w < DIM_WORDS4; ++w) {
      const uvec4 k = p.keys.v[at + w];
      if (KV_F32) {
        const vec4 v = uintBitsToFloat(k);
        [[unroll]] for (uint g = 0; g < G; ++g) {
          const uint i = g * KV_DIM + 4 * w;
          s[g] += dot(v, vec4(q[i], q[i + 1], q[i + 2], q[i + 3]));
        }
      } else {
        const vec4 a = vec4(unpackHalf2x16(k.x), unpackHalf2x16(k.y));
        const vec4 b = vec4(unpackHalf2x16(k.z), unpackHalf2x16(k.w));
        [[unroll]] for (uint g = 0; g < G; ++g) {
          const uint i = g * KV_DIM + 8 * w;
          s[g] += dot(a, vec4(q[i], q[i + 1], q[i + 2], q[i + 3])) +
                  dot(b, vec4(q[i + 4], q[i + 5], q[i + 6], q[i + 7]));
        }
      }
    }
  }
  [[unroll]] for (uint g = 0; g < G; ++g) score[g * THREADS + thread_index()] = seen ? s[g] : -1e30;
}

// Scores of the chunk to weights; a subgroup takes a head at a time.
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
      score[g * THREADS + i] = e;
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

vec2 value_pair(uint at) {
  if (KV_F32) return uintBitsToFloat(Uvec2s(uint64_t(p.keys)).v[at / 2]);
  return unpackHalf2x16(Uints(uint64_t(p.keys)).v[at / 2]);
}

void merge_splits(uint row, uint kv_head, uint splits) {
  for (uint i = thread_index(); i < G * HEAD_DIM; i += THREADS) {
    const uint head = kv_head * G + i / HEAD_DIM, d = i % HEAD_DIM;
    const uint base = (row * N_HEADS + head) * MAX_SPLITS * RECORD;
    float most = -1e30, sum = 0.0, value = 0.0;
    for (uint s = 0; s < splits; ++s) most = max(most, p.partial.v[base + s * RECORD + HEAD_DIM]);
    for (uint s = 0; s < splits; ++s) {
      const uint at = base + s * RECORD;
      const float factor = exp(p.partial.v[at + HEAD_DIM] - most);
      sum += factor * p.partial.v[at + HEAD_DIM + 1];
      value += factor * p.partial.v[at + d];
    }
    p.out_rows.v[row * OUT_STRIDE + head * HEAD_DIM + d] = value / sum;
  }
}

void main() {
  const uint kv_head = gl_WorkGroupID.x, r = gl_WorkGroupID.y, split = gl_WorkGroupID.z;
  const Row row = p.rows.v[r];
  const int positions = row.kv_index + 1;
  const int begin = int(split * p.head.v.split_positions);
  if (begin >= positions) return;
  const int end = min(positions, begin + int(p.head.v.split_positions));
  const uint splits = (uint(positions) - 1) / p.head.v.split_positions + 1;
  load_query(r, kv_head);

  const uint stripe = thread_index() / PAIRS;
  vec2 acc[G * PAIRS_EACH];
  [[unroll]] for (uint i = 0; i < G * PAIRS_EACH; ++i) acc[i] = vec2(0.0);
  for (int chunk = begin; chunk < end; chunk += int(THREADS)) {
    barrier();
    const int position = chunk + int(thread_index());
    scores_of(row, kv_head, position, position < end);
    barrier();
    soften();
    barrier();
    const uint n = min(THREADS, uint(end - chunk));
    [[unroll]] for (uint g = 0; g < G; ++g) {
      [[unroll]] for (uint j = 0; j < PAIRS_EACH; ++j) acc[g * PAIRS_EACH + j] *= rescale[g];
    }
    if (stripe < STRIPES) {
      for (uint i = stripe; i < n; i += STRIPES) {
        const uint at = VALUES_AT + kv_at(p.pages, row.pages_at, chunk + int(i), kv_head);
        [[unroll]] for (uint j = 0; j < PAIRS_EACH; ++j) {
          const uint pair = thread_index() % PAIRS + j * THREADS;
          if (pair >= PAIRS) break;
          const vec2 v = value_pair(at + 2 * pair);
          [[unroll]] for (uint g = 0; g < G; ++g) acc[g * PAIRS_EACH + j] += score[g * THREADS + i] * v;
        }
      }
    }
  }

  if (stripe < STRIPES) {
    [[unroll]] for (uint g = 0; g < G; ++g) {
      [[unroll]] for (uint j = 0; j < PAIRS_EACH; ++j) {
        const uint pair = thread_index() % PAIRS + j * THREADS;
        if (pair >= PAIRS) break;
        const uint at = (g * STRIPES + stripe) * KV_DIM + 2 * pair;
        merged[at] = acc[g * PAIRS_EACH + j].x;
        merged[at + 1] = acc[g * PAIRS_EACH + j].y;
      }
    }
  }
  barrier();
  for (uint i = thread_index(); i < G * HEAD_DIM; i += THREADS) {
    const uint g = i / HEAD_DIM, d = i % HEAD_DIM, head = kv_head * G + g;
    float sum = 0.0;
    for (uint s = 0; s < STRIPES; ++s) sum += merged[(g * STRIPES + s) * KV_DIM + d];
    if (splits == 1) {
      p.out_rows.v[r * OUT_STRIDE + head * HEAD_DIM + d] = sum / total[g];
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
    last = atomicAdd(p.arrived.v[r * N_KV_HEADS + kv_head], 1) == splits - 1 ? 1 : 0;
  }
  barrier();
  if (last == 0) return;
  memoryBarrierBuffer();
  merge_splits(r, kv_head, splits);
  if (thread_index() == 0) p.arrived.v[r * N_KV_HEADS + kv_head] = 0;
}
