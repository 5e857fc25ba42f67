// SPDX-License-Identifier: Apache-2.0
// What shaders are specialised with and what they are handed: the host's side of
// shaders/include/shapes.glsl and attention.comp. Numbers are the constants' ids.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace lamina::vulkan {

// KV_TYPE of shaders/include/kv.glsl.
enum KvType : uint32_t { kKvF16 = 0, kKvF32 = 1, kKvI8 = 2 };

enum Spec : uint32_t {
  kThreads = 0, kSubgroup = 1, kCols = 2, kUnits = 3, kRowWords4 = 4, kBlock = 5, kGroup = 6, kM = 7,
  kU = 8, kNOut = 9, kHeadDim = 10, kNHeads = 11, kNKvHeads = 12, kEps = 13, kXStride = 14,
  kOutStride = 15, kNorm = 16, kGather = 17, kKvType = 18, kUnroll = 19, kShuffle = 20, kBias = 21,
  kValuesAt = 22, kScale = 23, kMaxSplits = 24,
  kHeads = 25, kRows = 26,
  kNLayers = 27, kHidden = 28, kInner = 29, kFlight = 30,  // of decode_layers.comp
  kQkvBias = 31, kOutBias = 32, kGateUpBias = 33, kDownBias = 34,
  kSpecs = 35,
};

// Values of all constants; a shader takes those that it has.
struct Shape {
  std::array<uint32_t, kSpecs> v{};
  uint32_t& operator[](Spec s) { return v[s]; }
  uint32_t operator[](Spec s) const { return v[s]; }
  void set(Spec s, float value) { v[s] = std::bit_cast<uint32_t>(value); }
  bool operator==(const Shape&) const = default;
};

// Push constants of everything but attention: addresses.
struct MatmulPush {
  uint64_t weights, scales, bias, x, norm, xq, xs, out, head, rows, pages, selected, rope, keys;
};

struct AttentionPush {
  uint64_t x, out, head, rows, pages, keys, partial, arrived;
};

struct KvStorePush {
  uint64_t fresh, head, rows, pages, keys;
};

// Of argmax and sample; the former needs no choice.
struct ChoosePush {
  uint64_t logits, head, rows, tokens, choice;
};

// Choice of sample.comp; a random number for each step follows.
struct StepChoice {
  uint32_t top_k;
  float top_p, min_p;
  float inverse_temperature;
};

struct DecodeLayersPush {
  uint64_t layers, x, q, attended, act, partial, sync, head, rows, pages, fresh, rope;
};

// The step's buffer, as StepHead and Row of common.glsl.
struct StepHead {
  uint32_t kv_heads, attention_rows, splits;  // an indirect dispatch
  uint32_t n_rows, n_selected;
  uint32_t split_positions;
  uint32_t step;  // of a submission of several
  uint32_t stuck;  // see grid.glsl
};

struct StepRow {
  int32_t token, kv_index, pages_at, rope_at;
};

}  // namespace lamina::vulkan
