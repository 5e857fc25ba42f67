// SPDX-License-Identifier: Apache-2.0
// Random calls from several threads at once.
#include <atomic>
#include <deque>
#include <thread>

#include "core/base/numeric.h"
#include "tests/daemon/service_support.h"

namespace lamina::daemon {
namespace {

struct Asked {
  int32_t prompt = 0, salt = 0, tokens = 0;
  float temperature = 0.0f;
  bool cancelled = false;
  GenerationId id = 0;
  std::unique_ptr<Listener> listener = std::make_unique<Listener>();
};

class ServiceStress : public ServiceTest {
 protected:
  // Submits `n`, pausing and cancelling some; every generation goes on or ends.
  void caller(Service& service, uint64_t seed, int n, std::deque<Asked>& asked) {
    Random random(seed);
    const auto below = [&](uint32_t n_values) { return static_cast<int32_t>(random.next_u32() % n_values); };
    for (int i = 0; i < n; ++i) {
      Asked& a = asked.emplace_back();
      a.prompt = 1 + below(200);
      a.salt = below(4);  // so that prompts have beginnings in common
      a.tokens = 1 + below(30);
      a.temperature = a.salt % 2 ? 1.0f : 0.0f;
      const auto id = service.submit(request(a.prompt, a.salt, a.tokens, a.temperature), a.listener->on_event());
      ASSERT_TRUE(id) << id.error().message;
      a.id = *id;
      Asked& any = asked[static_cast<size_t>(below(static_cast<uint32_t>(asked.size())))];
      switch (below(6)) {
        case 0:
          any.cancelled = true;
          service.cancel(any.id);
          break;
        case 1:
        case 2:
          service.pause(any.id, true);
          break;
        case 3:
          (void)service.status();
          break;
        default: std::this_thread::sleep_for(std::chrono::milliseconds(below(5)));
      }
    }
    for (Asked& a : asked) service.pause(a.id, false);
  }

  void check(const Asked& a, Service& oracle) {
    const auto seen = a.listener->wait();
    EXPECT_EQ(seen.ends, 1);
    EXPECT_EQ(seen.after_end, 0);
    EXPECT_EQ(seen.error.message, "");
    const auto whole = run(oracle, request(a.prompt, a.salt, a.tokens, a.temperature));
    if (!a.cancelled) {
      EXPECT_EQ(seen.tokens.size(), whole.tokens.size());
    }
    ASSERT_LE(seen.tokens.size(), whole.tokens.size());
    EXPECT_TRUE(std::equal(seen.tokens.begin(), seen.tokens.end(), whole.tokens.begin()));
  }

  void stress(Service& service, int n, const std::function<void()>& meanwhile) {
    std::deque<Asked> asked[2];
    std::thread other([&] { caller(service, 2, n, asked[1]); });
    std::thread third(meanwhile);
    caller(service, 1, n, asked[0]);
    other.join();
    third.join();
    ServiceOptions plain = options_;
    options_.cache_positions = 0;
    const auto oracle = ServiceTest::service();
    options_ = plain;
    for (const auto& list : asked) {
      for (const Asked& a : list) check(a, *oracle);
    }
    EXPECT_TRUE(service.drain(60));
    const ModelStatus status = service.status().at(0);
    EXPECT_EQ(status.running, 0);
    EXPECT_EQ(status.queued, 0);
    EXPECT_EQ(status.kv_pages_used, 0) << "every page is free or cached";
  }
};

TEST_F(ServiceStress, AnyOrderOfCallsEndsEveryGenerationOnce) {
  options_.cache_positions = 704;  // too little for four: some wait
  options_.queue = 1000;
  const auto s = service();
  stress(*s, 60, [] {});
}

TEST_F(ServiceStress, WithSwitchesAndLossesMeanwhile) {
  options_.queue = 1000;
  using test::BackendCall;
  const auto s = service({{BackendCall::kSubmit, 7}, {BackendCall::kRead, 9}, {BackendCall::kExport, 5}, {}, {}});
  stress(*s, 40, [&] {
    for (int i = 0; i < 10; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      (void)s->switch_backend("m", i % 2 ? "cpu" : "faulty");
    }
  });
}

TEST_F(ServiceStress, LeavingWhileAllIsRunning) {
  for (int i = 0; i < 5; ++i) {
    std::vector<std::unique_ptr<Listener>> listeners;
    auto s = service();
    for (int j = 0; j < 10; ++j) {
      listeners.push_back(std::make_unique<Listener>());
      ASSERT_TRUE(s->submit(request(50, j, -1), listeners.back()->on_event()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(3 * i));
    s.reset();
    for (const auto& l : listeners) EXPECT_EQ(l->now().ends, 1);
  }
}

}  // namespace
}  // namespace lamina::daemon
