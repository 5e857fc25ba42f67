// SPDX-License-Identifier: Apache-2.0
// What the desk counts, and in which order it brings requests to the service.
#include "native/daemon/desk.h"

#include <gtest/gtest.h>

#include <future>

#include "native/daemon/metrics.h"
#include "tests/daemon/fakes.h"

namespace lamina::daemon {
namespace {

constexpr size_t kLong = 100000;

// Takes its time for a long prompt, as making tokens of one does.
class SlowService : public FakeService {
 public:
  Result<GenerationId> submit(GenerateRequest request, OnEvent on_event) override {
    if (request.prompt.size() >= kLong) {
      begun.set_value();
      go.get_future().wait();
    }
    return FakeService::submit(std::move(request), std::move(on_event));
  }
  std::promise<void> begun, go;
};

GenerateRequest request_of(const std::string& caller, const std::string& prompt) {
  GenerateRequest request;
  request.caller = caller;
  request.prompt = prompt;
  return request;
}

class DeskTest : public testing::Test {
 protected:
  bool counts(const std::string& line) {
    return metrics.text({}).find("\n" + line + "\n") != std::string::npos;
  }
  // The service has so many.
  bool admitted(size_t count) {
    for (int i = 0; i < 5000 && service.count() < count; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    loop.run_posted();
    return service.count() == count;
  }
  Ticket submit(const std::string& caller, const std::string& prompt) {
    return desk.submit(request_of(caller, prompt),
                       [this](std::span<const GenerationEvent> events) { heard += events.size(); });
  }
  void emit(GenerationEvent::Kind kind, Usage usage) {
    GenerationEvent event;
    event.kind = kind;
    event.usage = usage;
    service.emit(1, event);
    loop.run_posted();
  }

  FakeLoop loop;
  SlowService service;
  Metrics metrics{"test"};
  size_t heard = 0;
  Desk desk{loop, service, metrics};
};

using Kind = GenerationEvent::Kind;

TEST_F(DeskTest, TokensCountWhileTheyCome) {
  submit("a", "x");
  ASSERT_TRUE(admitted(1));
  emit(Kind::kStarted, {10, 4, 0});
  EXPECT_TRUE(counts("lamina_tokens_total{kind=\"prompt\"} 10"));
  EXPECT_TRUE(counts("lamina_tokens_total{kind=\"cached\"} 4"));
  EXPECT_TRUE(counts("lamina_queue_seconds_count 1"));
  EXPECT_TRUE(counts("lamina_first_token_seconds_count 0"));
  emit(Kind::kToken, {10, 6, 1});
  emit(Kind::kToken, {10, 6, 2});
  emit(Kind::kNotice, {});
  EXPECT_TRUE(counts("lamina_tokens_total{kind=\"cached\"} 6"));
  EXPECT_TRUE(counts("lamina_tokens_total{kind=\"completion\"} 2"));
  EXPECT_TRUE(counts("lamina_first_token_seconds_count 1"));
  emit(Kind::kDone, {10, 6, 3});
  EXPECT_TRUE(counts("lamina_tokens_total{kind=\"prompt\"} 10"));
  EXPECT_TRUE(counts("lamina_tokens_total{kind=\"completion\"} 3"));
  EXPECT_TRUE(counts("lamina_first_token_seconds_count 1"));
  EXPECT_EQ(heard, 5u);
}

TEST_F(DeskTest, WhatWaitsForMoreCanBeHadAtOnce) {
  loop.keep_turns = true;
  submit("a", "x");
  ASSERT_TRUE(admitted(1));
  emit(Kind::kStarted, {10, 0, 0});
  emit(Kind::kToken, {10, 0, 1});
  emit(Kind::kDone, {10, 0, 1});
  desk.deliver();
  EXPECT_EQ(heard, 3u);
}

TEST_F(DeskTest, WhatWasAbandonedIsCountedToo) {
  const Ticket ticket = submit("a", "x");
  ASSERT_TRUE(admitted(1));
  emit(Kind::kStarted, {10, 0, 0});
  desk.abandon(ticket);
  EXPECT_TRUE(service.generations[1].cancelled);
  emit(Kind::kDone, {10, 0, 7});
  EXPECT_EQ(heard, 1u);
  EXPECT_TRUE(counts("lamina_tokens_total{kind=\"completion\"} 7"));
}

TEST_F(DeskTest, WhatNeverStartedHasNoTokens) {
  submit("a", "x");
  ASSERT_TRUE(admitted(1));
  emit(Kind::kFailed, {10, 0, 0});
  EXPECT_TRUE(counts("lamina_tokens_total{kind=\"prompt\"} 0"));
  EXPECT_TRUE(counts("lamina_queue_seconds_count 0"));
}

TEST_F(DeskTest, ALongPromptHoldsUpItsCallerAlone) {
  submit("a", std::string(kLong, 'x'));
  service.begun.get_future().wait();
  submit("a", "second");
  submit("b", "other");
  submit("b", "more");
  ASSERT_TRUE(admitted(2));
  EXPECT_EQ(service.generations[1].request.prompt, "other");
  EXPECT_EQ(service.generations[2].request.prompt, "more");
  service.go.set_value();
  ASSERT_TRUE(admitted(4));
  EXPECT_EQ(service.generations[3].request.prompt.size(), kLong);
  EXPECT_EQ(service.generations[4].request.prompt, "second");
}

TEST_F(DeskTest, EachCallerKeepsItsOrder) {
  submit("a", std::string(kLong, 'x'));  // keeps the thread that does long ones
  service.begun.get_future().wait();
  for (const char* prompt : {"1", "2", "3"}) submit("b", prompt);
  for (const char* prompt : {"1", "2", "3"}) submit("c", prompt);
  ASSERT_TRUE(admitted(6));
  std::string of_b, of_c;
  for (GenerationId id = 1; id <= 6; ++id) {
    const GenerateRequest& r = service.generations[id].request;
    (r.caller == "b" ? of_b : of_c) += r.prompt;
  }
  EXPECT_EQ(of_b, "123");
  EXPECT_EQ(of_c, "123");
  service.go.set_value();
  ASSERT_TRUE(admitted(7));
}

}  // namespace
}  // namespace lamina::daemon
