// SPDX-License-Identifier: Apache-2.0
// Answers of the demo model that change their engine, or lose it, are those of an undisturbed run.
#include <gmock/gmock.h>

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

class VulkanMigration : public ::testing::Test {
 protected:
  void SetUp() override {
    if (vulkan_engines().empty()) GTEST_SKIP() << "no Vulkan device here";
    model_ = &golden_model("tests/models/storyteller", DType::kF16);
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

  // The greedy answer's text; `before_token` may move it.
  std::string answer(Survivor& s, const std::function<void(int)>& before_token = [](int) {}) {
    Session& session = *s.new_session(model_->tokenizer.get()).value();
    AnswerOptions options;
    options.sampling.temperature = 0.0f;
    options.max_new_tokens = kTokens;
    options.ignore_eos = true;
    s.begin_answer();
    const auto ids = model_->tokenizer->encode("Once upon a time, in a quiet valley,").value();
    EXPECT_TRUE(session.set_prompt(ids, options));
    std::string text;
    Session* const sessions[] = {&session};
    for (int token = 0; !session.finished(); ++token) {
      before_token(token);
      const auto worked =
          s.step(sessions, [&](Session&, const TokenEvent& event) { text += event.text; });
      EXPECT_TRUE(worked) << worked.error().message;
      if (!worked) break;
    }
    EXPECT_EQ(session.n_generated(), kTokens);
    return text;
  }

  const GoldenModel* model_ = nullptr;
  EngineOptions options_{256, 1, 64, 1, KvDType::kF16};
  SurvivorOptions survivor_options_{.snapshot_every = 16};
  std::vector<std::string> told_;
};

TEST_F(VulkanMigration, FromCpuToVulkanAndBackInMidAnswer) {
  const auto undisturbed = answer(*survivor(false));
  const auto s = survivor(false);
  std::string names;
  const auto seen = answer(*s, [&](int token) {
    if (token != 20 && token != 40) return;
    EXPECT_TRUE(s->switch_to(engine(token == 20).value()));
    names += s->engine().backend().info().name + " ";
  });
  EXPECT_EQ(names, "faulty vulkan cpu ");
  EXPECT_EQ(seen, undisturbed);
  EXPECT_TRUE(told_.empty());
}

TEST_F(VulkanMigration, LossAtEveryTenthToken) {
  const auto undisturbed = answer(*survivor(true));
  EXPECT_FALSE(undisturbed.empty());
  for (int token = 1; token < kTokens; token += 10) {
    const BackendCall call = token / 10 % 2 == 0 ? BackendCall::kSubmit : BackendCall::kRead;
    EXPECT_EQ(answer(*survivor(true, {call, 1 + token})), undisturbed) << "token " << token;
    EXPECT_THAT(told_, ElementsAre(HasSubstr("going on with")));
  }
}

// An int8 cache comes back from its own export as it was: what it was rounded to is what rounds to it.
TEST_F(VulkanMigration, LossWithAnInt8Cache) {
  options_.kv_dtype = KvDType::kI8;
  const auto undisturbed = answer(*survivor(true));
  EXPECT_FALSE(undisturbed.empty());
  EXPECT_EQ(answer(*survivor(true, {BackendCall::kSubmit, 30})), undisturbed);
  EXPECT_THAT(told_, ElementsAre(HasSubstr("going on with")));
  survivor_options_.max_recreations = 0;
  const auto s = survivor(true, {BackendCall::kRead, 30});
  EXPECT_EQ(answer(*s), undisturbed);
  EXPECT_EQ(s->engine().backend().info().name, "cpu");
}

TEST_F(VulkanMigration, TheCpuGoesOnAfterTheLastLoss) {
  const auto undisturbed = answer(*survivor(true));
  survivor_options_.max_recreations = 0;
  const auto s = survivor(true, {BackendCall::kSubmit, 30});
  EXPECT_EQ(answer(*s), undisturbed);
  EXPECT_EQ(s->engine().backend().info().name, "cpu");
}

}  // namespace
}  // namespace lamina::test
