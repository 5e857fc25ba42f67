#version 460
// SPDX-License-Identifier: Apache-2.0
// All layers of a step of one row in one dispatch: per layer qkv_rope, attention, matmul_add,
// gate_up_silu, matmul_add, as their own files say, with a barrier between all workgroups (grid.glsl)
// where a dispatch would end. A launch with its barrier costs about 2 us on large devices, and memory rests
// meanwhile; here the next op's weights are already on their way.
//
// As many workgroups as the device holds at once. p.layers: [N_LAYERS][TABLE] addresses, by op
// WEIGHTS SCALES BIASES NORM, then KEYS.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot.glsl"

layout(constant_id = 5) const uint BLOCK = 128;   // columns of an activation scale
layout(constant_id = 6) const uint GROUP = 0;     // columns of a weight scale; 0: the whole row
layout(constant_id = 10) const uint HEAD_DIM = 4;
layout(constant_id = 11) const uint N_HEADS = 1;
layout(constant_id = 12) const uint N_KV_HEADS = 1;
layout(constant_id = 13) const float EPS = 1e-5;
layout(constant_id = 18) const uint KV_TYPE = 0;
layout(constant_id = 19) const bool ACQUIRE = true;  // see grid.glsl
layout(constant_id = 20) const bool SHUFFLE = false;
layout(constant_id = 22) const uint VALUES_AT = 0;
layout(constant_id = 23) const float SCALE = 1.0;
layout(constant_id = 24) const uint MAX_SPLITS = 1;
layout(constant_id = 25) const uint HEADS = 1;    // of a workgroup of attention; shares a kv head
layout(constant_id = 26) const uint SPLIT_LEAST = 64;  // positions that make a split worth it
layout(constant_id = 27) const uint N_LAYERS = 1;
layout(constant_id = 28) const uint HIDDEN = 4;
layout(constant_id = 29) const uint INNER = 4;
layout(constant_id = 30) const uint FLIGHT = 8;   // 16-byte words of weights in flight per thread
layout(constant_id = 31) const bool QKV_BIAS = false;
layout(constant_id = 32) const bool OUT_BIAS = false;
layout(constant_id = 33) const bool GATE_UP_BIAS = false;
layout(constant_id = 34) const bool DOWN_BIAS = false;

#include "kv.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 16) coherent buffer SharedVec4s { vec4 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) coherent buffer SharedUvec4s { uvec4 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) volatile coherent buffer Counters { uint v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Addresses { uint64_t v[]; };

layout(push_constant, scalar) uniform Push {
  Addresses layers;
  SharedVec4s x;         // [HIDDEN]: the residual stream, in and out
  SharedFloats q;        // [N_HEADS * HEAD_DIM]
  SharedVec4s attended;  // [N_HEADS * HEAD_DIM]
  SharedVec4s act;       // [INNER]
  SharedFloats partial;  // of attention's splits
  Counters sync;
  Heads head;
  Rows rows;
  Uints pages;
  SharedFloats fresh;    // for an int8 cache: [k|v][N_KV_HEADS][HEAD_DIM] of this step
  Floats rope;           // [steps][HEAD_DIM]: cosines, then sines
} p;

#if defined(WEIGHT_F16)
const uint WEIGHTS_PER_WORD4 = 8;
#elif defined(WEIGHT_F32)
const uint WEIGHTS_PER_WORD4 = 4;
#else
const uint WEIGHTS_PER_WORD4 = 16;
#endif

// 16-byte words of a weight row, which is padded to 64 bytes.
#define row_words4(cols) (((cols) + 4 * WEIGHTS_PER_WORD4 - 1) / (4 * WEIGHTS_PER_WORD4) * 4)

const uint QKV = 0, OUT = 1, GATE_UP = 2, DOWN = 3;
const uint WEIGHTS = 0, SCALES = 1, BIASES = 2, NORM_WEIGHTS = 3, KEYS = 16, TABLE = 17;

const uint ATTENDED = N_HEADS * HEAD_DIM;
const uint WIDEST = INNER > ATTENDED ? (INNER > HIDDEN ? INNER : HIDDEN) : (ATTENDED > HIDDEN ? ATTENDED : HIDDEN);

shared uint64_t table[N_LAYERS * TABLE];
uint64_t address(uint l, uint op, uint what) { return table[l * TABLE + op * 4 + what]; }

Row row;

// A subgroup's number among all, such that a few units spread over the whole device.
uint worker() { return gl_SubgroupID * gl_NumWorkGroups.x + gl_WorkGroupID.x; }
uint workers() { return gl_NumSubgroups * gl_NumWorkGroups.x; }

#ifdef WEIGHT_I8
shared uvec4 x_words[row_words4(WIDEST)];
shared float x_scales[(WIDEST + BLOCK - 1) / BLOCK];
void store_word(uint word, uint packed) { x_words[word / 4][word % 4] = packed; }
void store_scale(uint block, float scale) { x_scales[block] = scale; }
#else
shared vec4 x_floats[row_words4(WIDEST) * WEIGHTS_PER_WORD4 / 4];
void store_float4(uint word, vec4 v) { x_floats[word] = v; }
#endif

uvec4 w[FLIGHT];

#define LATE_FACTOR
#include "grid.glsl"
#define FRESH(i) p.fresh.v[i]
#include "kv_store.glsl"
#include "decode_attention.glsl"

uint layer;  // that the loads of X4 and NORM4 belong to

