// SPDX-License-Identifier: Apache-2.0
#include "native/cli/gpu_self_test.h"

#include <cmath>
#include <future>
#include <utility>
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

}  // namespace

struct GpuSelfTest::Case {
  DType dtype;
  double most;  // error
  std::unique_ptr<LoadedModel> model;
  std::future<Result<Logits>> want;

  Result<Logits> compute() {
    LAMINA_ASSIGN(model, make_synthetic(small_config(), "self-test", dtype, 0, 1));
    LAMINA_ASSIGN(const auto reference, engine_of(make_reference_backend(), *model));
    return run_all(*reference);
  }
  Result<void> test(const MakeGpu& make);
};

Result<void> GpuSelfTest::Case::test(const MakeGpu& make) {
  LAMINA_ASSIGN(std::unique_ptr<Backend> backend, make());
  LAMINA_ASSIGN(const Logits right, want.get());
  LAMINA_ASSIGN(const auto engine, engine_of(std::move(backend), *model));
  LAMINA_ASSIGN(const Logits got, run_all(*engine));
  for (size_t step = 0; step < right.size(); ++step) {
    const double error = relative_error(got[step], right[step]);
    if (error <= most) continue;  // false for NaN
    return make_error(Code::kDevice,
                      "its self-test failed: logits of a model in %s are off by %.1e in %s, at "
                      "most %.0e is right",
                      std::string(dtype_name(dtype)).c_str(), error,
                      step == 0 ? "a prompt" : "a single token", most);
  }
  return {};
}

GpuSelfTest::GpuSelfTest() {
  for (const auto& [dtype, most] : {std::pair(DType::kF16, kMostErrorF16), std::pair(DType::kI8, kMostErrorI8)}) {
    cases_.push_back(std::unique_ptr<Case>(new Case{dtype, most, nullptr, {}}));
    Case& c = *cases_.back();
    c.want = std::async(std::launch::async, [&c] { return c.compute(); });
  }
}

GpuSelfTest::~GpuSelfTest() = default;

Result<void> GpuSelfTest::run(const MakeGpu& make) {
  for (const auto& c : cases_) LAMINA_TRY(c->test(make));
  return {};
}

}  // namespace lamina::cli
