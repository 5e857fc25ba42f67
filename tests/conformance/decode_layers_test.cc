// SPDX-License-Identifier: Apache-2.0
// decode_layers, which runs all layers of a one-row step at once, against the reference: prompts and
// single rows in turn, over pages and splits, widths that are no multiple of anything.
#include <gtest/gtest.h>

#include <cmath>

#include "backends/reference/reference_backend.h"
#include "core/engine/llama.h"
#include "tests/support/engines.h"
#include "tests/support/random_model.h"

namespace lamina {
namespace {

struct Case {
  const char* name;
  DType dtype;
  int32_t group;
  KvDType kv;
  int32_t heads, kv_heads, head_dim;
  bool bias;
  double most;  // relative error of a row of logits
};

// An int8 rounding of x that falls the other way, or an f16 one of a key, is not an error.
constexpr Case kCases[] = {
    {"f32", DType::kF32, 0, KvDType::kF32, 6, 2, 32, false, 1e-5},
    {"f32_kv_i8", DType::kF32, 0, KvDType::kI8, 8, 2, 64, false, 5e-3},
    {"f16", DType::kF16, 0, KvDType::kF32, 8, 1, 16, true, 1e-5},
    {"i8", DType::kI8, 0, KvDType::kF16, 8, 2, 32, true, 6e-2},
    {"i8_groups", DType::kI8, 32, KvDType::kF32, 4, 2, 32, false, 6e-2},
};

std::unique_ptr<test::RandomModel> random_model_of(const Case& c) {
  ModelConfig config = test::small_config();
  config.hidden_size = 131;
  config.intermediate_size = 217;
  config.n_heads = c.heads;
  config.n_kv_heads = c.kv_heads;
  config.head_dim = c.head_dim;
  config.attention_bias = config.mlp_bias = c.bias;
  config.max_positions = 1024;
  return test::random_model(config, c.dtype, c.group, 11);
}

// Logits of every step: rows one by one, with a longer prompt now and then.
std::vector<std::vector<float>> run(Backend& backend, const test::RandomModel& model, const Case& c) {
  constexpr int32_t kRows = 60, kSteps = 24;
  std::vector<std::vector<float>> all;
  const auto graph = build_llama(model.config, model.weights);
  EXPECT_TRUE(graph && backend.prepare(*graph, model.weights, {4, c.kv}, rope_frequencies(model.config, 1024), kRows, 1));
  const std::vector<int32_t> pages = {2, 0, 3, 1};
  int32_t at = 0;
  for (int32_t step = 0; step < kSteps; ++step) {
    Batch batch;
    batch.sequences.push_back({pages});
    const int32_t rows = step % 7 == 6 ? kRows : 1;
    for (int32_t i = 0; i < rows; ++i, ++at) {
      batch.rows.push_back({at * 37 % model.config.vocab_size, at, at, 0, i == rows - 1});
    }
    EXPECT_TRUE(backend.submit(batch));
    const auto output = backend.read();
    EXPECT_TRUE(output) << output.error().message;
    all.emplace_back(output->logits.begin(), output->logits.end());
  }
  return all;
}

class DecodeLayers : public ::testing::TestWithParam<std::tuple<std::string, Case>> {};

TEST_P(DecodeLayers, MatchesReference) {
  const auto& [engine, c] = GetParam();
  LAMINA_SKIP_WITHOUT(engine);
  const auto model = random_model_of(c);
  const auto want = run(*make_reference_backend(), *model, c);
  auto backend = test::make_engine_backend(engine, 1);
  ASSERT_TRUE(backend) << backend.error().message;
  const auto got = run(**backend, *model, c);
  for (size_t step = 0; step < want.size(); ++step) {
    double error = 0.0, norm = 0.0;
    for (size_t i = 0; i < want[step].size(); ++i) {
      error += std::pow(static_cast<double>(got[step][i]) - want[step][i], 2);
      norm += std::pow(static_cast<double>(want[step][i]), 2);
    }
    EXPECT_LE(std::sqrt(error / norm), c.most) << "in step " << step;
  }
}

// One workgroup wherever the test runs; several where the device says how many it holds.
std::vector<std::string> engines() {
  if (!test::vulkan_missing().empty()) return test::vulkan_engines(1);
  if ((*vulkan_devices())[0].software) return {"vulkan:grid=1"};
  return {"vulkan:grid=1", "vulkan", "vulkan:layer-heads=2 flight=4"};
}

INSTANTIATE_TEST_SUITE_P(Gpu, DecodeLayers,
                         ::testing::Combine(::testing::ValuesIn(engines()), ::testing::ValuesIn(kCases)),
                         [](const auto& param) {
                           return test::plain_name(std::get<0>(param.param)) + "_" + std::get<1>(param.param).name;
                         });

}  // namespace
}  // namespace lamina