// qkv_rope
const uint HALF = HEAD_DIM / 2;
uvec2 qkv_rows(uint unit) {
  const uint r = unit / HALF * HEAD_DIM + unit % HALF;
  return uvec2(r, r + HALF);
}
#define qkv_Early vec2
vec2 qkv_load_early(uint l, uint unit) {
  if (unit / HALF >= N_HEADS + N_KV_HEADS) return vec2(1.0, 0.0);
  const uint at = uint(row.rope_at) * HEAD_DIM + unit % HALF;
  return vec2(p.rope.v[at], p.rope.v[at + HALF]);
}
void store_kv(uint64_t keys, uint at, float v) {
  if (KV_TYPE == KV_F32) {
    Floats(keys).v[at] = v;
  } else {
    Halves(keys).v[at] = float16_t(v);
  }
}
void qkv_finish(uint l, uint unit, vec2 v, vec2 turn) {
  const uint head = unit / HALF, i = unit % HALF;
  v = vec2(v.x * turn.x - v.y * turn.y, v.y * turn.x + v.x * turn.y);
  if (head < N_HEADS) {
    p.q.v[head * HEAD_DIM + i] = v.x;
    p.q.v[head * HEAD_DIM + i + HALF] = v.y;
    return;
  }
  const bool is_key = head < N_HEADS + N_KV_HEADS;
  const uint kv_head = head - N_HEADS - (is_key ? 0 : N_KV_HEADS);
  if (KV_TYPE == KV_I8) {
    p.fresh.v[(head - N_HEADS) * HEAD_DIM + i] = v.x;
    p.fresh.v[(head - N_HEADS) * HEAD_DIM + i + HALF] = v.y;
    return;
  }
  const uint at = kv_at(p.pages, row.pages_at, row.kv_index, kv_head) + i + (is_key ? 0 : VALUES_AT);
  store_kv(address(l, 0, KEYS), at, v.x);
  store_kv(address(l, 0, KEYS), at + HALF, v.y);
}
#define NAME(f) qkv_##f
#define OP QKV
#define COLS HIDDEN
#define UNITS ((N_HEADS + 2 * N_KV_HEADS) * HALF)
#define PAIRED true
#define BIAS QKV_BIAS
#define NORM true
#define X4(r, word) p.x.v[word]
#define NORM4(word) Vec4s(address(layer, QKV, NORM_WEIGHTS)).v[word]
#include "decode_matmul.glsl"

// matmul_add, of attention
uvec2 out_rows(uint unit) { return uvec2(unit, 0); }
#define out_Early float
float out_load_early(uint l, uint unit) { return SharedFloats(uint64_t(p.x)).v[unit]; }
void out_finish(uint l, uint unit, vec2 v, float before) { SharedFloats(uint64_t(p.x)).v[unit] = before + v.x; }
#define NAME(f) out_##f
#define OP OUT
#define COLS ATTENDED
#define UNITS HIDDEN
#define PAIRED false
#define BIAS OUT_BIAS
#define NORM false
#define X4(r, word) attention_x4(word)
#define NORM4(word) vec4(1.0)
#include "decode_matmul.glsl"

// gate_up_silu
uvec2 gate_up_rows(uint unit) { return uvec2(unit, INNER + unit); }
#define gate_up_Early uint
uint gate_up_load_early(uint l, uint unit) { return 0; }
void gate_up_finish(uint l, uint unit, vec2 v, uint none) {
  SharedFloats(uint64_t(p.act)).v[unit] = v.x / (1.0 + exp(-v.x)) * v.y;
}
#define NAME(f) gate_up_##f
#define OP GATE_UP
#define COLS HIDDEN
#define UNITS INNER
#define PAIRED true
#define BIAS GATE_UP_BIAS
#define NORM true
#define X4(r, word) p.x.v[word]
#define NORM4(word) Vec4s(address(layer, GATE_UP, NORM_WEIGHTS)).v[word]
#include "decode_matmul.glsl"

// matmul_add, of the MLP
uvec2 down_rows(uint unit) { return uvec2(unit, 0); }
#define down_Early float
float down_load_early(uint l, uint unit) { return SharedFloats(uint64_t(p.x)).v[unit]; }
void down_finish(uint l, uint unit, vec2 v, float before) { SharedFloats(uint64_t(p.x)).v[unit] = before + v.x; }
#define NAME(f) down_##f
#define OP DOWN
#define COLS INNER
#define UNITS HIDDEN
#define PAIRED false
#define BIAS DOWN_BIAS
#define NORM false
#define X4(r, word) p.act.v[word]
#define NORM4(word) vec4(1.0)
#include "decode_matmul.glsl"

// From an op to the next, whose first weights are asked for while the last workgroups finish.
#define NEXT(begin) \
  grid_arrive();    \
  begin;            \
  grid_wait();

void main() {
  for (uint i = thread_index(); i < N_LAYERS * TABLE; i += gl_WorkGroupSize.x) table[i] = p.layers.v[i];
  row = p.rows.v[0];
  barrier();
  qkv_begin(0);
  for (layer = 0; layer < N_LAYERS; ++layer) {
    qkv_prepare_row(0);
    barrier();
    qkv_multiply(layer);
    grid_arrive();
    grid_wait();

    attend(layer);
    NEXT(out_begin(layer))

    out_prepare_row(0);
    barrier();
    out_multiply(layer);
    NEXT(gate_up_begin(layer))

    gate_up_prepare_row(0);
    barrier();
    gate_up_multiply(layer);
    NEXT(down_begin(layer))

    down_prepare_row(0);
    barrier();
    down_multiply(layer);
    if (layer + 1 == N_LAYERS) break;
    NEXT(qkv_begin(layer + 1))
  }
  grid_leave();
}
