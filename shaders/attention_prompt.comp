#version 460
// SPDX-License-Identifier: Apache-2.0
// out = softmax(q K^T / sqrt(HEAD_DIM)) V for many rows of one sequence over keys and values in f16 or int8,
// on cooperative matrices (GL_NV_cooperative_matrix): online softmax over pages of 64 positions (Dao
// et al., "FlashAttention-2", 2023). Halves hold keys and values exactly, int8 without their scales,
// which scores and weights take over; q and the weights of softmax are split into two halves each. So
// the result is f32's but for the order of sums.
//
// Workgroup (head, 64 rows) of 4 subgroups, each with 16 rows: q and the sums of values stay in its
// matrices, a page's keys, then its values lie in shared memory while what comes next is under way.
// Scores pass through shared memory, where two threads take a row. Keys and values are the left sides of
// the products, so scores and sums are turned around: columns are rows of the step. For what is on the
// right the driver turns f16 matrices around at each use, so it should be what serves often.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#extension GL_NV_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

layout(constant_id = 10) const uint HEAD_DIM = 16;  // a multiple of 16
layout(constant_id = 11) const uint N_HEADS = 1;
layout(constant_id = 12) const uint N_KV_HEADS = 1;
layout(constant_id = 14) const uint X_STRIDE = 4;
layout(constant_id = 15) const uint OUT_STRIDE = 4;
layout(constant_id = 18) const uint KV_TYPE = 0;  // f16 or int8
layout(constant_id = 22) const uint VALUES_AT = 0;
layout(constant_id = 23) const float SCALE = 1.0;

#include "kv.glsl"

layout(push_constant, scalar) uniform Push {
  Vec4s x;           // q: [rows][X_STRIDE / 4]
  Floats out_rows;   // [rows][OUT_STRIDE]
  Heads head;
  Rows rows;
  Uints pages;
  Uvec4s keys;       // of this layer; its values lie VALUES_AT elements later
  SharedFloats partial;
  SharedUints arrived;
} p;

#define MatrixLeft fcoopmatNV<16, gl_ScopeSubgroup, 16, 16>
#define MatrixRight fcoopmatNV<16, gl_ScopeSubgroup, 16, 8>
#define MatrixSum fcoopmatNV<32, gl_ScopeSubgroup, 16, 8>

const uint THREADS = 128, TILE_ROWS = 64;
const uint SLICES = HEAD_DIM / 16;           // of a head's dimensions
const uint KV_LINE = HEAD_DIM / 8 + 1;       // 16-byte words of a key in shared memory, off the banks
const uint KV_WORDS4 = HEAD_DIM / KV_ELEMENTS;  // where it comes from
const uint KV_EACH = (PAGE * KV_WORDS4 + THREADS - 1) / THREADS;
const uint LINE = 17;                        // words of 64 scores, or twice 64 halves, off the banks
const uint CHUNKS = (HEAD_DIM + 63) / 64;
const float WEIGHT_ONE = 1024.0;             // weights of softmax at most: small ones keep their bits as halves

shared uvec4 kv_tile[PAGE * KV_LINE];
shared uvec4 row_tile[TILE_ROWS * LINE];
shared float factors[TILE_ROWS];
shared float kv_scales[KV_TYPE == KV_I8 ? 2 * PAGE : 1];  // of a page's keys, then of its values

MatrixRight q_high[2 * SLICES], q_low[2 * SLICES];  // of eight rows, then of the other eight
MatrixSum out_sum[2 * SLICES];
uvec4 next[KV_EACH];
float next_scale;
uint my_line;  // of row_tile: two threads share one
uint half_of;  // which of the two

#include "split.glsl"

// Eight values to word `word` of this thread's line, what they leave 8 words further.
void store_split(uint word, vec4 a, vec4 b) {
  uvec2 a_high, a_low, b_high, b_low;
  split(a, a_high, a_low);
  split(b, b_high, b_low);
  row_tile[my_line + word] = uvec4(a_high, b_high);
  row_tile[my_line + 8 + word] = uvec4(a_low, b_low);
}

void share_lines() {
  memoryBarrierShared();
  subgroupBarrier();
}

void load_query(uint row, uint n_rows, uint head) {
  const uint first = gl_SubgroupID * 16 * LINE;
  [[unroll]] for (uint chunk = 0; chunk < CHUNKS; ++chunk) {
    share_lines();
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      const uint word = 2 * j + half_of, d = chunk * 64 + 8 * word;
      vec4 a = vec4(0.0), b = vec4(0.0);
      if (row < n_rows && d < HEAD_DIM) {
        const uint at = (row * X_STRIDE + head * HEAD_DIM + d) / 4;
        a = p.x.v[at];
        b = p.x.v[at + 1];
      }
      store_split(word, a, b);
    }
    share_lines();
    [[unroll]] for (uint s = 0; s < 4; ++s) {
      if (chunk * 4 + s < SLICES) {
        [[unroll]] for (uint n = 0; n < 2; ++n) {
          const uint at = first + 8 * n * LINE + 2 * s;
          coopMatLoadNV(q_high[2 * (chunk * 4 + s) + n], row_tile, at, LINE, true);
          coopMatLoadNV(q_low[2 * (chunk * 4 + s) + n], row_tile, at + 8, LINE, true);
        }
      }
    }
  }
  share_lines();
}

