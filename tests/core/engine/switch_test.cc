// SPDX-License-Identifier: Apache-2.0
// Conversations that move between engines in the middle of an answer.
#include <gmock/gmock.h>

#include "tests/core/engine/survival.h"

namespace lamina::test {
namespace {

class SwitchTest : public SurvivalTest {
 protected:
  // An answer that changes engines before each step that `at` names; the first is `first`.
  Transcript switching(Kind first, const AnswerOptions& options, std::vector<int> at,
                       AtLimit at_limit = AtLimit::kStop) {
    const auto s = survivor(first, {});
    Session& session = *s->new_session(&tokenizer_, at_limit).value();
    EXPECT_TRUE(session.set_prompt(prompt(90), options));
    Kind now = first;
    int step = 0;
    const Result<Transcript> seen = finish(*s, session, [&] {
      if (std::ranges::find(at, ++step) == at.end()) return;
      now = now == Kind::kCpu ? Kind::kReference : Kind::kCpu;
      const Result<void> moved = s->switch_to(engine(now));
      EXPECT_TRUE(moved) << moved.error().message;
    });
    EXPECT_TRUE(seen);
    EXPECT_TRUE(told_.empty());
    return seen ? *seen : Transcript{};
  }
};

TEST_F(SwitchTest, BothDirectionsAtAnyTokenKeepTheAnswer) {
  const Transcript cpu = switching(Kind::kCpu, greedy(60), {});
  const Transcript reference = switching(Kind::kReference, greedy(60), {});
  ASSERT_EQ(cpu, reference) << "this model's greedy answer does not depend on rounding";
  for (int step = 1; step < 62; step += 6) {
    EXPECT_EQ(switching(Kind::kCpu, greedy(60), {step}), cpu) << "to reference, step " << step;
    EXPECT_EQ(switching(Kind::kReference, greedy(60), {step}), cpu) << "to cpu, step " << step;
  }
  EXPECT_EQ(switching(Kind::kCpu, greedy(60), {2, 3, 10, 40, 60}), cpu) << "to and fro";
}

TEST_F(SwitchTest, TheSamplersStateMovesToo) {
  // Between engines of one kind nothing is rounded differently, so draws must agree exactly.
  const auto run = [&](bool move) {
    const auto s = survivor(Kind::kCpu, {});
    Session& session = *s->new_session(&tokenizer_).value();
    EXPECT_TRUE(session.set_prompt(prompt(90), sampled(60)));
    return finish(*s, session,
                  [&] {
                    if (!move) return;
                    EXPECT_TRUE(s->switch_to(engine(Kind::kCpu)));
                  })
        .value();
  };
  EXPECT_EQ(run(true), run(false));
}

TEST_F(SwitchTest, AnEngineThatFailsToTakeTheConversationChangesNothing) {
  const Transcript undisturbed = answer(Kind::kReference, prompt(90), sampled(30));
  for (const Fault& fault : {Fault{BackendCall::kImport, 1}, Fault{BackendCall::kImport, 2}}) {
    const auto s = survivor(Kind::kReference, {});
    Session& session = *s->new_session(&tokenizer_).value();
    ASSERT_TRUE(session.set_prompt(prompt(90), sampled(30)));
    Engine* const before = &s->engine();
    const auto seen = finish(*s, session, [&] {
      if (session.n_generated() != 7) return;
      EXPECT_FALSE(s->switch_to(engine(Kind::kCpu, fault)));
    });
    EXPECT_EQ(seen.value(), undisturbed);
    EXPECT_EQ(&s->engine(), before);
  }
}

TEST_F(SwitchTest, AwayFromADeviceThatIsLostMeanwhile) {
  survivor_options_.snapshot_every = 1;
  const Transcript undisturbed = answer(Kind::kReference, prompt(90), sampled(30));
  // The last copy before the switch fails, or the switch's own first or second page.
  for (int number : {20, 21, 22}) {
    const auto s = survivor(Kind::kReference, {BackendCall::kExport, number});
    const auto& first = dynamic_cast<FaultyBackend&>(s->engine().backend());
    Session& session = *s->new_session(&tokenizer_).value();
    ASSERT_TRUE(session.set_prompt(prompt(90), sampled(30)));
    const auto seen = finish(*s, session, [&] {
      if (session.n_generated() != 17) return;
      EXPECT_EQ(first.lost(), number == 20);
      EXPECT_TRUE(s->switch_to(engine(Kind::kReference)));
    });
    EXPECT_EQ(seen.value(), undisturbed);
    EXPECT_TRUE(asked_.empty());
  }
}

TEST_F(SwitchTest, CopiesAreForgottenWhereTheyAreNotNeeded) {
  const auto s = survivor(Kind::kReference, {});
  Session& session = *s->new_session(&tokenizer_).value();
  ASSERT_TRUE(answer(*s, session, prompt(90), sampled(30)));
  EXPECT_GT(s->snapshot_bytes(), 0u);
  ASSERT_TRUE(s->switch_to(
      Engine::create(make_reference_backend(), model_->config, model_->weights, engine_options_)
          .value()));
  EXPECT_EQ(s->snapshot_bytes(), 0u);
  ASSERT_TRUE(answer(*s, session, prompt(91), sampled(30)));
  EXPECT_EQ(s->snapshot_bytes(), 0u);
}

// What follows is Engine::adopt alone, without a survivor.

TEST_F(SwitchTest, PageCountsAndKvTypesMayDiffer) {
  const auto first = engine(Kind::kReference);
  for (KvDType dtype : {KvDType::kF32, KvDType::kF16, KvDType::kI8}) {
    engine_options_ = {500, 1, 17, 40, dtype};
    const auto second = engine(Kind::kReference);
    auto s = *first->new_session(&tokenizer_);
    ASSERT_TRUE(s.set_prompt(prompt(90), greedy(24)));
    Session* const only[] = {&s};
    while (s.n_generated() < 10) {
      ASSERT_TRUE(first->step(only, [](Session&, const TokenEvent&) {}));
    }
    const std::vector<int32_t> so_far(s.tokens().begin(), s.tokens().end());
    ASSERT_TRUE(second->adopt(s, *first));
    EXPECT_EQ(first->pool().n_free(), first->pool().n_pages());
    EXPECT_EQ(s.n_cached(), 99);
    ASSERT_TRUE(second->generate(s, [](const TokenEvent&) { return true; }));
    EXPECT_EQ(s.n_generated(), 24);
    EXPECT_TRUE(std::ranges::equal(s.tokens().first(so_far.size()), so_far));

    if (dtype == KvDType::kI8) continue;  // int8 keys may choose other words
    auto stay = *first->new_session(&tokenizer_);
    ASSERT_TRUE(stay.set_prompt(prompt(90), greedy(24)));
    ASSERT_TRUE(first->generate(stay, [](const TokenEvent&) { return true; }));
    EXPECT_TRUE(std::ranges::equal(s.tokens(), stay.tokens()));
  }
}

TEST_F(SwitchTest, ASmallerContextEndsTheAnswerThereOrRefuses) {
  const auto first = engine(Kind::kReference);
  std::unique_ptr<Engine> second, third;  // outlive the session
  auto s = *first->new_session(&tokenizer_);
  ASSERT_TRUE(s.set_prompt(prompt(90), greedy(-1)));
  Session* const only[] = {&s};
  ASSERT_TRUE(first->step(only, [](Session&, const TokenEvent&) {}));  // 40 of the 90
  engine_options_.context = 89;
  engine_options_.n_sequences = 1;
  const auto refused = engine(Kind::kReference)->adopt(s, *first);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_EQ(s.n_cached(), 40);
  EXPECT_EQ(first->pool().n_free(), first->pool().n_pages() - 1);

  engine_options_.context = 100;
  second = engine(Kind::kReference);
  ASSERT_TRUE(second->adopt(s, *first));
  ASSERT_TRUE(second->generate(s, [](const TokenEvent&) { return true; }));
  EXPECT_EQ(s.finish_reason(), FinishReason::kContext);
  EXPECT_EQ(s.n_cached(), 100);
  // It keeps the smaller limit where there is room again.
  engine_options_.context = 256;
  third = engine(Kind::kReference);
  ASSERT_TRUE(third->adopt(s, *second));
  EXPECT_FALSE(s.set_prompt(prompt(101), greedy(1)));
  EXPECT_TRUE(s.set_prompt(prompt(100), greedy(1)));
}

TEST_F(SwitchTest, NoFreePagesLeaveTheSessionWhereItIs) {
  engine_options_.n_sequences = 1;
  const auto first = engine(Kind::kReference);
  const auto second = engine(Kind::kReference);
  auto squatter = *second->new_session(&tokenizer_);
  ASSERT_TRUE(squatter.set_prompt(prompt(200), greedy(1)));
  ASSERT_TRUE(second->generate(squatter, [](const TokenEvent&) { return true; }));
  auto s = *first->new_session(&tokenizer_);
  ASSERT_TRUE(s.set_prompt(prompt(90), greedy(5)));
  Session* const only[] = {&s};
  ASSERT_TRUE(first->step(only, [](Session&, const TokenEvent&) {}));
  ASSERT_TRUE(first->step(only, [](Session&, const TokenEvent&) {}));
  const auto refused = second->adopt(s, *first);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_EQ(second->pool().n_free(), 0);
  EXPECT_TRUE(first->generate(s, [](const TokenEvent&) { return true; }));
}

TEST_F(SwitchTest, SlidingSessionsMoveWithTurnedSinks) {
  engine_options_.context = 192;
  const auto run = [&](std::vector<int> at) {
    return switching(Kind::kReference, greedy(300), std::move(at), AtLimit::kSlide);
  };
  const Transcript undisturbed = run({});
  ASSERT_EQ(undisturbed.ids.size(), 300u);
  for (const std::vector<int>& at :
       std::vector<std::vector<int>>{{50}, {105}, {106}, {170, 171}, {20, 105, 190, 290}}) {
    EXPECT_EQ(run(at), undisturbed) << "steps " << ::testing::PrintToString(at);
  }
}

TEST_F(SwitchTest, ASlidingSessionNeedsThreePagesThere) {
  engine_options_.context = 256;
  const auto first = engine(Kind::kReference);
  std::unique_ptr<Engine> second;  // outlives the session
  auto s = *first->new_session(&tokenizer_, AtLimit::kSlide);
  ASSERT_TRUE(s.set_prompt(prompt(90), greedy(400)));
  Session* const only[] = {&s};
  ASSERT_TRUE(first->step(only, [](Session&, const TokenEvent&) {}));
  engine_options_.context = 191;
  EXPECT_FALSE(engine(Kind::kReference)->adopt(s, *first));
  engine_options_.context = 200;  // of which three pages count
  engine_options_.n_sequences = 1;
  second = engine(Kind::kReference);
  ASSERT_TRUE(second->adopt(s, *first));
  ASSERT_TRUE(second->generate(s, [](const TokenEvent&) { return true; }));
  EXPECT_EQ(s.n_generated(), 400);
  EXPECT_LE(s.n_cached(), 192);
}

TEST_F(SwitchTest, WhereKeysAreTurnedByOtherFrequenciesAllIsComputedAgain) {
  ModelConfig config = model_->config;
  config.max_positions = 64;
  config.rope.type = RopeType::kDynamic;
  config.rope.factor = 2.0;
  config.rope.original_max_positions = 64;
  set_config(config);
  const auto first = engine(Kind::kReference);
  std::unique_ptr<Engine> second;  // outlives the session
  auto s = *first->new_session(&tokenizer_);
  ASSERT_TRUE(s.set_prompt(prompt(90), greedy(20)));
  Session* const only[] = {&s};
  while (s.n_generated() < 10) {
    ASSERT_TRUE(first->step(only, [](Session&, const TokenEvent&) {}));
  }
  engine_options_.context = 500;
  second = engine(Kind::kReference);
  ASSERT_NE(second->rope().inv_freq, first->rope().inv_freq);
  const std::vector<int32_t> so_far(s.tokens().begin(), s.tokens().end());
  ASSERT_TRUE(second->adopt(s, *first));
  EXPECT_EQ(s.n_cached(), 0);
  ASSERT_TRUE(second->generate(s, [](const TokenEvent&) { return true; }));

  auto fresh = *second->new_session(&tokenizer_);
  ASSERT_TRUE(fresh.set_prompt(so_far, greedy(10)));
  ASSERT_TRUE(second->generate(fresh, [](const TokenEvent&) { return true; }));
  EXPECT_TRUE(std::ranges::equal(s.tokens(), fresh.tokens()));
}

}  // namespace
}  // namespace lamina::test
