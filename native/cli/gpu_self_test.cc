// SPDX-License-Identifier: Apache-2.0
#include "native/cli/gpu_self_test.h"

#include <cmath>
#include <vector>

#include "backends/reference/reference_backend.h"
#include "core/engine/engine.h"
#include "native/platform/synthetic.h"

namespace lamina::cli {
namespace {

constexpr int32_t kPromptRows = 70;  // more than a page and than a tile
constexpr int32_t kSingleSteps = 2;
constexpr double kMostErrorF16 = 1e-3;  // kernels may multiply in f16
constexpr double kMostErrorI8 = 2e-2;   // a rounding of x to int8 may fall the other way

// No width is a multiple of what kernels work on at a time.
ModelConfig small_config() {
  ModelConfig c;
  c.hidden_size = 96;
  c.intermediate_size = 172;
  c.n_layers = 2;
  c.n_heads = 4;
  c.n_kv_heads = 2;
  c.head_dim = 32;
  c.vocab_size = 301;
  c.max_positions = 128;
  return c;
}

using Logits = std::vector<std::vector<float>>;  // of each step

Result<void> run_step(Engine& engine, KvPages& pages, int32_t from, int32_t rows, Logits* out) {
  LAMINA_TRY(pages.reserve(from + rows));
  Batch batch;
  batch.sequences.push_back({pages.pages()});
  const int32_t vocab = engine.graph().config.vocab_size;
  for (int32_t at = from; at < from + rows; ++at) {
    batch.rows.push_back({at * 37 % vocab, at, at, 0, true});
  }
  LAMINA_TRY(engine.backend().submit(batch));
  LAMINA_ASSIGN(const StepOutput got, engine.backend().read());
  out->emplace_back(got.logits.begin(), got.logits.end());
  return {};
}

Result<Logits> run_all(Engine& engine) {
  Logits logits;
  KvPages pages(&engine.pool());
  LAMINA_TRY(run_step(engine, pages, 0, kPromptRows, &logits));
  for (int32_t i = 0; i < kSingleSteps; ++i) {
    LAMINA_TRY(run_step(engine, pages, kPromptRows + i, 1, &logits));
  }
  return logits;
}

Result<std::unique_ptr<Engine>> engine_of(std::unique_ptr<Backend> backend,
                                          const LoadedModel& model) {
  EngineOptions options;
  options.max_rows = kPromptRows;
  options.max_logit_rows = kPromptRows;
  return Engine::create(std::move(backend), model.manifest.config, model.weights, options);
}

double relative_error(const std::vector<float>& got, const std::vector<float>& want) {
  LAMINA_CHECK(got.size() == want.size());
  double error = 0.0, norm = 0.0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += std::pow(static_cast<double>(got[i]) - want[i], 2);
    norm += std::pow(static_cast<double>(want[i]), 2);
  }
  return std::sqrt(error / norm);
}

Result<void> test_precision(const GpuUnderTest& gpu, DType dtype, double most) {
  LAMINA_ASSIGN(const auto model, make_synthetic(small_config(), "self-test", dtype, 0, 1));
  LAMINA_ASSIGN(const auto reference, engine_of(make_reference_backend(), *model));
  LAMINA_ASSIGN(const Logits want, run_all(*reference));
  LAMINA_ASSIGN(std::unique_ptr<Backend> backend, gpu.make());
  LAMINA_ASSIGN(const auto engine, engine_of(std::move(backend), *model));
  LAMINA_ASSIGN(const Logits got, run_all(*engine));
  for (size_t step = 0; step < want.size(); ++step) {
    const double error = relative_error(got[step], want[step]);
    if (error <= most) continue;  // false for NaN
    return make_error(Code::kDevice,
                      "its self-test failed: logits of a model in %s are off by %.1e in %s, at "
                      "most %.0e is right",
                      std::string(dtype_name(dtype)).c_str(), error,
                      step == 0 ? "a prompt" : "a single token", most);
  }
  gpu.done(engine->backend());
  return {};
}

}  // namespace

Result<void> gpu_self_test(const GpuUnderTest& gpu) {
  LAMINA_TRY(test_precision(gpu, DType::kF16, kMostErrorF16));
  return test_precision(gpu, DType::kI8, kMostErrorI8);
}

}  // namespace lamina::cli
