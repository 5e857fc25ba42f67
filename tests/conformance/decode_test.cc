// SPDX-License-Identifier: Apache-2.0
// Backend::decode against steps one by one: the same tokens, and a cache that goes on as if.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

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
    ASSERT_GT((*backend)->most_steps(), 1);
    int32_t token = 3, at = 0;
    // Across a page border, and single steps between submissions.
    for (int32_t steps : {1, 17, 1, (*backend)->most_steps(), 23}) {
      Batch batch;
      batch.sequences.push_back({pages});
      if (together) {
        batch.rows = {{token, at, at, 0, true}};
        const auto got = (*backend)->decode(batch, steps);
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

std::string name(const ::testing::TestParamInfo<std::tuple<std::string, KvDType>>& info) {
  const auto& [engine, kv] = info.param;
  return test::plain_name(engine) + "_" + std::string(kv_dtype_name(kv));
}

INSTANTIATE_TEST_SUITE_P(Gpu, Decode,
                         ::testing::Combine(::testing::ValuesIn(test::vulkan_engines(1)),
                                            ::testing::Values(KvDType::kF32, KvDType::kF16, KvDType::kI8)),
                         name);

std::vector<std::string> variants() {
  auto engines = test::vulkan_engines();
  engines.erase(engines.begin());
  return engines;
}
INSTANTIATE_TEST_SUITE_P(GpuVariants, Decode,
                         ::testing::Combine(::testing::ValuesIn(variants()),
                                            ::testing::Values(KvDType::kF16)),
                         name);

}  // namespace
}  // namespace lamina
