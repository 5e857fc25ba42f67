// SPDX-License-Identifier: Apache-2.0
// One op at a time through a backend's public door: a graph of embed, the op under test, and
// `logits` with an identity matrix, which reads any buffer out.
#pragma once

#include <gtest/gtest.h>

#include "core/engine/backend.h"
#include "tests/support/random_model.h"

namespace lamina::test {

struct Probe {
  Graph graph;
  WeightMap weights;
  WeightPool pool;
  Random rng{11};

  // The residual stream enters as rows of a random f32 embedding.
  explicit Probe(const ModelConfig& config) {
    graph.config = config;
    graph.buffer_width = {config.hidden_size, config.hidden_size,        config.q_width(),
                          config.q_width(),   config.intermediate_size, 0};
  }

  int16_t add_weight(const std::string& name, const WeightView& view) {
    weights[name] = view;
    graph.weights.push_back({name, view});
    return static_cast<int16_t>(graph.weights.size() - 1);
  }

  int16_t random_weight(const std::string& name, const WeightShape& shape, float scale) {
    return add_weight(name, pool.random(shape, rng, scale));
  }

  void embed(WeightShape shape = {}) {
    const ModelConfig& c = graph.config;
    shape.rows = c.vocab_size;
    shape.cols = c.hidden_size;
    graph.ops.push_back({OpKind::kEmbed, -1, Buffer::kNone, Buffer::kHidden,
                         random_weight("embedding", shape, 2.0f)});
  }

  void embed_values(const std::vector<float>& values) {
    const ModelConfig& c = graph.config;
    graph.ops.push_back(
        {OpKind::kEmbed, -1, Buffer::kNone, Buffer::kHidden,
         add_weight("embedding",
                    pool.store({DType::kF32, c.vocab_size, c.hidden_size, 0}, values))});
  }

  // n values from -most * unit to most * unit, multiples of unit.
  std::vector<float> whole_numbers(int32_t n, int32_t most, float unit) {
    std::vector<float> values(static_cast<size_t>(n));
    const auto range = static_cast<uint32_t>(2 * most + 1);
    for (float& v : values) v = unit * static_cast<float>(static_cast<int32_t>(rng.next_u32() % range) - most);
    return values;
  }

  void op(OpKind kind, Buffer in, Buffer out, int16_t weight, int16_t bias = -1) {
    graph.ops.push_back({kind, 0, in, out, weight, bias, false});
  }

  // Ends the graph: `buffer` becomes the logits.
  void read_out(Buffer buffer) {
    const int32_t n = graph.buffer_width[static_cast<size_t>(buffer)];
    std::vector<float> identity(static_cast<size_t>(n) * static_cast<size_t>(n), 0.0f);
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) identity[i * static_cast<size_t>(n) + i] = 1.0f;
    graph.buffer_width[static_cast<size_t>(Buffer::kLogits)] = n;
    graph.ops.push_back({OpKind::kLogits, -1, buffer, Buffer::kLogits,
                         add_weight("identity", pool.store({DType::kF32, n, n, 0}, identity)), -1,
                         true});
  }

  // Outputs of all rows of all batches, one after another.
  Result<std::vector<float>> run(Backend& backend, std::span<const Batch> batches,
                                 KvDType kv = KvDType::kF32, int32_t n_pages = 8) const {
    int32_t most = 1;
    for (const Batch& b : batches) most = std::max(most, static_cast<int32_t>(b.rows.size()));
    LAMINA_TRY(backend.prepare(graph, weights, {n_pages, kv},
                               rope_frequencies(graph.config, n_pages * kPageSize), most, most));
    std::vector<float> all;
    for (const Batch& b : batches) {
      LAMINA_TRY(backend.submit(b));
      LAMINA_ASSIGN(const StepOutput out, backend.read());
      all.insert(all.end(), out.logits.begin(), out.logits.end());
    }
    return all;
  }
};

// n rows of one sequence over `pages`, from kv index `start`.
inline Batch rows_of(std::span<const int32_t> pages, int32_t start, int32_t n, int32_t vocab) {
  Batch batch;
  batch.sequences.push_back({pages});
  for (int32_t i = start; i < start + n; ++i) {
    batch.rows.push_back({(i * 31 + 7) % vocab, i, i, 0, true});
  }
  return batch;
}

// The largest |a - b|, relative to the root mean square of `want`, and where it is.
struct Difference {
  double worst = 0.0;
  size_t at = 0;
};

inline Difference difference(std::span<const float> got, std::span<const float> want) {
  double squares = 0.0;
  for (float v : want) squares += static_cast<double>(v) * v;
  const double rms = std::sqrt(squares / static_cast<double>(want.size())) + 1e-30;
  Difference d;
  for (size_t i = 0; i < want.size(); ++i) {
    const double e = std::fabs(static_cast<double>(got[i]) - want[i]) / rms;
    if (!(e <= d.worst)) d = {e, i};  // NaN counts as worst
  }
  return d;
}

}  // namespace lamina::test
