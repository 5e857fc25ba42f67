// SPDX-License-Identifier: Apache-2.0
// Sequences that share a long beginning: their block tables together name far more pages than there
// are. Each row's result is that of its sequence alone: to the bit on the CPU; a GPU may take so many
// rows in tiles, which sum in another order.
#include <gtest/gtest.h>

#include "core/engine/llama.h"
#include "tests/support/engines.h"
#include "tests/support/random_model.h"

namespace lamina {
namespace {

class SharedPages : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { LAMINA_SKIP_WITHOUT(GetParam()); }
};

constexpr int32_t kShared = 5, kSequences = 8;  // pages of the beginning, and one of each sequence
constexpr int32_t kPages = kShared + kSequences;

std::vector<float> run(Backend& backend, const Batch& batch) {
  EXPECT_TRUE(backend.submit(batch));
  const auto output = backend.read();
  EXPECT_TRUE(output) << output.error().message;
  return {output->logits.begin(), output->logits.end()};
}

TEST_P(SharedPages, ManySequencesOfOneBeginning) {
  const auto model = test::random_model(test::small_config(), DType::kF32, 0, 5);
  const auto graph = build_llama(model->config, model->weights);
  ASSERT_TRUE(graph) << graph.error().message;
  auto backend = test::make_engine_backend(GetParam(), 1);
  ASSERT_TRUE(backend) << backend.error().message;
  ASSERT_TRUE((*backend)->prepare(*graph, model->weights, {kPages, KvDType::kF32},
                                  rope_frequencies(model->config, 512), kSequences, kSequences));
  std::vector<std::vector<int32_t>> tables(kSequences);
  for (int32_t s = 0; s < kSequences; ++s) {
    for (int32_t page = 0; page < kShared; ++page) tables[static_cast<size_t>(s)].push_back(page);
    tables[static_cast<size_t>(s)].push_back(kShared + s);
  }
  for (int32_t at = 0; at < kShared * kPageSize; at += kSequences) {
    Batch batch;
    batch.sequences.push_back({tables[0]});
    for (int32_t i = at; i < at + kSequences; ++i) batch.rows.push_back({i * 31 % 211, i, i, 0, false});
    ASSERT_TRUE((*backend)->submit(batch));
  }

  Batch together;
  std::vector<float> alone;
  for (int32_t s = 0; s < kSequences; ++s) {
    const int32_t at = kShared * kPageSize;
    Batch one;
    one.sequences.push_back({tables[static_cast<size_t>(s)]});
    one.rows = {{7 + s, at, at, 0, true}};
    const auto logits = run(**backend, one);
    alone.insert(alone.end(), logits.begin(), logits.end());
    together.sequences.push_back(one.sequences[0]);
    together.rows.push_back({7 + s, at, at, s, true});
  }
  const auto got = run(**backend, together);
  ASSERT_EQ(got.size(), alone.size());
  float worst = 0.0f;
  for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::fabs(got[i] - alone[i]));
  EXPECT_LE(worst, test::is_vulkan(GetParam()) ? 1e-4f : 0.0f);
}

std::string engine_name(const ::testing::TestParamInfo<std::string>& info) {
  return test::plain_name(info.param);
}

INSTANTIATE_TEST_SUITE_P(Cpu, SharedPages, ::testing::ValuesIn(cpu_isas_available()), engine_name);
INSTANTIATE_TEST_SUITE_P(Gpu, SharedPages, ::testing::ValuesIn(test::vulkan_engines(1)), engine_name);

}  // namespace
}  // namespace lamina
