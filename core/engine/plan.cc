// SPDX-License-Identifier: Apache-2.0
#include "core/engine/plan.h"

namespace lamina {

namespace {

class Planner {
 public:
  Planner(const Graph& graph, const WeightMap& weights) : graph_(graph), weights_(weights) {}

  Result<std::vector<PlannedOp>> plan() {
    LAMINA_TRY(bind());
    for (size_t i = 0; i < graph_.ops.size(); ++i) {
      const Op& op = graph_.ops[i];
      LAMINA_TRY(check_buffers(op));
      PlannedOp planned{.kind = op.kind, .layer = op.layer, .in = op.in, .out = op.out,
                        .selected = op.selected_rows};
      if (op.kind == OpKind::kRmsNorm) {
        planned.norm_width = width(op.in);
        LAMINA_ASSIGN(planned.norm, vector(op.weight, planned.norm_width));
        planned.gather = op.selected_rows;
        if (next_takes_in(i)) {
          folded_ = planned;
          continue;
        }
      } else if (op.weight >= 0) {
        LAMINA_ASSIGN(planned.weight, matrix(op));
        if (op.bias >= 0) {
          LAMINA_ASSIGN(planned.bias, vector(op.bias, planned.weight.rows));
        }
        if (folded_.norm) {
          planned.in = folded_.in;
          planned.norm = folded_.norm;
          planned.norm_width = folded_.norm_width;
          planned.gather = folded_.gather;
          folded_ = {};
        }
      }
      plan_.push_back(planned);
    }
    return std::move(plan_);
  }

 private:
  Result<void> bind() {
    for (const GraphWeight& w : graph_.weights) {
      const auto found = weights_.find(w.name);
      if (found == weights_.end()) {
        return make_error(Code::kInvalidModel, "tensor %s is missing", quote(w.name).c_str());
      }
      if (!(static_cast<const WeightShape&>(found->second) == w.shape)) {
        return make_error(Code::kInvalidModel, "tensor %s is not shaped as the graph says",
                          quote(w.name).c_str());
      }
      views_.push_back(found->second);
    }
    return {};
  }

  Result<void> check_buffers(const Op& op) const {
    const bool in_ok = op.kind == OpKind::kEmbed || op.in < Buffer::kNone;
    const bool square = op.kind != OpKind::kRmsNorm || (in_ok && width(op.in) == width(op.out));
    const bool weighted = op.kind == OpKind::kAttention || op.weight >= 0;
    if (in_ok && op.out < Buffer::kNone && square && weighted) return {};
    return make_error(Code::kInvalidModel, "graph: an op of kind %.*s lacks a buffer or weight",
                      static_cast<int>(op_name(op.kind).size()), op_name(op.kind).data());
  }

  int32_t width(Buffer b) const { return graph_.buffer_width[static_cast<size_t>(b)]; }

  Result<const float*> vector(int16_t index, int32_t length) const {
    const auto at = static_cast<size_t>(index);
    if (index < 0 || at >= views_.size()) {
      return make_error(Code::kInvalidModel, "graph: weight index %d does not exist", index);
    }
    const WeightView& v = views_[at];
    if (v.dtype != DType::kF32 || v.rows != 1 || v.cols != length) {
      return make_error(Code::kInvalidModel, "tensor %s must be f32, 1 x %d",
                        quote(graph_.weights[at].name).c_str(), length);
    }
    return static_cast<const float*>(v.values);
  }

  // The op's rows and columns, from the buffers around it.
  WeightShape expected(const Op& op) const {
    WeightShape s;
    s.cols = width(op.kind == OpKind::kEmbed ? op.out : op.in);
    switch (op.kind) {
      case OpKind::kEmbed: s.rows = graph_.config.vocab_size; break;
      case OpKind::kQkvRope: s.rows = graph_.config.qkv_width(); break;
      case OpKind::kGateUpSilu: s.rows = 2 * width(op.out); break;
      default: s.rows = width(op.out);
    }
    return s;
  }

  Result<WeightView> matrix(const Op& op) const {
    const auto at = static_cast<size_t>(op.weight);
    if (at >= views_.size()) {
      return make_error(Code::kInvalidModel, "graph: weight index %d does not exist", op.weight);
    }
    const WeightView& v = views_[at];
    const WeightShape want = expected(op);
    const std::string name = quote(graph_.weights[at].name);
    if (v.rows != want.rows || v.cols != want.cols) {
      return make_error(Code::kInvalidModel, "tensor %s is %d x %d, %.*s needs %d x %d",
                        name.c_str(), v.rows, v.cols, static_cast<int>(op_name(op.kind).size()),
                        op_name(op.kind).data(), want.rows, want.cols);
    }
    if (v.dtype == DType::kBF16) {
      return make_error(Code::kUnsupported, "tensor %s: bf16 weights are for conversion only",
                        name.c_str());
    }
    if (v.dtype == DType::kI8 && v.group != 0 && v.group != 32 && v.group != 64 && v.group != 128) {
      return make_error(Code::kInvalidModel, "tensor %s: group %d, must be 0, 32, 64 or 128",
                        name.c_str(), v.group);
    }
    return v;
  }

  // Whether op i's output is read by op i + 1 alone, a matmul.
  bool next_takes_in(size_t i) const {
    const Op& norm = graph_.ops[i];
    if (i + 1 >= graph_.ops.size()) return false;
    const Op& next = graph_.ops[i + 1];
    if (norm.out != Buffer::kNormed || !is_matmul(next.kind) || next.in != norm.out ||
        next.out == norm.in ||
        next.selected_rows != norm.selected_rows) {
      return false;
    }
    for (size_t k = i + 2; k < graph_.ops.size(); ++k) {
      if (graph_.ops[k].in == norm.out) return false;
      if (graph_.ops[k].out == norm.out && graph_.ops[k].kind != OpKind::kMatmulAdd) return true;
    }
    return true;
  }

  const Graph& graph_;
  const WeightMap& weights_;
  std::vector<WeightView> views_;
  std::vector<PlannedOp> plan_;
  PlannedOp folded_{};  // norm set: waits for its consumer
};

}  // namespace

Result<std::vector<PlannedOp>> make_plan(const Graph& graph, const WeightMap& weights) {
  return Planner(graph, weights).plan();
}

}  // namespace lamina
