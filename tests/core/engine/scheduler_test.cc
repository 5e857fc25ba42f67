// SPDX-License-Identifier: Apache-2.0
#include "core/engine/scheduler.h"

#include <gmock/gmock.h>

#include <map>

#include "tests/core/engine/survival.h"

namespace lamina::test {
namespace {

using ::testing::ElementsAre;
using Kind = SchedulerEvent::Kind;

TEST(ShareRows, HalfForTheFirstInLineAndNothingLeftOver) {
  std::vector<int32_t> shares;
  const auto share = [&](std::vector<int32_t> wanted, int32_t rows) {
    share_rows(wanted, rows, shares);
    return shares;
  };
  EXPECT_THAT(share({1000}, 512), ElementsAre(512));
  EXPECT_THAT(share({1000, 1000}, 512), ElementsAre(256, 256));
  EXPECT_THAT(share({1000, 1000, 1000}, 512), ElementsAre(256, 128, 128));
  EXPECT_THAT(share({10, 1000, 20}, 512), ElementsAre(10, 482, 20));
  EXPECT_THAT(share({10, 20}, 512), ElementsAre(10, 20));
  EXPECT_THAT(share({5, 5, 5}, 1), ElementsAre(1, 0, 0));
  EXPECT_THAT(share({5, 5}, 0), ElementsAre(0, 0));
}

class SchedulerTest : public SurvivalTest {
 protected:
  struct Story {
    Transcript seen;
    int started = 0, ends = 0;
    std::string error;
    int32_t cached = 0;
  };

  std::unique_ptr<Scheduler> scheduler(Survivor& s, int32_t parallel) {
    return std::make_unique<Scheduler>(&s, &tokenizer_, parallel, [this](const SchedulerEvent& e) {
      Story& story = stories_[e.id];
      order_.push_back(e.id);
      if (e.kind == Kind::kStarted) ++story.started;
      if (e.kind == Kind::kToken) story.seen.add(*e.token);
      if (e.kind == Kind::kFailed) story.error = e.error->message;
      story.ends += e.kind == Kind::kDone || e.kind == Kind::kFailed;
      story.cached = e.cached_tokens;
    });
  }
  static SchedulerJob job(uint64_t id, int32_t length, const AnswerOptions& answer,
                          const std::string& caller = "") {
    return {id, caller, prompt(length, static_cast<int32_t>(id)), answer};
  }
  void expect_as_alone(uint64_t id, int32_t length, const AnswerOptions& options) {
    EXPECT_EQ(stories_[id].error, "");
    EXPECT_EQ(stories_[id].seen, answer(Kind_::kCpu, prompt(length, static_cast<int32_t>(id)), options))
        << id;
  }
  using Kind_ = ::lamina::test::Kind;

