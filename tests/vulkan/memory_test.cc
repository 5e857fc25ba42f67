// SPDX-License-Identifier: Apache-2.0
// A device too small for a model gives the same bits: layers take turns in what memory there is.
#include <gmock/gmock.h>

#include <chrono>

#include "core/engine/llama.h"
#include "core/engine/survivor.h"
#include "native/platform/synthetic.h"
#include "tests/golden/golden_support.h"
#include "tests/support/engines.h"
#include "tests/support/faulty_backend.h"

namespace lamina::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kStoryteller = "tests/models/storyteller";
constexpr uint64_t kMiB = uint64_t{1} << 20;

class VulkanMemory : public ::testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    LAMINA_SKIP_WITHOUT(vulkan_engines()[0]);
    model_ = &golden_model(kStoryteller, GetParam());
  }

  std::unique_ptr<VulkanBackend> backend(uint64_t budget, const std::string& variant = "") const {
    VulkanOptions options;
    options.memory_budget = budget;
    options.variant = variant;
    return make_vulkan_backend(options).value();
  }

  struct Opened {
    std::unique_ptr<Engine> engine;
    const VulkanBackend* vulkan;
  };
  Result<Opened> open(uint64_t budget, const std::string& variant = "") const {
    auto made = backend(budget, variant);
    Opened opened{nullptr, made.get()};
    LAMINA_ASSIGN(opened.engine, Engine::create(std::move(made), config(), model_->loaded->weights, options_));
    return opened;
  }

  const ModelConfig& config() const { return model_->loaded->manifest.config; }

  // Of the device, with everything there.
  MemoryPlan whole() const { return open(0).value().vulkan->plan(); }

  // Budgets from one with a layer less than all down to the least.
  std::vector<uint64_t> budgets() const {
    const MemoryPlan all = whole();
    EXPECT_FALSE(all.swaps());
    const uint64_t needed = all.heaps[0].needed();
    const auto least = open(needed - kMiB / 1024).value().vulkan->plan();
    const auto layers = static_cast<uint64_t>(least.n_layers - 2);
    return {needed - 1024, needed - layers / 2 * least.slot_bytes, needed - layers * least.slot_bytes};
  }

  std::vector<int32_t> greedy(Engine& engine, int32_t n) const {
    Session session = engine.new_session(model_->tokenizer.get()).value();
    AnswerOptions options;
    options.sampling.temperature = 0.0f;
    options.max_new_tokens = n;
    options.ignore_eos = true;
    EXPECT_TRUE(session.set_prompt(prompt(), options));
    std::vector<int32_t> ids;
    EXPECT_TRUE(engine.generate(session, [&](const TokenEvent& event) {
      ids.push_back(event.token);
      return true;
    }));
    return ids;
  }

  std::vector<int32_t> prompt() const {
    return model_->tokenizer->encode("Once upon a time, in a quiet valley, a fox had lost its lantern.").value();
  }

  const GoldenModel* model_ = nullptr;
  EngineOptions options_{256, 1, 64, 64, KvDType::kF16};
};

TEST_P(VulkanMemory, SwappedLayersGiveTheSameBits) {
  const auto all = open(0).value();
  const auto logits = logits_of(*all.engine, prompt());
  const auto tokens = greedy(*all.engine, 20);
  int32_t resident = config().n_layers;
  for (const uint64_t budget : budgets()) {
    for (const char* variant : {"", "chunk=64"}) {  // layers in one copy, and in many
      const auto small = open(budget, variant).value();
      const MemoryPlan& plan = small.vulkan->plan();
      EXPECT_TRUE(plan.swaps());
      EXPECT_LE(plan.heaps[0].needed(), budget);
      EXPECT_LE(plan.resident_layers, resident);
      resident = plan.resident_layers;
      EXPECT_EQ(logits_of(*small.engine, prompt()), logits) << budget << variant;
      EXPECT_EQ(greedy(*small.engine, 20), tokens) << budget << variant;
      EXPECT_LE(small.vulkan->memory().weight_bytes + small.vulkan->memory().kv_bytes, budget);
    }
  }
  EXPECT_EQ(resident, 0);
}

TEST_P(VulkanMemory, WhatDoesNotFitIsToldInNumbers) {
  const auto opened = open(kMiB / 2);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kOutOfMemory);
  EXPECT_THAT(opened.error().message,
              AllOf(HasSubstr("at least"), HasSubstr("KV cache"), HasSubstr("activations"),
                    HasSubstr("slots"), HasSubstr("budget is 0.50 MiB"), HasSubstr("--memory-budget"),
                    HasSubstr("--backend cpu")));
}

