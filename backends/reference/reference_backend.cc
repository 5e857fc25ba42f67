// SPDX-License-Identifier: Apache-2.0
// KV lies as [page][layer][k|v][kv_head][position in page][head_dim], stored in the asked dtype.
#include "backends/reference/reference_backend.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "backends/reference/reference_ops.h"
#include "core/base/half.h"

namespace lamina {

namespace {

namespace ops = reference;

class KvStore {
 public:
  KvStore() = default;
  KvStore(const ModelConfig& config, const KvShape& shape) : config_(config), shape_(shape) {
    const size_t vectors = static_cast<size_t>(shape.n_pages) * kPageSize *
                           static_cast<size_t>(config.n_layers) * 2 *
                           static_cast<size_t>(config.n_kv_heads);
    values_.resize(vectors * static_cast<size_t>(config.head_dim));
  }

  void write(std::span<const int32_t> pages, int32_t index, int32_t layer, int kv, int32_t head,
             std::span<const float> vector) {
    float* place = &values_[offset(pages, index, layer, kv, head)];
    for (size_t i = 0; i < vector.size(); ++i) place[i] = stored(vector[i]);
    if (shape_.dtype == KvDType::kI8) round_to_i8({place, vector.size()});
  }

  std::span<const float> read(std::span<const int32_t> pages, int32_t index, int32_t layer, int kv,
                              int32_t head) const {
    return {&values_[offset(pages, index, layer, kv, head)],
            static_cast<size_t>(config_.head_dim)};
  }

  uint64_t bytes() const { return values_.size() * sizeof(float); }

 private:
  float stored(float v) const {
    return shape_.dtype == KvDType::kF16 ? f16_to_f32(f32_to_f16(v)) : v;
  }

  // What int8 storage with one scale per position and head keeps of a vector.
  static void round_to_i8(std::span<float> v) {
    float largest = 0.0f;
    for (float x : v) largest = std::max(largest, std::fabs(x));
    const float scale = largest / 127.0f;
    for (float& x : v) x = scale > 0.0f ? scale * std::nearbyint(x * (127.0f / largest)) : 0.0f;
  }

  size_t offset(std::span<const int32_t> pages, int32_t index, int32_t layer, int kv,
                int32_t head) const {
    size_t at = static_cast<size_t>(pages[static_cast<size_t>(index / kPageSize)]);
    at = at * static_cast<size_t>(config_.n_layers) + static_cast<size_t>(layer);
    at = at * 2 + static_cast<size_t>(kv);
    at = at * static_cast<size_t>(config_.n_kv_heads) + static_cast<size_t>(head);
    at = at * kPageSize + static_cast<size_t>(index % kPageSize);
    return at * static_cast<size_t>(config_.head_dim);
  }

  ModelConfig config_;
  KvShape shape_;
  std::vector<float> values_;
};

class ReferenceBackend final : public Backend {
 public:
  explicit ReferenceBackend(int32_t most_steps) : most_steps_(most_steps) {}
  BackendInfo info() const override { return {"reference", "scalar oracle, 1 thread"}; }

  Result<void> prepare(const Graph& graph, const WeightMap& weights, const KvShape& kv,
                       const RopeFrequencies& rope, int32_t max_rows,
                       int32_t max_logit_rows) override {
    graph_ = graph;
    kv_shape_ = kv;
    kv_ = KvStore(graph.config, kv);
    rope_ = rope;
    max_rows_ = max_rows;
    max_logit_rows_ = max_logit_rows;
    for (const GraphWeight& w : graph.weights) {
      const auto found = weights.find(w.name);
      if (found == weights.end()) {
        return make_error(Code::kInvalidModel, "tensor %s is missing", quote(w.name).c_str());
      }
      weights_.push_back(found->second);
    }
    for (size_t b = 0; b < buffers_.size(); ++b) {
      buffers_[b].resize(static_cast<size_t>(max_rows) * width(static_cast<Buffer>(b)));
    }
    return {};
  }

  Result<void> submit(const Batch& batch) override {
    LAMINA_TRY(validate_batch(batch, graph_.config, kv_shape_.n_pages, max_rows_, max_logit_rows_));
    selected_.clear();
    for (size_t r = 0; r < batch.rows.size(); ++r) {
      if (batch.rows[r].wants_logits) selected_.push_back(r);
    }
    for (const Op& op : graph_.ops) run(op, batch);
    return {};
  }

