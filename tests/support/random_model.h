// SPDX-License-Identifier: Apache-2.0
// Models with random weights, in memory, for tests of engines and backends.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "core/base/half.h"
#include "core/base/numeric.h"
#include "core/model/manifest.h"
#include "core/model/weights.h"
#include "core/tensor/quantize.h"

namespace lamina::test {

// Owns 64-byte aligned memory for weights.
class WeightPool {
 public:
  void* allocate(size_t bytes) {
    blocks_.emplace_back(new (std::align_val_t{64}) std::byte[bytes + 64]());
    return blocks_.back().get();
  }

  // A matrix of `values` ([rows * cols]) stored in the shape's dtype.
  WeightView store(const WeightShape& shape, const std::vector<float>& values) {
    WeightView view;
    static_cast<WeightShape&>(view) = shape;
    auto* bytes = static_cast<std::byte*>(allocate(shape.value_bytes()));
    auto* scales = static_cast<float*>(allocate(shape.scale_bytes()));
    for (int32_t r = 0; r < shape.rows; ++r) {
      const auto cols = static_cast<size_t>(shape.cols);
      const std::span<const float> row(&values[static_cast<size_t>(r) * cols], cols);
      std::byte* out = bytes + static_cast<size_t>(r) * shape.row_bytes();
      store_row(shape, row, out, scales + static_cast<size_t>(r) * shape.scales_per_row());
    }
    view.values = bytes;
    view.scales = shape.dtype == DType::kI8 ? scales : nullptr;
    return view;
  }

  // Uniform in (-scale, scale).
  WeightView random(const WeightShape& shape, Random& rng, float scale) {
    std::vector<float> values(static_cast<size_t>(shape.rows) * static_cast<size_t>(shape.cols));
    for (float& v : values) v = (rng.next_unit() * 2.0f - 1.0f) * scale;
    return store(shape, values);
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{64}); }
  };

  static void store_row(const WeightShape& shape, std::span<const float> row, std::byte* out,
                        float* scales) {
    switch (shape.dtype) {
      case DType::kF32: std::memcpy(out, row.data(), row.size_bytes()); break;
      case DType::kF16:
        for (size_t i = 0; i < row.size(); ++i) {
          reinterpret_cast<uint16_t*>(out)[i] = f32_to_f16(row[i]);
        }
        break;
      case DType::kBF16:
        for (size_t i = 0; i < row.size(); ++i) {
          reinterpret_cast<uint16_t*>(out)[i] = f32_to_bf16(row[i]);
        }
        break;
      case DType::kI8:
        quantize_weight_row(row, shape.group, reinterpret_cast<int8_t*>(out), scales);
        break;
    }
  }

  std::vector<std::unique_ptr<std::byte[], Free>> blocks_;
};

struct RandomModel {
  ModelConfig config;
  WeightMap weights;
  WeightPool pool;
};

inline ModelConfig small_config() {
  ModelConfig c;
  c.hidden_size = 80;
  c.intermediate_size = 172;
  c.n_layers = 2;
  c.n_heads = 4;
  c.n_kv_heads = 2;
  c.head_dim = 32;
  c.vocab_size = 211;
  c.max_positions = 512;
  c.bos_token = 0;
  c.eos_tokens = {1};
  return c;
}

inline std::unique_ptr<RandomModel> random_model(const ModelConfig& config, DType dtype,
                                                 int32_t group = 0, uint64_t seed = 7) {
  auto model = std::make_unique<RandomModel>();
  model->config = config;
  Random rng(seed);
  for (const NamedShape& t : model_tensors(config, dtype, group)) {
    const bool norm = t.name.ends_with("norm");
    const float scale = norm ? 0.2f : 1.5f / std::sqrt(static_cast<float>(t.shape.cols));
    WeightView view = model->pool.random(t.shape, rng, scale);
    if (norm) {
      auto* values = static_cast<float*>(const_cast<void*>(view.values));
      for (int32_t c = 0; c < t.shape.cols; ++c) values[c] += 1.0f;
    }
    model->weights[t.name] = view;
  }
  return model;
}

}  // namespace lamina::test