// The device says that it has gigabytes and gives less: prepare() tries again with less.
TEST_P(VulkanMemory, ADeviceThatHasLessThanItSays) {
  const auto tokens = greedy(*open(0).value().engine, 8);
  const uint64_t less = budgets()[1];
  const auto opened = open(0, "memory=" + std::to_string(less / 1024));
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_TRUE(opened->vulkan->plan().swaps());
  EXPECT_EQ(greedy(*opened->engine, 8), tokens);

  const auto hopeless = open(0, "memory=512");
  ASSERT_FALSE(hopeless);
  EXPECT_EQ(hopeless.error().code, Code::kOutOfMemory);
}

TEST_P(VulkanMemory, PlansWithoutAllocating) {
  const Graph graph = build_llama(config(), model_->loaded->weights).value();
  const KvShape kv{4, KvDType::kF16};
  const auto small = backend(0, "memory=0");
  const MemoryPlan plan = small->plan(graph, kv, 64, 64).value();
  EXPECT_FALSE(plan.swaps());
  EXPECT_EQ(plan.heaps[0].needed(), whole().heaps[0].needed());
}

TEST_P(VulkanMemory, ALossInTheMiddleIsSurvived) {
  const uint64_t budget = budgets()[1];
  const auto answer = [&](const Fault& fault) {
    const auto engine = [&, faults = 0](Survivor::Next) mutable -> Result<std::unique_ptr<Engine>> {
      auto faulty = std::make_unique<FaultyBackend>(backend(budget), faults++ == 0 ? fault : Fault{});
      return Engine::create(std::move(faulty), config(), model_->loaded->weights, options_);
    };
    auto make = std::function<Result<std::unique_ptr<Engine>>(Survivor::Next)>(engine);
    Survivor survivor(make(Survivor::Next::kSameKind).value(), {.snapshot_every = 16}, make,
                      [](std::string_view) {});
    Session& session = *survivor.new_session(model_->tokenizer.get()).value();
    AnswerOptions options;
    options.sampling.temperature = 0.0f;
    options.max_new_tokens = 30;
    options.ignore_eos = true;
    survivor.begin_answer();
    EXPECT_TRUE(session.set_prompt(prompt(), options));
    std::string text;
    Session* const sessions[] = {&session};
    while (!session.finished()) {
      const auto worked = survivor.step(sessions, [&](Session&, const TokenEvent& e) { text += e.text; });
      EXPECT_TRUE(worked) << worked.error().message;
      if (!worked) break;
    }
    return text;
  };
  const std::string undisturbed = answer({});
  EXPECT_FALSE(undisturbed.empty());
  EXPECT_EQ(answer({BackendCall::kSubmit, 9}), undisturbed);
  EXPECT_EQ(answer({BackendCall::kRead, 20}), undisturbed);
}

// By hand, where there is a GPU: --gtest_also_run_disabled_tests.
TEST(VulkanMemoryAtSize, DISABLED_SevenBillionIn3GiB) {
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const auto model = make_synthetic("llama-2-7b", DType::kI8, 0).value();
  std::vector<int32_t> ids(100);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 131 % 32000);
  const auto run = [&](uint64_t budget) {
    VulkanOptions wanted;
    wanted.memory_budget = budget;
    const auto start = Clock::now();
    const auto engine = Engine::create(make_vulkan_backend(wanted).value(), model->manifest.config, model->weights,
                                       {512, 1, 512, 64, KvDType::kF16}).value();
    printf("budget %llu MiB: ready in %.2f s\n", static_cast<unsigned long long>(budget / kMiB),
           seconds_since(start));
    std::vector<float> logits = logits_of(*engine, ids);
    const auto decode = Clock::now();
    constexpr size_t kSteps = 16;
    for (size_t i = 0; i < kSteps; ++i) {
      const auto one = logits_of(*engine, std::span(ids).subspan(i, 1));
      logits.insert(logits.end(), one.begin(), one.end());
    }
    printf("  %.1f steps of one token a second\n", kSteps / seconds_since(decode));
    return logits;
  };
  EXPECT_EQ(run(3 * 1024 * kMiB), run(0));
}

std::string precision(const ::testing::TestParamInfo<DType>& info) {
  return std::string(dtype_name(info.param));
}

INSTANTIATE_TEST_SUITE_P(All, VulkanMemory, ::testing::Values(DType::kF16, DType::kI8), precision);

}  // namespace
}  // namespace lamina::test
