// SPDX-License-Identifier: Apache-2.0
// Backend::decode against steps one by one: the same tokens, and a cache that goes on as if.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <set>

#include "backends/reference/reference_backend.h"
#include "core/engine/llama.h"
#include "tests/support/engines.h"
#include "tests/support/random_model.h"

namespace lamina {
namespace {

int32_t largest(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

class Decode : public ::testing::TestWithParam<std::tuple<std::string, KvDType>> {
 protected:
  void SetUp() override { LAMINA_SKIP_WITHOUT(std::get<0>(GetParam())); }
};

TEST_P(Decode, StepsTogetherAreStepsOneByOne) {
  const auto [engine, kv] = GetParam();
  const auto model = test::random_model(test::small_config(), DType::kF32, 0, 5);
  const auto graph = build_llama(model->config, model->weights);
  ASSERT_TRUE(graph) << graph.error().message;
  const std::vector<int32_t> pages = {2, 0, 3};
  std::vector<int32_t> tokens[2];
  for (const bool together : {false, true}) {
    auto backend = test::make_engine_backend(engine, 1);
    ASSERT_TRUE(backend) << backend.error().message;
    ASSERT_TRUE((*backend)->prepare(*graph, model->weights, {4, kv},
                                    rope_frequencies(model->config, 256), 8, 8));
    ASSERT_GT((*backend)->most_steps(TokenChoice{}), 1);
    int32_t token = 3, at = 0;
    // Across a page border, and single steps between submissions.
    for (int32_t steps : {1, 17, 1, (*backend)->most_steps(TokenChoice{}), 23}) {
      Batch batch;
      batch.sequences.push_back({pages});
      if (together) {
        batch.rows = {{token, at, at, 0, true}};
        const auto got = (*backend)->decode(batch, steps, TokenChoice{});
        ASSERT_TRUE(got) << got.error().message;
        ASSERT_EQ(got->size(), static_cast<size_t>(steps));
        tokens[1].insert(tokens[1].end(), got->begin(), got->end());
      } else {
        for (int32_t i = 0; i < steps; ++i) {
          batch.rows = {{i == 0 ? token : tokens[0].back(), at + i, at + i, 0, true}};
          ASSERT_TRUE((*backend)->submit(batch));
          const auto output = (*backend)->read();
          ASSERT_TRUE(output) << output.error().message;
          tokens[0].push_back(largest(output->logits));
        }
      }
      token = tokens[together].back();
      at += steps;
    }
  }
  EXPECT_EQ(tokens[0], tokens[1]);
  EXPECT_GT(std::set<int32_t>(tokens[0].begin(), tokens[0].end()).size(), 3u) << "says too little";
}

// Sampling by the backend, with a host's Sampler on the same logits beside it.
class Sampled : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { LAMINA_SKIP_WITHOUT(GetParam()); }

  static constexpr int32_t kSteps = 20;
  static constexpr int32_t kAlways = 64;  // candidates that small devices choose from too

  // `edit` may change the rows of the output matrix.
  void prepare(int32_t vocab, const std::function<void(int32_t, std::span<float>)>& edit = {}) {
    ModelConfig config = test::small_config();
    config.vocab_size = vocab;
    model_ = test::random_model(config, DType::kF32, 0, 9);
    const WeightView& head = model_->weights.at("lm_head");
    const size_t cols = head.row_bytes() / sizeof(float);
    auto* values = static_cast<float*>(const_cast<void*>(head.values));
    for (int32_t r = 0; edit && r < vocab; ++r) edit(r, {values + static_cast<size_t>(r) * cols, cols});
    if (GetParam() == "reference") {
      backend_ = make_reference_backend(kSteps);
    } else {
      backend_ = std::move(test::make_engine_backend(GetParam(), 1)).value();
    }
    ASSERT_TRUE(backend_->prepare(*build_llama(config, model_->weights), model_->weights, {2, KvDType::kF32},
                                  rope_frequencies(config, 128), 8, 8));
  }

  Batch batch(int32_t token, int32_t at) const {
    Batch b;
    b.sequences.push_back({pages_});
    b.rows = {{token, at, at, 0, true}};
    return b;
  }

  std::vector<int32_t> by_host(Sampler sampler) {
    std::vector<int32_t> tokens = {3};
    for (int32_t i = 0; i < kSteps; ++i) {
      EXPECT_TRUE(backend_->submit(batch(tokens.back(), i)));
      const auto output = backend_->read();
      tokens.push_back(sampler.sample(output->logits));
    }
    return tokens;
  }

  std::vector<int32_t> by_backend(const Sampler& sampler, std::initializer_list<int32_t> portions) {
    std::vector<int32_t> tokens = {3};
    std::vector<float> units(kSteps);
    sampler.units(units);
    size_t at = 0;
    for (int32_t steps : portions) {
      TokenChoice choice = sampler.choice().value();
      EXPECT_LE(steps, backend_->most_steps(choice));
      choice.units = std::span(units).subspan(at, static_cast<size_t>(steps));
      const auto got = backend_->decode(batch(tokens.back(), static_cast<int32_t>(at)), steps, choice);
      EXPECT_TRUE(got) << got.error().message;
      tokens.insert(tokens.end(), got->begin(), got->end());
      at += static_cast<size_t>(steps);
    }
    return tokens;
  }

  // In how many tokens of all answers the two differ, which is none; returns how many kinds there were.
  size_t compare(const char* what, std::initializer_list<SamplingParams> all) {
    std::set<int32_t> kinds;
    for (SamplingParams params : all) {
      params.seed = 77 + kinds.size();
      const Sampler sampler(params);
      if (params.top_k > kAlways && backend_->most_steps(*sampler.choice()) == 0) continue;
      const auto want = by_host(sampler);
      EXPECT_EQ(by_backend(sampler, {7, 1, 12}), want)
          << what << ": t " << params.temperature << " k " << params.top_k << " p " << params.top_p << " min "
          << params.min_p;
      kinds.insert(want.begin(), want.end());
    }
    return kinds.size();
  }

  static SamplingParams params(float temperature, int32_t top_k, float top_p, float min_p) {
    return {.temperature = temperature, .top_k = top_k, .top_p = top_p, .min_p = min_p, .logit_bias = {}};
  }

  std::unique_ptr<test::RandomModel> model_;
  std::unique_ptr<Backend> backend_;
  const std::vector<int32_t> pages_ = {1, 0};
};

TEST_P(Sampled, TokensAreTheHostSamplersToTheToken) {
  for (int32_t vocab : {257, 1000, 32000}) {
    prepare(vocab);
    const size_t kinds = compare("noise", {params(0.8f, 40, 0.95f, 0.05f), params(0.3f, 2, 1, 0), params(5, 256, 1, 0),
                                           params(1, 200, 0.5f, 0), params(2, 100, 0.999f, 0.2f), params(3, 40, 1, 0.01f)});
    EXPECT_GT(kinds, 25u) << "says too little";
  }
}

TEST_P(Sampled, EqualsGoByTheirNumbers) {
  const auto alike = [](int32_t n) {  // rows r and r + n are the same
    return [n, first = std::vector<std::vector<float>>()](int32_t r, std::span<float> row) mutable {
      if (r < n) first.emplace_back(row.begin(), row.end());
      std::ranges::copy(first[static_cast<size_t>(r % n)], row.begin());
    };
  };
  prepare(2000, alike(17));  // some hundred are the best
  compare("hundreds", {params(1, 40, 1, 0), params(0.7f, 60, 0.6f, 0)});
  prepare(32000, alike(11));  // thousands
  compare("thousands", {params(1, 40, 1, 0), params(0.7f, 9, 0.9f, 0.05f)});
  prepare(32000, alike(1));
  compare("all", {params(1, 40, 1, 0)});
}

TEST_P(Sampled, WhatIsNoNumberIsNeverDrawn) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  prepare(3001, [&](int32_t r, std::span<float> row) {
    if (r % 100 != 7) std::ranges::fill(row, nan);
  });
  compare("30 numbers", {params(1, 40, 1, 0), params(2, 20, 0.9f, 0)});
  prepare(300, [&](int32_t, std::span<float> row) { std::ranges::fill(row, nan); });
  compare("no number", {params(1, 40, 1, 0)});
}

TEST_P(Sampled, KnowsWhatItCannotChooseBy) {
  prepare(257);
  const auto steps = [&](const SamplingParams& p) { return backend_->most_steps(*Sampler(p).choice()); };
  if (GetParam() == "reference") {  // chooses by everything
    EXPECT_GT(steps(params(1, 0, 0.9f, 0)), 1);
    return;
  }
  EXPECT_GT(steps(params(1, kAlways, 1, 0)), 1);
  EXPECT_GT(steps(params(1, 1, 1, 0)), 1);
  EXPECT_EQ(steps(params(1, 0, 0.9f, 0)), 0);
  EXPECT_EQ(steps(params(1, 257, 0.9f, 0)), 0);
  prepare(2000);
  EXPECT_EQ(steps(params(1, 257, 0.9f, 0)), 0);
}

std::vector<std::string> sampling_engines() {
  std::vector<std::string> all = test::vulkan_engines(1);
  all.push_back("reference");
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, Sampled, ::testing::ValuesIn(sampling_engines()),
                         [](const auto& engine) { return test::plain_name(engine.param); });

std::string name(const ::testing::TestParamInfo<std::tuple<std::string, KvDType>>& info) {
  const auto& [engine, kv] = info.param;
  return test::plain_name(engine) + "_" + std::string(kv_dtype_name(kv));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Decode);
INSTANTIATE_TEST_SUITE_P(Gpu, Decode,
                         ::testing::Combine(::testing::ValuesIn(test::vulkan_engines(1)),
                                            ::testing::Values(KvDType::kF32, KvDType::kF16, KvDType::kI8)),
                         name);

std::vector<std::string> variants() {
  auto engines = test::vulkan_engines();
  engines.erase(engines.begin());
  if (test::vulkan_missing().empty()) engines.push_back("vulkan:grid=1");  // decode_layers, though not by choice
  return engines;
}
INSTANTIATE_TEST_SUITE_P(GpuVariants, Decode,
                         ::testing::Combine(::testing::ValuesIn(variants()),
                                            ::testing::Values(KvDType::kF16)),
                         name);

}  // namespace
}  // namespace lamina