  std::map<uint64_t, Story> stories_;
  std::vector<uint64_t> order_;
};

TEST_F(SchedulerTest, DecodingGoesOnBesideALongPrompt) {
  engine_options_ = {400, 3, 40, 40, KvDType::kF16};
  const auto s = survivor(Kind_::kCpu, {});
  const auto line = scheduler(*s, 3);
  line->submit(job(1, 5, greedy(60)));
  line->step();
  line->submit(job(2, 300, greedy(3)));
  for (int i = 0; i < 10; ++i) {
    const auto before = stories_[1].seen.ids.size();
    ASSERT_TRUE(line->step(16));
    EXPECT_EQ(stories_[1].seen.ids.size(), before + 1) << "one token each step";
    EXPECT_EQ(line->prompt_rows(), 16);
  }
  line->submit(job(3, 20, greedy(3)));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(line->step(16));
  EXPECT_GE(stories_[3].seen.ids.size(), 1u) << "not behind the long one's end";
  EXPECT_EQ(stories_[2].seen.ids.size(), 0u);
  while (line->step(16)) {
  }
  expect_as_alone(1, 5, greedy(60));
  expect_as_alone(2, 300, greedy(3));
}

TEST_F(SchedulerTest, EqualPromptsAreComputedOnce) {
  const auto s = survivor(Kind_::kCpu, {});
  const auto line = scheduler(*s, 3);
  for (uint64_t id : {1, 2, 3}) {
    SchedulerJob same = job(id, 0, greedy(10));
    same.prompt = prompt(200);
    line->submit(same);
  }
  int32_t computed = 0;
  while (line->step()) computed += line->prompt_rows();
  EXPECT_LE(computed, 200 + 2 * kPageSize);
  EXPECT_EQ(stories_[1].cached, 0);
  EXPECT_EQ(stories_[2].cached, 192);
  EXPECT_EQ(stories_[3].seen, stories_[1].seen);
  EXPECT_EQ(stories_[1].seen, answer(Kind_::kCpu, prompt(200), greedy(10)));
}

TEST_F(SchedulerTest, AFullCacheMakesTheYoungestWaitAndNobodyFail) {
  engine_options_.cache_positions = 256;  // four pages
  const auto s = survivor(Kind_::kCpu, {});
  const auto line = scheduler(*s, 3);
  for (uint64_t id : {1, 2, 3}) line->submit(job(id, 50, sampled(100)));
  while (line->step()) {
  }
  EXPECT_GT(line->n_preempted(), 0);
  engine_options_.cache_positions = 0;
  for (uint64_t id : {1, 2, 3}) {
    EXPECT_EQ(stories_[id].started, 1);
    expect_as_alone(id, 50, sampled(100));
  }
  const auto end_of = [&](uint64_t id) {
    return std::ranges::find(order_.rbegin(), order_.rend(), id) - order_.rbegin();
  };
  EXPECT_GT(end_of(1), end_of(3)) << "the oldest ended before the youngest";
}

TEST_F(SchedulerTest, ThePausedGiveUpTheirPagesFirst) {
  engine_options_.cache_positions = 256;
  const auto s = survivor(Kind_::kCpu, {});
  const auto line = scheduler(*s, 2);
  line->submit(job(1, 100, sampled(20)));
  for (int i = 0; i < 8; ++i) line->step();
  line->pause(1, true);
  line->submit(job(2, 150, sampled(80)));
  while (line->step()) {
  }
  EXPECT_EQ(stories_[2].ends, 1);
  EXPECT_EQ(stories_[1].ends, 0);
  EXPECT_EQ(line->n_preempted(), 1);
  EXPECT_FALSE(line->step());
  line->pause(1, false);
  while (line->step()) {
  }
  engine_options_.cache_positions = 0;
  expect_as_alone(1, 100, sampled(20));
  expect_as_alone(2, 150, sampled(80));
}

TEST_F(SchedulerTest, CallersTakeTurnsInTheQueue) {
  const auto s = survivor(Kind_::kCpu, {});
  const auto line = scheduler(*s, 1);
  for (uint64_t id : {1, 2, 3, 4}) line->submit(job(id, 5, greedy(4), "greedy"));
  line->step();
  line->submit(job(5, 5, greedy(4), "modest"));
  line->pause(1, true);  // "greedy" has one that has started
  line->step();
  EXPECT_EQ(stories_[5].started, 1);
  EXPECT_EQ(stories_[2].started, 0);
}

TEST_F(SchedulerTest, OneWithManyJobsDoesNotHoldUpOthers) {
  const auto s = survivor(Kind_::kCpu, {});
  const auto line = scheduler(*s, 1);
  for (uint64_t id = 1; id <= 10; ++id) line->submit(job(id, 5, greedy(2), "greedy"));
  line->step();
  for (uint64_t id : {11, 12}) line->submit(job(id, 5, greedy(2), "modest"));
  line->submit(job(13, 5, greedy(2), "other"));
  while (line->step()) {
  }
  std::vector<uint64_t> ended = order_;
  ended.erase(std::unique(ended.begin(), ended.end()), ended.end());
  EXPECT_THAT(ended, ::testing::ElementsAre(1, 11, 13, 2, 12, 3, 4, 5, 6, 7, 8, 9, 10));
}

TEST_F(SchedulerTest, RefusesTheLastOfWhoHasMost) {
  const auto s = survivor(Kind_::kCpu, {});
  const auto line = scheduler(*s, 2);
  line->refuse_last(make_error(Code::kQueueFull, "nobody waits"));
  for (uint64_t id : {1, 2, 3, 4}) line->submit(job(id, 5, greedy(20), "greedy"));
  line->step();
  for (uint64_t id : {5, 6}) line->submit(job(id, 5, greedy(2), "modest"));
  line->refuse_last(make_error(Code::kQueueFull, "too many"));
  EXPECT_EQ(stories_[4].error, "too many");
  EXPECT_EQ(stories_[4].ends, 1);
  EXPECT_EQ(line->n_queued(), 3);
  while (line->step()) {
  }
  for (uint64_t id : {1, 2, 3, 5, 6}) EXPECT_EQ(stories_[id].error, "") << id;
}

TEST_F(SchedulerTest, CancelsWhatWaitsAndWhatRuns) {
  const auto s = survivor(Kind_::kCpu, {});
  const auto line = scheduler(*s, 1);
  line->submit(job(1, 5, greedy(40)));
  line->submit(job(2, 5, greedy(40)));
  for (int i = 0; i < 3; ++i) line->step();
  line->cancel(2);
  line->cancel(1);
  line->cancel(9);
  EXPECT_EQ(stories_[1].ends, 1);
  EXPECT_EQ(stories_[2].ends, 1);
  EXPECT_EQ(stories_[2].started, 0);
  EXPECT_FALSE(line->step());
  EXPECT_EQ(line->n_running(), 0);
}

TEST_F(SchedulerTest, ALossThatNothingReplacesFailsWhatRan) {
  const auto s = std::make_unique<Survivor>(
      engine(Kind_::kCpu, {BackendCall::kSubmit, 3}), SurvivorOptions{},
      [](Survivor::Next) -> Result<std::unique_ptr<Engine>> {
        return make_error(Code::kDevice, "nothing left");
      },
      [](std::string_view) {});
  const auto line = scheduler(*s, 2);
  line->submit(job(1, 5, greedy(40)));
  line->submit(job(2, 5, greedy(40)));
  while (line->step()) {
  }
  EXPECT_EQ(stories_[1].ends, 1);
  EXPECT_EQ(stories_[2].ends, 1);
  EXPECT_THAT(stories_[1].error, ::testing::HasSubstr("nothing left"));
}

}  // namespace
}  // namespace lamina::test
