// SPDX-License-Identifier: Apache-2.0
// A graph made ready for a backend: weights bound, each rms_norm folded into the op that reads it.
#pragma once

#include <vector>

#include "core/base/result.h"
#include "core/engine/graph.h"
#include "core/model/weights.h"

namespace lamina {

struct PlannedOp {
  OpKind kind;
  int32_t layer = -1;
  Buffer in = Buffer::kNone;
  Buffer out = Buffer::kNone;
  bool selected = false;        // works on rows that want logits, packed in `out`
  bool gather = false;          // and finds them unpacked in `in`
  const float* norm = nullptr;  // [norm_width]: `in` passes through rms_norm with it first
  int32_t norm_width = 0;       // of `in`
  WeightView weight;            // values null where the op has none
  const float* bias = nullptr;  // [weight.rows] or null
};

Result<std::vector<PlannedOp>> make_plan(const Graph& graph, const WeightMap& weights);

// A norm that is an op of its own (its consumer could not take it in) has kind kRmsNorm and `norm`
// set, and no weight.

inline bool is_matmul(OpKind kind) {
  return kind == OpKind::kQkvRope || kind == OpKind::kMatmulAdd || kind == OpKind::kGateUpSilu ||
         kind == OpKind::kLogits;
}

}  // namespace lamina