// The page's vectors from element `at` on, of n positions; zeros after them: keys there are never looked at,
// but what is no number would outlive a weight of zero.
void load_page(uint at, uint n) {
  [[unroll]] for (uint i = 0; i < KV_EACH; ++i) {
    const uint w = thread_index() + i * THREADS;
    next[i] = w < n * KV_WORDS4 ? p.keys.v[at / KV_ELEMENTS + w] : uvec4(0);
  }
}

// The scales of n keys from element `at` on, and of their values.
void load_scales(uint at, uint n) {
  if (KV_TYPE != KV_I8) return;
  const uint i = thread_index() % PAGE;
  const uint from = kv_scale_at(thread_index() < PAGE ? at : VALUES_AT + at);
  next_scale = i < n ? Floats(uint64_t(p.keys)).v[from + i] : 0.0;
}

uvec4 bytes_to_halves(uvec2 bytes) {
  const vec4 a = kv_bytes(bytes.x), b = kv_bytes(bytes.y);
  return uvec4(packHalf2x16(a.xy), packHalf2x16(a.zw), packHalf2x16(b.xy), packHalf2x16(b.zw));
}

void store_page() {
  [[unroll]] for (uint i = 0; i < KV_EACH; ++i) {
    const uint w = thread_index() + i * THREADS, line = w / KV_WORDS4 * KV_LINE;
    if (PAGE * KV_WORDS4 % THREADS != 0 && w >= PAGE * KV_WORDS4) continue;
    if (KV_TYPE == KV_I8) {
      kv_tile[line + w % KV_WORDS4 * 2] = bytes_to_halves(next[i].xy);
      kv_tile[line + w % KV_WORDS4 * 2 + 1] = bytes_to_halves(next[i].zw);
    } else {
      kv_tile[line + w % KV_WORDS4] = next[i];
    }
  }
}

vec4 scales_of(uint i) { return vec4(kv_scales[i], kv_scales[i + 1], kv_scales[i + 2], kv_scales[i + 3]); }

// Scores of this subgroup's rows with the page's keys, to row_tile.
void make_scores() {
  MatrixSum score[8];
  [[unroll]] for (uint j = 0; j < 8; ++j) score[j] = MatrixSum(0.0);
  [[unroll]] for (uint s = 0; s < SLICES; ++s) {
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      MatrixLeft key;
      coopMatLoadNV(key, kv_tile, 16 * j * KV_LINE + 2 * s, KV_LINE, false);
      [[unroll]] for (uint n = 0; n < 2; ++n) {
        score[2 * j + n] = coopMatMulAddNV(key, q_low[2 * s + n], score[2 * j + n]);
      }
      [[unroll]] for (uint n = 0; n < 2; ++n) {
        score[2 * j + n] = coopMatMulAddNV(key, q_high[2 * s + n], score[2 * j + n]);
      }
    }
  }
  [[unroll]] for (uint j = 0; j < 4; ++j) {
    [[unroll]] for (uint n = 0; n < 2; ++n) {
      const uint line = gl_SubgroupID * 16 + 8 * n;
      coopMatStoreNV(score[2 * j + n], row_tile, line * LINE + 4 * j, LINE, true);
    }
  }
}

// Scores to weights, in place; n: how many of the page's positions the row sees.
void soften(int n, inout float largest, inout float total) {
  vec4 s[8];
  [[unroll]] for (uint j = 0; j < 8; ++j) {
    const uint word = j / 2 * 4 + half_of * 2 + j % 2;
    s[j] = uintBitsToFloat(row_tile[my_line + word]) * SCALE;
    if (KV_TYPE == KV_I8) s[j] *= scales_of(4 * word);
  }
  if (n < int(PAGE)) {
    [[unroll]] for (uint j = 0; j < 8; ++j) {
      const int first = int(4 * (j / 2 * 4 + half_of * 2 + j % 2));
      [[unroll]] for (int k = 0; k < 4; ++k) s[j][k] = first + k < n ? s[j][k] : -1e30;
    }
  }
  float most = largest;
  [[unroll]] for (uint j = 0; j < 8; ++j) most = max(most, max(max(s[j].x, s[j].y), max(s[j].z, s[j].w)));
  most = max(most, subgroupShuffleXor(most, 1));
  float sum = 0.0;
  [[unroll]] for (uint j = 0; j < 8; ++j) {
    [[unroll]] for (uint k = 0; k < 4; ++k) {
      s[j][k] = exp(s[j][k] - most) * WEIGHT_ONE;
      sum += s[j][k];
    }
    if (KV_TYPE == KV_I8) s[j] *= scales_of(PAGE + 4 * (j / 2 * 4 + half_of * 2 + j % 2));
  }
  sum += subgroupShuffleXor(sum, 1);
  const float factor = exp(largest - most);
  largest = most;
  total = total * factor + sum;
  share_lines();
  [[unroll]] for (uint j = 0; j < 4; ++j) store_split(2 * j + half_of, s[2 * j], s[2 * j + 1]);
  if (half_of == 0) factors[my_line / LINE] = factor;
}