  Result<StepOutput> read() override {
    const auto& logits = buffers_[static_cast<size_t>(Buffer::kLogits)];
    return StepOutput{{logits.data(), selected_.size() * width(Buffer::kLogits)}};
  }

  // Step by step, as anyone would.
  int32_t most_steps(const TokenChoice&) const override { return most_steps_; }

  Result<std::span<const int32_t>> decode(const Batch& batch, int32_t steps,
                                          const TokenChoice& choice) override {
    SamplingParams params;
    params.temperature = choice.temperature;
    params.top_k = choice.top_k;
    params.top_p = choice.top_p;
    params.min_p = choice.min_p;
    Sampler sampler(params);
    Batch one = batch;
    tokens_.clear();
    for (int32_t i = 0; i < steps; ++i) {
      LAMINA_TRY(submit(one));
      LAMINA_ASSIGN(const StepOutput output, read());
      const float unit = choice.likeliest() ? 0.0f : choice.units[static_cast<size_t>(i)];
      tokens_.push_back(sampler.sample(output.logits, unit));
      const Row& row = one.rows[0];
      one.rows[0] = {tokens_.back(), row.position + 1, row.kv_index + 1, row.sequence, true};
    }
    return std::span<const int32_t>(tokens_);
  }

  Result<void> export_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<uint16_t> out) override {
    LAMINA_CHECK(out.size() == kv_export_size(graph_.config, n_positions));
    size_t at = 0;
    each_vector(n_positions, [&](int32_t layer, int kv, int32_t head, int32_t index) {
      for (float v : kv_.read(pages, index, layer, kv, head)) out[at++] = f32_to_f16(v);
    });
    return {};
  }

  Result<void> import_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<const uint16_t> in) override {
    LAMINA_CHECK(in.size() == kv_export_size(graph_.config, n_positions));
    std::vector<float> vector(static_cast<size_t>(graph_.config.head_dim));
    size_t at = 0;
    each_vector(n_positions, [&](int32_t layer, int kv, int32_t head, int32_t index) {
      for (float& v : vector) v = f16_to_f32(in[at++]);
      kv_.write(pages, index, layer, kv, head, vector);
    });
    return {};
  }

  MemoryUse memory() const override {
    MemoryUse use;
    for (const WeightView& w : weights_) use.weight_bytes += w.value_bytes() + w.scale_bytes();
    use.kv_bytes = kv_.bytes();
    for (const auto& b : buffers_) use.activation_bytes += b.size() * sizeof(float);
    return use;
  }

 private:
  size_t width(Buffer b) const {
    return static_cast<size_t>(graph_.buffer_width[static_cast<size_t>(b)]);
  }

  std::span<float> row(Buffer b, size_t r) {
    return {&buffers_[static_cast<size_t>(b)][r * width(b)], width(b)};
  }

  const WeightView& weight(const Op& op) const { return weights_[static_cast<size_t>(op.weight)]; }
  const float* bias(const Op& op) const {
    return op.bias < 0 ? nullptr
                       : static_cast<const float*>(weights_[static_cast<size_t>(op.bias)].values);
  }

  template <typename F>
  void each_vector(int32_t n_positions, F f) const {
    for (int32_t layer = 0; layer < graph_.config.n_layers; ++layer) {
      for (int kv = 0; kv < 2; ++kv) {
        for (int32_t head = 0; head < graph_.config.n_kv_heads; ++head) {
          for (int32_t index = 0; index < n_positions; ++index) f(layer, kv, head, index);
        }
      }
    }
  }

  // Rows with wanted logits move to the front at the first op over selected rows; from there on
  // in, out and the selection are packed alike.
  void run(const Op& op, const Batch& batch) {
    const size_t n = op.selected_rows ? selected_.size() : batch.rows.size();
    for (size_t i = 0; i < n; ++i) {
      const size_t from = op.kind == OpKind::kRmsNorm && op.selected_rows ? selected_[i] : i;
      run_row(op, batch, from, i);
    }
    // Attention of a row sees keys of earlier rows only, which lie in the cache by now.
  }

