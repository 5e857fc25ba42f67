// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace lamina::cpu {
namespace {

struct Rounds {
  ThreadPool* pool;
  std::vector<int> cells;  // not atomic: a barrier that leaks shows up as a race or a wrong sum
  std::vector<long> sums;
  int rounds;
};

// Each round every worker writes its cell, meets, adds up all cells, meets.
void play(void* context, int worker) {
  auto& r = *static_cast<Rounds*>(context);
  const auto me = static_cast<size_t>(worker);
  for (int round = 1; round <= r.rounds; ++round) {
    r.cells[me] = round;
    r.pool->barrier();
    r.sums[me] += std::accumulate(r.cells.begin(), r.cells.end(), 0L);
    r.pool->barrier();
  }
}

TEST(ThreadPool, BarrierOrdersWrites) {
  for (int n : {1, 2, 3, 5}) {
    auto pool = ThreadPool::create(n);
    ASSERT_TRUE(pool);
    EXPECT_EQ((*pool)->size(), n);
    constexpr int kRounds = 100, kRuns = 4;
    Rounds r{pool->get(), std::vector<int>(static_cast<size_t>(n)),
             std::vector<long>(static_cast<size_t>(n)), kRounds};
    for (int run = 0; run < kRuns; ++run) (*pool)->run(play, &r);
    const long want = long{kRuns} * n * kRounds * (kRounds + 1) / 2;
    for (long sum : r.sums) EXPECT_EQ(sum, want);
  }
}

TEST(ThreadPool, ManyShortRunsAndSleepBetween) {
  auto pool = ThreadPool::create(3);
  ASSERT_TRUE(pool);
  std::vector<int> counts(3);
  const auto count = [](void* context, int worker) {
    ++(*static_cast<std::vector<int>*>(context))[static_cast<size_t>(worker)];
  };
  for (int i = 0; i < 200; ++i) {
    (*pool)->run(count, &counts);
    if (i % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));  // workers sleep
  }
  EXPECT_EQ(counts, std::vector<int>(3, 200));
}

TEST(ThreadPool, EndsWithoutEverRunning) {
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(ThreadPool::create(4));
}

TEST(ThreadPool, RefusesImpossibleSizes) {
  for (int n : {0, -1, kMaxThreads + 1}) {
    const auto pool = ThreadPool::create(n);
    ASSERT_FALSE(pool);
    EXPECT_EQ(pool.error().code, Code::kInvalidArgument);
  }
  EXPECT_GE(usable_cpus(), 1);
}

}  // namespace
}  // namespace lamina::cpu
