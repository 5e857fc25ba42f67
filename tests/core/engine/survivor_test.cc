// SPDX-License-Identifier: Apache-2.0
// Answers whose device is lost at any moment are the answers of an undisturbed run.
#include "core/engine/survivor.h"

#include <gmock/gmock.h>

#include "tests/core/engine/survival.h"

namespace lamina::test {
namespace {

using Next = Survivor::Next;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(SurvivalTest, LossAtEveryTenthTokenAndEveryKindOfStepCall) {
  const auto ids = prompt(70);  // two steps of 40 rows at most
  for (Kind kind : {Kind::kReference, Kind::kCpu}) {
    const Transcript undisturbed = answer(kind, ids, sampled(100));
    ASSERT_EQ(undisturbed.ids.size(), 100u);
    EXPECT_FALSE(undisturbed.text.empty());
    EXPECT_TRUE(told_.empty());
    // The oracle takes its time, above all under a sanitizer.
    for (int token = 0; token < 100; token += kind == Kind::kCpu ? 10 : 40) {
      for (BackendCall call : {BackendCall::kSubmit, BackendCall::kRead}) {
        const Transcript seen = answer(kind, ids, sampled(100), {call, 2 + token});
        EXPECT_EQ(seen, undisturbed) << "token " << token;
        EXPECT_THAT(told_, ElementsAre(HasSubstr("the test's device is gone; going on with")));
        EXPECT_THAT(asked_, ElementsAre(Next::kSameKind));
      }
    }
  }
}

TEST_F(SurvivalTest, LossInsideADecodeOfSeveralTokens) {
  survivor_options_.snapshot_every = 16;
  const auto ids = prompt(70);
  for (const AnswerOptions& options : {without_penalty(greedy(44)), without_penalty(sampled(44))}) {
    decodes_ = false;
    const Transcript one_by_one = answer(Kind::kReference, ids, options);
    decodes_ = true;
    EXPECT_EQ(answer(Kind::kReference, ids, options), one_by_one);
    for (int number : {1, 3, 6}) {
      for (BackendCall call : {BackendCall::kDecode, BackendCall::kDecoded}) {
        EXPECT_EQ(answer(Kind::kReference, ids, options, {call, number}), one_by_one) << number;
        EXPECT_EQ(told_.size(), 1u);
      }
    }
  }
}

TEST_F(SurvivalTest, LossInsideADecodeOfASlidingSession) {
  decodes_ = true;
  survivor_options_.snapshot_every = 1;  // as below
  engine_options_.context = 192;
  const auto run = [&](const Fault& fault) {
    return answer(Kind::kReference, prompt(150), without_penalty(greedy(80)), fault, {}, AtLimit::kSlide);
  };
  const Transcript undisturbed = run({});
  for (int number : {4, 7, 10}) {  // before the slide, after it
    EXPECT_EQ(run({BackendCall::kDecoded, number}), undisturbed) << number;
    EXPECT_EQ(told_.size(), 1u);
  }
}

TEST_F(SurvivalTest, LossInsideADecodeThatAStopStringEnds) {
  decodes_ = true;
  const auto ids = prompt(40);
  const Transcript whole = answer(Kind::kReference, ids, without_penalty(greedy(40)));
  AnswerOptions options = without_penalty(greedy(40));
  options.stop = {whole.text.substr(whole.text.size() * 2 / 3, 9)};
  const Transcript undisturbed = answer(Kind::kReference, ids, options);
  ASSERT_EQ(undisturbed.finish, FinishReason::kStop);
  const auto together = static_cast<size_t>(engine_options_.tokens_per_submit);
  ASSERT_GT(undisturbed.ids.size(), 1 + together);
  for (int number = 1; 1 + static_cast<size_t>(number - 1) * together < undisturbed.ids.size(); ++number) {
    EXPECT_EQ(answer(Kind::kReference, ids, options, {BackendCall::kDecoded, number}), undisturbed);
    EXPECT_EQ(told_.size(), 1u);
  }
}

TEST_F(SurvivalTest, LossDuringPrefill) {
  const auto ids = prompt(150);
  const Transcript undisturbed = answer(Kind::kReference, ids, sampled(12));
  for (int chunk = 1; chunk <= 4; ++chunk) {
    EXPECT_EQ(answer(Kind::kReference, ids, sampled(12), {BackendCall::kSubmit, chunk}),
              undisturbed);
    EXPECT_EQ(told_.size(), 1u);
  }
}

TEST_F(SurvivalTest, LossWhileTheSnapshotIsTaken) {
  survivor_options_.snapshot_every = 10;
  const auto ids = prompt(90);
  const Transcript undisturbed = answer(Kind::kCpu, ids, sampled(80));
  for (int n = 1; n <= 12; ++n) {
    EXPECT_EQ(answer(Kind::kCpu, ids, sampled(80), {BackendCall::kExport, n}), undisturbed);
    // Where the last token was out already, nobody has to be replaced or told.
    EXPECT_LE(told_.size(), 1u);
  }
  EXPECT_EQ(answer(Kind::kCpu, ids, sampled(80), {BackendCall::kExport, 3}), undisturbed);
  EXPECT_EQ(told_.size(), 1u);
}

TEST_F(SurvivalTest, TheSnapshotSavesComputing) {
  const auto ids = prompt(150);
  survivor_options_.snapshot_every = 1;
  const Transcript undisturbed = answer(Kind::kReference, ids, sampled(40));
  EXPECT_EQ(answer(Kind::kReference, ids, sampled(40), {BackendCall::kSubmit, 30}), undisturbed);
  EXPECT_THAT(told_, ElementsAre(HasSubstr("nothing has to be computed again")));
  survivor_options_.snapshot_every = 0;
  EXPECT_EQ(answer(Kind::kReference, ids, sampled(40), {BackendCall::kSubmit, 30}), undisturbed);
  EXPECT_THAT(told_, ElementsAre(HasSubstr("computing 175 of 175 positions again")));
}

TEST_F(SurvivalTest, SnapshotsKeepToTheirLimit) {
  const auto ids = prompt(150);
  const uint64_t page = kv_export_size(model_->config, kPageSize) * sizeof(uint16_t);
  const Transcript undisturbed = answer(Kind::kReference, ids, sampled(40));
  survivor_options_.snapshot_every = 1;
  survivor_options_.snapshot_bytes = 2 * page + 10;
  const auto s = survivor(Kind::kReference, {BackendCall::kSubmit, 30});
  Session& session = *s->new_session(&tokenizer_).value();
  EXPECT_EQ(answer(*s, session, ids, sampled(40)).value(), undisturbed);
  EXPECT_EQ(s->snapshot_bytes(), 2 * page);
  EXPECT_THAT(told_, ElementsAre(HasSubstr("computing 47 of 175 positions again")));
}

TEST_F(SurvivalTest, LossOfTheReplacementToo) {
  survivor_options_.snapshot_every = 8;
  const auto ids = prompt(70);
  const Transcript undisturbed = answer(Kind::kCpu, ids, sampled(60));
  const Fault first{BackendCall::kSubmit, 20};
  for (const Fault& second : {Fault{BackendCall::kPrepare, 1}, Fault{BackendCall::kImport, 1},
                              Fault{BackendCall::kImport, 2}, Fault{BackendCall::kSubmit, 1},
                              Fault{BackendCall::kRead, 5}, Fault{BackendCall::kExport, 1}}) {
    EXPECT_EQ(answer(Kind::kCpu, ids, sampled(60), first, {second}), undisturbed);
    EXPECT_THAT(asked_, ElementsAre(Next::kSameKind, Next::kSameKind));
  }
}

TEST_F(SurvivalTest, TheThirdLossEndsOnTheCpu) {
  engine_options_.kv_dtype = KvDType::kF32;
  const auto ids = prompt(70);
  const Transcript undisturbed = answer(Kind::kReference, ids, greedy(60));
  const Fault fault{BackendCall::kSubmit, 9};
  EXPECT_EQ(answer(Kind::kReference, ids, greedy(60), fault, {fault, fault}), undisturbed);
  EXPECT_THAT(asked_, ElementsAre(Next::kSameKind, Next::kSameKind, Next::kFallback));
  ASSERT_EQ(told_.size(), 3u);
  EXPECT_THAT(told_.back(), HasSubstr("going on with faulty cpu"));
}

TEST_F(SurvivalTest, OutOfMemoryIsSurvivedAndOneLineNamesWhatElseFailed) {
  const auto ids = prompt(70);
  engine_options_.kv_dtype = KvDType::kF32;
  const Transcript undisturbed = answer(Kind::kReference, ids, greedy(60));
  const Fault again{BackendCall::kPrepare, 1, Code::kOutOfMemory};
  EXPECT_EQ(answer(Kind::kReference, ids, greedy(60), {BackendCall::kSubmit, 9, Code::kOutOfMemory},
                   {again, again}),
            undisturbed);
  EXPECT_THAT(told_, ElementsAre(::testing::AllOf(HasSubstr("in its place: the test's device"),
                                                  HasSubstr("going on with faulty cpu"))));
}

TEST_F(SurvivalTest, WhenNothingIsLeftTheErrorComesAndTheNextAnswerTriesAgain) {
  const auto ids = prompt(70);
  const Transcript undisturbed = answer(Kind::kReference, ids, sampled(30));
  const Fault dead{BackendCall::kPrepare, 1};
  const auto s = survivor(Kind::kReference, {BackendCall::kSubmit, 12}, {dead, dead, dead});
  Session& session = *s->new_session(&tokenizer_).value();
  s->begin_answer();
  ASSERT_TRUE(session.set_prompt(ids, sampled(30)));
  Transcript seen;
  Session* const sessions[] = {&session};
  const auto step = [&] {
    return s->step(sessions, [&](Session&, const TokenEvent& event) { seen.add(event); });
  };
  Result<bool> worked = step();
  while (worked && *worked) worked = step();
  ASSERT_FALSE(worked);
  EXPECT_EQ(worked.error().code, Code::kDevice);
  EXPECT_EQ(seen.ids.size(), 10u);
  EXPECT_TRUE(told_.empty());
  EXPECT_FALSE(s->engine().has_backend());
  EXPECT_FALSE(step());  // its attempts are used up
  EXPECT_EQ(asked_.size(), 3u);

  s->begin_answer();
  while (!session.finished()) ASSERT_TRUE(step().value());
  EXPECT_EQ(seen, undisturbed);
  EXPECT_EQ(told_.size(), 1u);
}

TEST_F(SurvivalTest, ErrorsThatAreNotTheDevicesAreNotSurvived) {
  const auto ids = prompt(70);
  const auto s = survivor(Kind::kReference, {BackendCall::kSubmit, 3, Code::kInvalidArgument});
  Session& session = *s->new_session(&tokenizer_).value();
  const auto seen = answer(*s, session, ids, sampled(30));
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, Code::kInvalidArgument);
  EXPECT_TRUE(asked_.empty());
}

TEST_F(SurvivalTest, TextHeldBackForAStopStringIsNotLostOrRepeated) {
  const auto ids = prompt(40);
  const Transcript whole = answer(Kind::kCpu, ids, sampled(60));
  AnswerOptions options = sampled(60);
  options.stop = {whole.text.substr(whole.text.size() * 2 / 3, 9)};
  const Transcript undisturbed = answer(Kind::kCpu, ids, options);
  ASSERT_EQ(undisturbed.finish, FinishReason::kStop);
  for (int step = 1; step <= static_cast<int>(undisturbed.ids.size()); ++step) {
    EXPECT_EQ(answer(Kind::kCpu, ids, options, {BackendCall::kRead, step}), undisturbed);
  }
}

TEST_F(SurvivalTest, ASecondTurnThatGoesBackRestoresOnlyWhatStillHolds) {
  survivor_options_.snapshot_every = 16;
  std::vector<int32_t> second = prompt(100);
  for (int32_t id : prompt(60, 5)) second.push_back(id);
  const auto both_turns = [&](const Fault& fault) {
    const auto s = survivor(Kind::kCpu, fault);
    Session& session = *s->new_session(&tokenizer_).value();
    EXPECT_TRUE(answer(*s, session, prompt(130), sampled(20)));
    return answer(*s, session, second, sampled(20)).value();
  };
  const Transcript undisturbed = both_turns({});
  for (int step = 24; step < 46; step += 2) {
    EXPECT_EQ(both_turns({BackendCall::kSubmit, step}), undisturbed) << "step " << step;
    EXPECT_EQ(told_.size(), 1u);
  }
}

TEST_F(SurvivalTest, EverySessionOfTheEngineSurvives) {
  const auto run = [&](const Fault& fault) {
    const auto s = survivor(Kind::kCpu, fault);
    std::vector<Session*> sessions;
    std::vector<Transcript> seen(3);
    for (int32_t i = 0; i < 3; ++i) {
      sessions.push_back(s->new_session(&tokenizer_).value());
      EXPECT_TRUE(sessions.back()->set_prompt(prompt(20 + 50 * i, i), sampled(30 + i)));
    }
    for (;;) {
      const auto worked = s->step(sessions, [&](Session& session, const TokenEvent& event) {
        seen[static_cast<size_t>(std::ranges::find(sessions, &session) - sessions.begin())].add(
            event);
      });
      EXPECT_TRUE(worked) << worked.error().message;
      if (!worked || !*worked) break;
    }
    s->close(*sessions[1]);
    EXPECT_GT(s->engine().pool().n_free(), 0);
    return seen;
  };
  const auto undisturbed = run({});
  EXPECT_EQ(undisturbed[2].ids.size(), 32u);
  for (int step = 1; step < 34; step += 3) {
    EXPECT_EQ(run({BackendCall::kRead, step}), undisturbed) << "step " << step;
    EXPECT_EQ(told_.size(), 1u);
  }
}

TEST_F(SurvivalTest, ASlidingSessionSurvivesWithItsTurnedSinks) {
  // With a snapshot of every position nothing is computed in a window that has slid on since.
  survivor_options_.snapshot_every = 1;
  engine_options_.context = 192;
  const auto run = [&](const Fault& fault) {
    return answer(Kind::kCpu, prompt(100), sampled(300), fault, {}, AtLimit::kSlide);
  };
  const Transcript undisturbed = run({});
  ASSERT_EQ(undisturbed.ids.size(), 300u);
  for (int step = 2; step < 300; step += 41) {
    EXPECT_EQ(run({BackendCall::kSubmit, step}), undisturbed) << "step " << step;
    EXPECT_EQ(told_.size(), 1u);
  }
  for (int slide = 1; slide <= 3; ++slide) {
    EXPECT_EQ(run({BackendCall::kImport, slide}), undisturbed) << "slide " << slide;
    EXPECT_EQ(told_.size(), 1u);
  }
  // Around the first and the second slide: one of these exports is the slide's own.
  for (int n : {95, 96, 97, 98, 99, 160, 161, 162, 163, 164, 165}) {
    EXPECT_EQ(run({BackendCall::kExport, n}), undisturbed) << "export " << n;
  }
}

TEST_F(SurvivalTest, ACopyOfHalfASinkPageIsNoUseAfterASlide) {
  survivor_options_.snapshot_every = 1;
  survivor_options_.snapshot_bytes = kv_export_size(model_->config, 40) * sizeof(uint16_t);
  engine_options_.context = 192;
  const auto run = [&](const Fault& fault) {
    return answer(Kind::kCpu, prompt(100), sampled(120), fault, {}, AtLimit::kSlide);
  };
  const Transcript undisturbed = run({});
  EXPECT_EQ(run({BackendCall::kSubmit, 60}), undisturbed);  // has not slid yet
  EXPECT_THAT(told_, ElementsAre(HasSubstr("computing 116 of 156 positions again")));
  EXPECT_EQ(run({BackendCall::kSubmit, 110}), undisturbed);
  EXPECT_THAT(told_, ElementsAre(HasSubstr("computing 142 of 142 positions again")));
}

TEST_F(SurvivalTest, TheSameTokensAtOtherPositionsAreNotTheSameKv) {
  survivor_options_.snapshot_every = 1;
  engine_options_.context = 192;
  engine_options_.max_rows = 192;  // the second prompt in one step, with nothing seen in between
  const auto both_turns = [&](const Fault& fault) {
    const auto s = survivor(Kind::kCpu, fault);
    Session& session = *s->new_session(&tokenizer_, AtLimit::kSlide).value();
    EXPECT_TRUE(answer(*s, session, prompt(190), sampled(40)));
    EXPECT_EQ(session.n_evicted(), kPageSize);
    // Everything but what slid away: token by token what lies in the cache now.
    std::vector<int32_t> second(session.tokens().begin(), session.tokens().end() - 10);
    second.erase(second.begin() + kPageSize, second.begin() + 2 * kPageSize);
    return answer(*s, session, second, sampled(20)).value();
  };
  const Transcript undisturbed = both_turns({});
  for (int step = 42; step < 60; step += 4) {
    EXPECT_EQ(both_turns({BackendCall::kSubmit, step}), undisturbed) << "step " << step;
    EXPECT_EQ(told_.size(), 1u);
  }
}

TEST_F(SurvivalTest, ASlidingSessionWithoutSnapshotIsComputedAgainAsItSlid) {
  survivor_options_.snapshot_every = 0;
  engine_options_.context = 192;
  const auto run = [&](const Fault& fault) {
    return answer(Kind::kCpu, prompt(100), sampled(200), fault, {}, AtLimit::kSlide);
  };
  const Transcript undisturbed = run({});
  for (int step : {60, 120, 190}) {
    EXPECT_EQ(run({BackendCall::kSubmit, step}), undisturbed) << "step " << step;
  }
}

}  // namespace
}  // namespace lamina::test