  void run_row(const Op& op, const Batch& batch, size_t from, size_t to) {
    switch (op.kind) {
      case OpKind::kEmbed:
        return ops::dequantize_row(weight(op), batch.rows[from].token, row(op.out, to));
      case OpKind::kRmsNorm:
        return ops::rms_norm(row(op.in, from), static_cast<const float*>(weight(op).values),
                             graph_.config.rms_norm_eps, row(op.out, to));
      case OpKind::kQkvRope: return qkv_rope(op, batch, from);
      case OpKind::kAttention: return attention(op, batch, from);
      case OpKind::kMatmulAdd: return matmul_add(op, from);
      case OpKind::kGateUpSilu: return gate_up_silu(op, from);
      case OpKind::kLogits:
        return ops::matmul(weight(op), bias(op), row(op.in, from), row(op.out, to));
    }
  }

  void qkv_rope(const Op& op, const Batch& batch, size_t r) {
    const ModelConfig& c = graph_.config;
    const auto d = static_cast<size_t>(c.head_dim);
    std::vector<float> qkv(static_cast<size_t>(c.qkv_width()));
    ops::matmul(weight(op), bias(op), row(op.in, r), qkv);
    std::vector<float> cos(d / 2), sin(d / 2);
    rope_.fill(batch.rows[r].position, cos.data(), sin.data());

    const auto q = std::span(qkv).first(static_cast<size_t>(c.q_width()));
    const auto k = std::span(qkv).subspan(q.size(), static_cast<size_t>(c.kv_width()));
    const auto v = std::span(qkv).last(k.size());
    for (size_t h = 0; h < q.size(); h += d) ops::rope(q.subspan(h, d), cos, sin);
    for (size_t h = 0; h < k.size(); h += d) ops::rope(k.subspan(h, d), cos, sin);

    std::copy(q.begin(), q.end(), row(op.out, r).begin());
    const auto pages = batch.sequences[static_cast<size_t>(batch.rows[r].sequence)].pages;
    for (int32_t h = 0; h < c.n_kv_heads; ++h) {
      const size_t at = static_cast<size_t>(h) * d;
      kv_.write(pages, batch.rows[r].kv_index, op.layer, 0, h, k.subspan(at, d));
      kv_.write(pages, batch.rows[r].kv_index, op.layer, 1, h, v.subspan(at, d));
    }
  }

  void attention(const Op& op, const Batch& batch, size_t r) {
    const ModelConfig& c = graph_.config;
    const auto d = static_cast<size_t>(c.head_dim);
    const auto pages = batch.sequences[static_cast<size_t>(batch.rows[r].sequence)].pages;
    for (int32_t h = 0; h < c.n_heads; ++h) {
      const int32_t kv_head = h / (c.n_heads / c.n_kv_heads);
      const auto fetch = [&](int32_t index, float* key, float* value) {
        std::ranges::copy(kv_.read(pages, index, op.layer, 0, kv_head), key);
        std::ranges::copy(kv_.read(pages, index, op.layer, 1, kv_head), value);
      };
      const size_t at = static_cast<size_t>(h) * d;
      ops::attention(row(op.in, r).subspan(at, d), batch.rows[r].kv_index + 1, fetch,
                     row(op.out, r).subspan(at, d));
    }
  }

  void matmul_add(const Op& op, size_t r) {
    const auto out = row(op.out, r);
    std::vector<float> y(out.size());
    ops::matmul(weight(op), bias(op), row(op.in, r), y);
    for (size_t c = 0; c < out.size(); ++c) out[c] += y[c];
  }

  void gate_up_silu(const Op& op, size_t r) {
    const auto out = row(op.out, r);
    std::vector<float> gate_up(2 * out.size());
    ops::matmul(weight(op), bias(op), row(op.in, r), gate_up);
    for (size_t c = 0; c < out.size(); ++c) {
      out[c] = ops::silu(gate_up[c]) * gate_up[out.size() + c];
    }
  }

  Graph graph_;
  std::vector<WeightView> weights_;
  KvShape kv_shape_;
  KvStore kv_;
  RopeFrequencies rope_;
  int32_t max_rows_ = 0;
  int32_t max_logit_rows_ = 0;
  std::array<std::vector<float>, kBuffers> buffers_;
  std::vector<size_t> selected_;
  std::vector<int32_t> tokens_;  // of the last decode()
  const int32_t most_steps_;
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend(int32_t most_steps) {
  return std::make_unique<ReferenceBackend>(most_steps);
}

}  // namespace lamina
