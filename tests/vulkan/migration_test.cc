// SPDX-License-Identifier: Apache-2.0
// Answers of the demo model that change their engine, or lose it, are those of an undisturbed run.
#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "core/engine/survivor.h"
#include "tests/golden/golden_support.h"
#include "tests/support/engines.h"
#include "tests/support/faulty_backend.h"

namespace lamina::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kTokens = 60;

// What a user and a program saw of an answer.
struct Seen {
  std::string text;
  std::vector<int32_t> ids;
  int ends = 0;
  bool operator==(const Seen&) const = default;
};

// With so many tokens in a submission.
class VulkanMigration : public ::testing::TestWithParam<int32_t> {
 protected:
  void SetUp() override {
    LAMINA_SKIP_WITHOUT(vulkan_engines()[0]);
    model_ = &golden_model("tests/models/storyteller", DType::kF16);
    options_.tokens_per_submit = GetParam();
  }

  // Vulkan by `fault`; the CPU never fails.
  Result<std::unique_ptr<Engine>> engine(bool vulkan, const Fault& fault = {}) const {
    std::unique_ptr<Backend> backend;
    if (vulkan) {
      LAMINA_ASSIGN(std::unique_ptr<Backend> gpu, make_engine_backend("vulkan", 1));
      backend = std::make_unique<FaultyBackend>(std::move(gpu), fault);
    } else {
      LAMINA_ASSIGN(backend, make_engine_backend(cpu_isas_available()[0], 1));
    }
    return Engine::create(std::move(backend), model_->loaded->manifest.config,
                          model_->loaded->weights, options_);
  }

  std::unique_ptr<Survivor> survivor(bool vulkan, const Fault& fault = {}) {
    told_.clear();
    return std::make_unique<Survivor>(
        engine(vulkan, fault).value(), survivor_options_,
        [this](Survivor::Next next) { return engine(next == Survivor::Next::kSameKind); },
        [this](std::string_view line) { told_.emplace_back(line); });
  }

  // A whole greedy answer; `before_step` is told how many tokens are out and may move it.
  Seen answer(Survivor& s, const std::function<void(int)>& before_step = [](int) {}) {
    Session& session = *s.new_session(model_->tokenizer.get()).value();
    AnswerOptions options;
    options.sampling.temperature = 0.0f;
    options.max_new_tokens = kTokens;
    options.ignore_eos = true;
    s.begin_answer();
    const auto ids = model_->tokenizer->encode("Once upon a time, in a quiet valley,").value();
    EXPECT_TRUE(session.set_prompt(ids, options));
    Seen seen;
    Session* const sessions[] = {&session};
    while (!session.finished()) {
      before_step(session.n_generated());
      const auto worked = s.step(sessions, [&](Session&, const TokenEvent& event) {
        seen.text += event.text;
        if (event.token >= 0) seen.ids.push_back(event.token);
        seen.ends += event.finish != FinishReason::kNone;
      });
      EXPECT_TRUE(worked) << worked.error().message;
      if (!worked) break;
    }
    EXPECT_EQ(seen.ids.size(), static_cast<size_t>(kTokens));
    EXPECT_TRUE(std::ranges::equal(seen.ids, session.tokens().subspan(ids.size())));
    return seen;
  }

  // The calls that give the first token after the prompt's, the tenth after that, and so on.
  std::vector<Fault> faults() const {
    std::vector<Fault> all;
    for (int token = 1; token < kTokens; token += 10) {
      if (GetParam() == 1) {
        all.push_back({BackendCall::kSubmit, 1 + token});
        all.push_back({BackendCall::kRead, 1 + token});
      } else {  // before the steps of a submission, and after they have run
        all.push_back({BackendCall::kDecode, 1 + (token - 1) / GetParam()});
        all.push_back({BackendCall::kDecoded, 1 + (token - 1) / GetParam()});
      }
    }
    return all;
  }

  const GoldenModel* model_ = nullptr;
  EngineOptions options_{256, 1, 64, 1, KvDType::kF16};
  SurvivorOptions survivor_options_{.snapshot_every = 16};
  std::vector<std::string> told_;
};

TEST_P(VulkanMigration, FromCpuToVulkanAndBackInMidAnswer) {
  const Seen undisturbed = answer(*survivor(false));
  const auto s = survivor(false);
  std::string names;
  const Seen seen = answer(*s, [&](int generated) {
    const size_t moves = static_cast<size_t>(std::ranges::count(names, ' '));
    if (moves == 2 || generated < (moves == 0 ? 20 : 40)) return;
    EXPECT_TRUE(s->switch_to(engine(moves == 0).value()));
    names += s->engine().backend().info().name == "cpu" ? "cpu " : "vulkan ";
  });
  EXPECT_EQ(names, "vulkan cpu ");
  EXPECT_EQ(seen, undisturbed);
  EXPECT_TRUE(told_.empty());
}

TEST_P(VulkanMigration, SubmissionsHoldAsManyTokensAsAsked) {
  const auto s = survivor(true);
  const auto& backend = dynamic_cast<const FaultyBackend&>(s->engine().backend());
  answer(*s);
  const int decoded = GetParam() == 1 ? 0 : (kTokens - 1 + GetParam() - 1) / GetParam();
  EXPECT_EQ(backend.calls(BackendCall::kDecode), decoded);
  EXPECT_EQ(backend.calls(BackendCall::kSubmit), GetParam() == 1 ? kTokens : 1);
}

TEST_P(VulkanMigration, LossAtEveryTenthToken) {
  const Seen undisturbed = answer(*survivor(true));
  EXPECT_FALSE(undisturbed.text.empty());
  EXPECT_EQ(undisturbed.ends, 1);
  for (const Fault& fault : faults()) {
    EXPECT_EQ(answer(*survivor(true, fault)), undisturbed)
        << "call " << fault.number << " of kind " << static_cast<int>(fault.call);
    EXPECT_THAT(told_, ElementsAre(HasSubstr("going on with")));
  }
}

// An int8 cache comes back from its own export as it was: what it was rounded to is what rounds to it.
TEST_P(VulkanMigration, LossWithAnInt8Cache) {
  options_.kv_dtype = KvDType::kI8;
  const Seen undisturbed = answer(*survivor(true));
  EXPECT_EQ(answer(*survivor(true, faults()[6])), undisturbed);
  EXPECT_THAT(told_, ElementsAre(HasSubstr("going on with")));
  survivor_options_.max_recreations = 0;
  const auto s = survivor(true, faults()[7]);
  EXPECT_EQ(answer(*s), undisturbed);
  EXPECT_EQ(s->engine().backend().info().name, "cpu");
}

TEST_P(VulkanMigration, TheCpuGoesOnAfterTheLastLoss) {
  const Seen undisturbed = answer(*survivor(true));
  survivor_options_.max_recreations = 0;
  for (const Fault& fault : {faults()[6], faults()[7]}) {  // of the 31st token
    const auto s = survivor(true, fault);
    EXPECT_EQ(answer(*s), undisturbed);
    EXPECT_EQ(s->engine().backend().info().name, "cpu");
    EXPECT_EQ(told_.size(), 1u);
  }
}

std::string tokens_per_submit(const ::testing::TestParamInfo<int32_t>& info) {
  return std::to_string(info.param);
}

INSTANTIATE_TEST_SUITE_P(TokensPerSubmit, VulkanMigration, ::testing::Values(1, 8),
                         tokens_per_submit);

}  // namespace
}  // namespace lamina::test