void add_values() {
  const uint first = gl_SubgroupID * 16;
  [[unroll]] for (uint n = 0; n < 2; ++n) {
    MatrixSum factor;
    coopMatLoadNV(factor, factors, first + 8 * n, 0, false);
    [[unroll]] for (uint d = 0; d < SLICES; ++d) {
      [[unroll]] for (uint e = 0; e < factor.length(); ++e) out_sum[2 * d + n][e] *= factor[e];
    }
  }
  [[unroll]] for (uint k = 0; k < 4; ++k) {
    MatrixRight high[2], low[2];
    [[unroll]] for (uint n = 0; n < 2; ++n) {
      const uint at = (first + 8 * n) * LINE + 2 * k;
      coopMatLoadNV(high[n], row_tile, at, LINE, true);
      coopMatLoadNV(low[n], row_tile, at + 8, LINE, true);
    }
    [[unroll]] for (uint d = 0; d < SLICES; ++d) {
      MatrixLeft value;
      coopMatLoadNV(value, kv_tile, 16 * k * KV_LINE + 2 * d, KV_LINE, true);
      [[unroll]] for (uint n = 0; n < 2; ++n) {
        out_sum[2 * d + n] = coopMatMulAddNV(value, low[n], out_sum[2 * d + n]);
      }
      [[unroll]] for (uint n = 0; n < 2; ++n) {
        out_sum[2 * d + n] = coopMatMulAddNV(value, high[n], out_sum[2 * d + n]);
      }
    }
  }
}

void store_out(uint row, uint n_rows, uint head, float total) {
  const uint first = gl_SubgroupID * 16 * LINE;
  [[unroll]] for (uint chunk = 0; chunk < CHUNKS; ++chunk) {
    share_lines();
    [[unroll]] for (uint s = 0; s < 4; ++s) {
      if (chunk * 4 + s < SLICES) {
        [[unroll]] for (uint n = 0; n < 2; ++n) {
          coopMatStoreNV(out_sum[2 * (chunk * 4 + s) + n], row_tile, first + 8 * n * LINE + 4 * s, LINE, true);
        }
      }
    }
    share_lines();
    [[unroll]] for (uint j = 0; j < 8; ++j) {
      const uint word = 2 * j + half_of, d = chunk * 64 + 4 * word;
      if (row >= n_rows || d >= HEAD_DIM) continue;
      const vec4 v = uintBitsToFloat(row_tile[my_line + word]) / total;
      Vec4s(uint64_t(p.out_rows)).v[(row * OUT_STRIDE + head * HEAD_DIM + d) / 4] = v;
    }
  }
}

void main() {
  // Rows with many positions to see come first, so that short work fills the end.
  const uint tile = gl_NumWorkGroups.y - 1 - gl_WorkGroupID.y, head = gl_WorkGroupID.x;
  const uint kv_head = head / (N_HEADS / N_KV_HEADS);
  const uint n_rows = p.head.v.n_rows;
  if (tile * TILE_ROWS >= n_rows) return;
  const uint line = gl_SubgroupID * 16 + gl_SubgroupInvocationID / 2;
  const uint row = tile * TILE_ROWS + line;
  half_of = gl_SubgroupInvocationID % 2;
  my_line = line * LINE;
  const int seen = row < n_rows ? p.rows.v[row].kv_index + 1 : 0;
  const Row last = p.rows.v[min(tile * TILE_ROWS + TILE_ROWS, n_rows) - 1];
  const int end = last.kv_index + 1;

  uint at = kv_at(p.pages, last.pages_at, 0, kv_head);
  load_page(at, min(PAGE, uint(end)));
  load_scales(at, min(PAGE, uint(end)));
  load_query(row, n_rows, head);
  [[unroll]] for (uint d = 0; d < 2 * SLICES; ++d) out_sum[d] = MatrixSum(0.0);
  float largest = -1e30, total = 0.0;
  for (int begin = 0; begin < end; begin += int(PAGE)) {
    barrier();
    store_page();
    if (KV_TYPE == KV_I8) kv_scales[thread_index()] = next_scale;
    barrier();
    load_page(VALUES_AT + at, min(PAGE, uint(end - begin)));
    make_scores();
    share_lines();
    soften(seen - begin, largest, total);
    barrier();
    store_page();
    barrier();
    if (begin + int(PAGE) < end) {
      at = kv_at(p.pages, last.pages_at, begin + int(PAGE), kv_head);
      load_page(at, min(PAGE, uint(end - begin) - PAGE));
      load_scales(at, min(PAGE, uint(end - begin) - PAGE));
    }
    add_values();
  }
  store_out(row, n_rows, head, total);
}
