// SPDX-License-Identifier: Apache-2.0
// The decoder of Llama (Touvron et al., 2023): pre-norm attention with rotary positions and
// grouped key/value heads, then a SiLU-gated MLP, each added to the residual stream.
#include "core/engine/llama.h"

#include "core/model/manifest.h"

namespace lamina {

namespace {

class LlamaBuilder {
 public:
  LlamaBuilder(const ModelConfig& config, const WeightMap& weights, Graph& graph)
      : config_(config), weights_(weights), graph_(graph) {}

  Result<void> build() {
    LAMINA_TRY(check_shapes());
    size_buffers();
    add({OpKind::kEmbed, -1, Buffer::kNone, Buffer::kHidden, weight("token_embedding")});
    for (int16_t layer = 0; layer < config_.n_layers; ++layer) add_layer(layer);
    add({OpKind::kRmsNorm, -1, Buffer::kHidden, Buffer::kNormed, weight("final_norm"), -1, true});
    add({OpKind::kLogits, -1, Buffer::kNormed, Buffer::kLogits,
         weight(config_.tied_embeddings ? "token_embedding" : "lm_head"), -1, true});
    return {};
  }

 private:
  void add_layer(int16_t n) {
    const std::string layer = "layers." + std::to_string(n) + ".";
    const auto w = [&](const char* name) { return weight(layer + name); };
    const auto b = [&](bool present, const char* name) {
      return present ? weight(layer + name) : int16_t{-1};
    };
    const bool ab = config_.attention_bias, mb = config_.mlp_bias;

    add({OpKind::kRmsNorm, n, Buffer::kHidden, Buffer::kNormed, w("attention_norm")});
    add({OpKind::kQkvRope, n, Buffer::kNormed, Buffer::kQuery, w("qkv"), b(ab, "qkv_bias")});
    add({OpKind::kAttention, n, Buffer::kQuery, Buffer::kMixed});
    add({OpKind::kMatmulAdd, n, Buffer::kMixed, Buffer::kHidden, w("attention_out"),
         b(ab, "attention_out_bias")});

    add({OpKind::kRmsNorm, n, Buffer::kHidden, Buffer::kNormed, w("mlp_norm")});
    add({OpKind::kGateUpSilu, n, Buffer::kNormed, Buffer::kGated, w("gate_up"),
         b(mb, "gate_up_bias")});
    add({OpKind::kMatmulAdd, n, Buffer::kGated, Buffer::kHidden, w("down"), b(mb, "down_bias")});
  }

  void add(const Op& op) { graph_.ops.push_back(op); }

  // REQUIRES: check_shapes() has found the name.
  int16_t weight(const std::string& name) {
    for (size_t i = 0; i < graph_.weights.size(); ++i) {
      if (graph_.weights[i].name == name) return static_cast<int16_t>(i);
    }
    const auto found = weights_.find(name);
    LAMINA_CHECK(found != weights_.end());
    graph_.weights.push_back({name, found->second});
    return static_cast<int16_t>(graph_.weights.size() - 1);
  }

  Result<void> check_shapes() const {
    for (const NamedShape& want : model_tensors(config_, DType::kF32, 0)) {
      const auto found = weights_.find(want.name);
      if (found == weights_.end()) {
        return make_error(Code::kInvalidModel, "tensor %s is missing", quote(want.name).c_str());
      }
      const WeightShape& have = found->second;
      if (have.rows != want.shape.rows || have.cols != want.shape.cols) {
        return make_error(Code::kInvalidModel, "tensor %s is %d x %d, the config asks %d x %d",
                          quote(want.name).c_str(), have.rows, have.cols, want.shape.rows,
                          want.shape.cols);
      }
    }
    return {};
  }

  void size_buffers() {
    const auto width = [&](Buffer b) -> int32_t& {
      return graph_.buffer_width[static_cast<size_t>(b)];
    };
    width(Buffer::kHidden) = width(Buffer::kNormed) = config_.hidden_size;
    width(Buffer::kQuery) = width(Buffer::kMixed) = config_.q_width();
    width(Buffer::kGated) = config_.intermediate_size;
    width(Buffer::kLogits) = config_.vocab_size;
  }

  const ModelConfig& config_;
  const WeightMap& weights_;
  Graph& graph_;
};

}  // namespace

Result<Graph> build_llama(const ModelConfig& config, const WeightMap& weights) {
  Graph graph;
  graph.config = config;
  LAMINA_TRY(LlamaBuilder(config, weights, graph).build());
  return graph;
}

}  // namespace lamina
