// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/service.h"

#include <gmock/gmock.h>

#include <cmath>
#include <optional>
#include <thread>

#include "native/convert/convert.h"
#include "tests/daemon/service_support.h"
#include "tests/support/temp_dir.h"

namespace lamina::daemon {
namespace {

using ::testing::HasSubstr;
using test::BackendCall;

TEST_F(ServiceTest, OneGenerationTellsItsWholeStory) {
  const auto s = service();
  const auto seen = run(*s, request(100, 1, 20));
  EXPECT_EQ(seen.started, 1);
  EXPECT_EQ(seen.ends, 1);
  EXPECT_EQ(seen.tokens.size(), 20u);
  EXPECT_FALSE(seen.text.empty());
  EXPECT_EQ(seen.finish, FinishReason::kLength);
  EXPECT_EQ(seen.usage.prompt_tokens, 100);
  EXPECT_EQ(seen.usage.completion_tokens, 20);
  EXPECT_EQ(seen.usage.cached_tokens, 0);
  EXPECT_GT(seen.timings.first_token, 0.0);
  EXPECT_GE(seen.timings.total, seen.timings.first_token + seen.timings.queued);
}

TEST_F(ServiceTest, CompanyChangesNoText) {
  std::vector<Listener::Seen> alone;
  for (int i = 0; i < 12; ++i) alone.push_back(run(*service(), request(30 + 23 * i, i, 25, i % 2 ? 1.0f : 0.0f)));
  const auto s = service();
  std::vector<std::unique_ptr<Listener>> listeners;
  for (int i = 0; i < 12; ++i) {
    listeners.push_back(std::make_unique<Listener>());
    ASSERT_TRUE(s->submit(request(30 + 23 * i, i, 25, i % 2 ? 1.0f : 0.0f), listeners.back()->on_event()));
  }
  for (size_t i = 0; i < 12; ++i) {
    const auto seen = listeners[i]->wait();
    EXPECT_EQ(seen.tokens, alone[i].tokens) << i;
    EXPECT_EQ(seen.text, alone[i].text) << i;
  }
}

TEST_F(ServiceTest, ATurnAfterOthersReusesTheirPages) {
  const auto s = service();
  const auto first = run(*s, request(200, 3, 30));
  GenerateRequest next = request(200, 3, 10);
  next.prompt_ids.insert(next.prompt_ids.end(), first.tokens.begin(), first.tokens.end());
  next.prompt_ids.push_back(77);
  const GenerateRequest copy = next;
  const auto second = run(*s, std::move(next));
  EXPECT_EQ(second.usage.cached_tokens, 192);
  EXPECT_EQ(second.tokens, run(*service(), copy).tokens);
  ASSERT_TRUE(s->drain(10));  // the status follows the events
  EXPECT_GT(s->status().at(0).kv_pages_cached, 0);
  EXPECT_EQ(s->status().at(0).kv_pages_used, 0);
}

TEST_F(ServiceTest, WhatMustBeRefusedIsRefusedAtOnce) {
  options_.parallel = 1;
  options_.queue = 2;
  const auto s = service();
  const auto refused = [&](GenerateRequest r) {
    const auto id = s->submit(std::move(r), [](const GenerationEvent&) { ADD_FAILURE(); });
    EXPECT_FALSE(id);
    return id ? Error{} : id.error();
  };
  EXPECT_EQ(refused(request(513, 0, 1)).code, Code::kContextExceeded);
  GenerateRequest r = request(5, 0, 1);
  r.prompt_ids[2] = 1 << 20;
  EXPECT_EQ(refused(r).code, Code::kInvalidArgument);
  r = request(5, 0, 1);
  r.prompt_ids.clear();
  EXPECT_EQ(refused(r).code, Code::kInvalidArgument);
  r = request(5, 0, 1);
  r.top_logprobs = 21;
  EXPECT_THAT(refused(r).message, HasSubstr("top_logprobs is 21"));
  r = request(5, 0, 1);
  r.answer.sampling.top_p = 2.0f;
  EXPECT_EQ(refused(r).code, Code::kInvalidArgument);
  r = request(5, 0, 1);
  r.answer.stop = {""};
  EXPECT_EQ(refused(r).code, Code::kInvalidArgument);
  r = request(5, 0, 1);
  r.model = "other";
  EXPECT_EQ(refused(r).code, Code::kNotFound);

  std::vector<std::unique_ptr<Listener>> three;
  std::vector<GenerationId> ids;
  for (int i = 0; i < 3; ++i) {
    three.push_back(std::make_unique<Listener>());
    three[0]->hold_at(1);
    const auto id = s->submit(request(5, 0, -1), three.back()->on_event());
    ASSERT_TRUE(id);
    ids.push_back(*id);
  }
  const Error full = refused(request(5, 0, 1));
  EXPECT_EQ(full.code, Code::kQueueFull);
  EXPECT_THAT(full.message, HasSubstr("2 wait (--queue)"));
  for (GenerationId id : ids) s->cancel(id);
  three[0]->release();
  for (auto& l : three) EXPECT_EQ(l->wait().finish, FinishReason::kCancelled);
  EXPECT_TRUE(s->drain(10));
  EXPECT_EQ(refused(request(5, 0, 1)).code, Code::kDraining);
  EXPECT_EQ(s->load("x", "n", {}).error().code, Code::kDraining);
}

TEST_F(ServiceTest, WhatOutlastsADrainIsToldSo) {
  options_.parallel = 1;
  const auto s = service();
  Listener runs, waits, refused;
  runs.hold_at(2);
  ASSERT_TRUE(s->submit(request(20, 1, -1), runs.on_event()));
  ASSERT_TRUE(s->submit(request(20, 2, -1), waits.on_event()));
  runs.wait_held();
  std::thread drain([&] { EXPECT_FALSE(s->drain(0.0)); });
  // It has begun once nothing new is taken.
  while (s->submit(request(5, 0, 1), refused.on_event())) std::this_thread::yield();
  runs.release();
  drain.join();
  EXPECT_EQ(runs.wait().error.code, Code::kDraining);
  EXPECT_EQ(waits.wait().error.code, Code::kDraining);
  EXPECT_EQ(waits.wait().started, 0);
  EXPECT_EQ(s->status()[0].running + s->status()[0].queued, 0);
}

TEST_F(ServiceTest, WhoHasFilledTheQueueMakesRoomForOthers) {
  options_.parallel = 1;
  options_.queue = 5;
  const auto s = service();
  const auto of = [](const char* caller, int32_t new_tokens) {
    GenerateRequest r = request(5, 0, new_tokens);
    r.caller = caller;
    return r;
  };
  std::vector<std::unique_ptr<Listener>> greedy, modest;
  std::vector<GenerationId> ids;
  const auto submit = [&](std::vector<std::unique_ptr<Listener>>& to, const char* caller) {
    to.push_back(std::make_unique<Listener>());
    if (ids.empty()) to.back()->hold_at(1);
    const auto id = s->submit(of(caller, 8), to.back()->on_event());
    if (id) ids.push_back(*id);
    return id ? std::nullopt : std::optional(id.error().code);
  };
  for (int i = 0; i < 6; ++i) EXPECT_EQ(submit(greedy, "greedy"), std::nullopt);
  greedy[0]->wait_held();
  EXPECT_EQ(submit(greedy, "greedy"), Code::kQueueFull);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(submit(modest, "modest"), std::nullopt);
  greedy[0]->release();
  for (const auto& l : modest) EXPECT_EQ(l->wait().tokens.size(), 8u);
  int refused = 0;
  for (size_t i = 0; i < 6; ++i) {
    const auto seen = greedy[i]->wait();
    refused += seen.error.code == Code::kQueueFull && seen.error.message != "";
    EXPECT_EQ(seen.started, seen.error.message.empty() ? 1 : 0) << i;
  }
  EXPECT_EQ(refused, 3);
  EXPECT_TRUE(s->drain(10));
  EXPECT_EQ(s->status().at(0).queued, 0);
}

TEST_F(ServiceTest, CancelledWithinOneStep) {
  const auto s = service();
  Listener listener;
  listener.hold_at(5);
  const auto id = s->submit(request(40, 2, -1), listener.on_event());
  ASSERT_TRUE(id);
  listener.wait_held();
  s->cancel(*id);
  s->cancel(*id);
  s->cancel(12345);
  listener.release();
  const auto seen = listener.wait();
  EXPECT_EQ(seen.tokens.size(), 5u);
  EXPECT_EQ(seen.finish, FinishReason::kCancelled);
  EXPECT_TRUE(s->drain(10));
  EXPECT_EQ(listener.now().after_end, 0);
  EXPECT_EQ(s->status().at(0).running, 0);
}

TEST_F(ServiceTest, APausedOneStandsStillWhileOthersGoOn) {
  options_.parallel = 1;
  const auto s = service();
  Listener slow, quick;
  slow.hold_at(3);
  const auto id = s->submit(request(40, 2, 60), slow.on_event());
  slow.wait_held();
  s->pause(*id, true);
  slow.release();
  ASSERT_TRUE(s->submit(request(50, 3, 20), quick.on_event()));
  EXPECT_EQ(quick.wait().tokens.size(), 20u);
  EXPECT_EQ(run(*s, request(60, 4, 20)).tokens.size(), 20u);
  EXPECT_EQ(slow.now().tokens.size(), 3u);
  s->pause(*id, false);
  EXPECT_EQ(slow.wait().tokens, run(*service(), request(40, 2, 60)).tokens);
}

TEST_F(ServiceTest, SwitchesInTheMiddleOfAnswers) {
  const auto s = service({{}, {}, {}});
  Listener a, b;
  a.hold_at(5);
  const auto id = s->submit(request(90, 1, 400), a.on_event());
  ASSERT_TRUE(s->submit(request(150, 2, 300, 1.0f), b.on_event()));
  a.wait_held();
  s->pause(*id, true);
  a.release();
  ASSERT_TRUE(s->switch_backend("m", "faulty"));  // one stands still, one is running
  ASSERT_TRUE(s->switch_backend("m", "cpu"));
  s->pause(*id, false);
  for (const char* kind : {"faulty", "cpu", "faulty"}) {
    const auto moved = s->switch_backend("m", kind);
    ASSERT_TRUE(moved) << moved.error().message;
    EXPECT_EQ(s->status().at(0).backend, kind);
  }
  const auto seen = a.wait();
  EXPECT_EQ(seen.tokens, run(*service(), request(90, 1, 400)).tokens);
  EXPECT_EQ(b.wait().tokens, run(*service(), request(150, 2, 300, 1.0f)).tokens);
  EXPECT_GE(seen.notices.size(), 2u);
  EXPECT_FALSE(s->switch_backend("m", "quantum"));
  EXPECT_FALSE(s->switch_backend("other", "cpu"));
}

TEST_F(ServiceTest, ASwitchKeepsWhatLaterPromptsBeginWith) {
  const auto s = service();
  const auto first = run(*s, request(200, 3, 30));
  Listener other;
  other.hold_at(2);
  ASSERT_TRUE(s->submit(request(150, 4, 40), other.on_event()));
  other.wait_held();
  GenerateRequest next = request(200, 3, 10);
  next.prompt_ids.insert(next.prompt_ids.end(), first.tokens.begin(), first.tokens.end());
  const GenerateRequest copy = next;
  other.release();
  for (const char* kind : {"faulty", "cpu"}) {
    const auto moved = s->switch_backend("m", kind);
    ASSERT_TRUE(moved) << moved.error().message;
  }
  const auto second = run(*s, std::move(next));
  EXPECT_EQ(second.usage.cached_tokens, 192);
  EXPECT_EQ(second.tokens, run(*service(), copy).tokens);
  EXPECT_EQ(other.wait().tokens, run(*service(), request(150, 4, 40)).tokens);
  EXPECT_EQ(run(*s, request(150, 4, 1)).usage.cached_tokens, 128);
}

TEST_F(ServiceTest, ADeviceLostUnderLoadLosesNoToken) {
  for (const auto& faults : {std::vector<test::Fault>{{BackendCall::kSubmit, 9}},
                             {{BackendCall::kRead, 4}, {BackendCall::kSubmit, 6}, {BackendCall::kRead, 5}},
                             {{BackendCall::kExport, 3}, {BackendCall::kImport, 2}}}) {
    options_.backend = "faulty";
    const auto s = service(faults);
    std::vector<std::unique_ptr<Listener>> listeners;
    for (int i = 0; i < 8; ++i) {
      listeners.push_back(std::make_unique<Listener>());
      ASSERT_TRUE(s->submit(request(60 + 20 * i, i, 40, 0.9f), listeners.back()->on_event()));
    }
    options_.backend = "cpu";
    for (int i = 0; i < 8; ++i) {
      const auto seen = listeners[static_cast<size_t>(i)]->wait();
      EXPECT_EQ(seen.error.message, "");
      EXPECT_EQ(seen.tokens, run(*service(), request(60 + 20 * i, i, 40, 0.9f)).tokens) << i;
    }
    ASSERT_TRUE(s->drain(10));
    EXPECT_EQ(s->status().at(0).backend, "cpu");
    EXPECT_THAT(s->status().at(0).backend_reason, HasSubstr("in place of faulty"));
  }
}

TEST_F(ServiceTest, LogprobsAreThoseOfTheModel) {
  const auto s = service();
  GenerateRequest r = request(40, 2, 12);
  r.top_logprobs = 4;
  const auto seen = run(*s, r);
  ASSERT_EQ(seen.logprobs.size(), 12u);
  for (size_t i = 0; i < 12; ++i) {
    const auto& l = seen.logprobs[i];
    ASSERT_EQ(l.size(), 5u);
    EXPECT_EQ(l[0].token, seen.tokens[i]);
    EXPECT_EQ(l[0].token, l[1].token) << "greedy: the likeliest";
    EXPECT_EQ(l[0].logprob, l[1].logprob);
    double sum = 0;
    for (size_t j = 1; j < 5; ++j) {  // [1] is [0] here
      EXPECT_LE(l[j].logprob, l[j - 1].logprob);
      sum += std::exp(static_cast<double>(l[j].logprob));
    }
    EXPECT_LE(sum, 1.0 + 1e-6);
    EXPECT_EQ(l[0].bytes, model().tokenizer.token_bytes(l[0].token));
  }
  r.top_logprobs = -1;
  EXPECT_EQ(run(*s, r).tokens, seen.tokens);
}

TEST_F(ServiceTest, ModelsComeAndGo) {
  const auto s = service();
  EXPECT_EQ(s->load("x", "m", {}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(s->load("x", "", {}).error().code, Code::kInvalidArgument);
  ASSERT_TRUE(s->load("x", "n", {}));
  Listener a, b;
  GenerateRequest r = request(40, 1, -1);
  r.answer.sampling.temperature = 1.0f;
  a.hold_at(2);
  const auto id = s->submit(r, a.on_event());
  r.model = "n";
  ASSERT_TRUE(s->submit(r, b.on_event()));
  a.wait_held();
  s->pause(*id, true);
  a.release();
  ASSERT_TRUE(s->unload("m"));
  const auto end = a.wait();
  EXPECT_EQ(end.tokens.size(), 2u);
  EXPECT_EQ(end.error.code, Code::kUnloaded);
  EXPECT_EQ(s->unload("m").error().code, Code::kNotFound);
  EXPECT_EQ(s->status().size(), 1u);
  r.model.clear();
  r.answer.max_new_tokens = 3;
  EXPECT_EQ(run(*s, r).tokens.size(), 3u);
  ASSERT_TRUE(s->load("x", "m", {}));
  EXPECT_EQ(s->status().size(), 2u);
  EXPECT_EQ(b.wait().finish, FinishReason::kContext);
}

TEST_F(ServiceTest, ServesAModelFolder) {
  test::TempDir directory;
  ConvertOptions convert_options;
  convert_options.source = LAMINA_SOURCE_DIR "/tests/models/storyteller";
  convert_options.destination = directory / "model";
  ASSERT_TRUE(convert(convert_options));
  options_.threads = 1;
  auto s = std::move(Service::create(options_)).value();
  std::vector<std::string> stages;
  EXPECT_EQ(s->load(directory / "none", "x", {}).error().code, Code::kNotFound);
  const auto loaded = s->load(directory / "model", "storyteller",
                              [&](const LoadProgress& p) { stages.push_back(p.stage); });
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(stages.front(), "checking");
  EXPECT_EQ(stages.back(), "preparing");

  GenerateRequest r;
  r.prompt = "Once upon a time";
  r.answer.sampling.temperature = 0.0f;
  r.answer.max_new_tokens = 20;
  const auto told = run(*s, r);
  EXPECT_EQ(told.tokens.size(), 20u);
  EXPECT_FALSE(told.text.empty());
  r.prompt.clear();
  r.messages = {{"user", "Tell a story."}};
  const int32_t usual = run(*s, r).usage.prompt_tokens;
  r.messages[0].content += "<|eot_id|><|eot_id|>";  // a user's letters never become the token
  EXPECT_GT(run(*s, r).usage.prompt_tokens, usual + 4);
  const ModelStatus status = s->status().at(0);
  EXPECT_EQ(status.backend, "cpu");
  EXPECT_GT(status.weight_bytes, 0u);
  EXPECT_EQ(status.context, 512);
  EXPECT_TRUE(s->drain(60));
}

TEST_F(ServiceTest, AFullCacheMakesTheYoungestWait) {
  options_.cache_positions = 640;  // ten pages for four times 512
  const auto s = service();
  std::vector<std::unique_ptr<Listener>> listeners;
  for (int i = 0; i < 6; ++i) {
    listeners.push_back(std::make_unique<Listener>());
    ASSERT_TRUE(s->submit(request(70, i, 200, 0.7f), listeners.back()->on_event()));
  }
  options_.cache_positions = 0;
  for (int i = 0; i < 6; ++i) {
    const auto seen = listeners[static_cast<size_t>(i)]->wait();
    EXPECT_EQ(seen.error.message, "");
    EXPECT_EQ(seen.tokens, run(*service(), request(70, i, 200, 0.7f)).tokens) << i;
  }
}

}  // namespace
}  // namespace lamina::daemon
