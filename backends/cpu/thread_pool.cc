// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/thread_pool.h"

#include <chrono>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace lamina::cpu {

namespace {

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until done() or until `patience` is over; yields now and then, so that more workers than
// processors still get on. Returns done().
template <typename Done>
bool spin(std::chrono::microseconds patience, Done done) {
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    for (int i = 0; i < 1024; ++i) {
      if (done()) return true;
      relax();
    }
    if (std::chrono::steady_clock::now() - start > patience) return done();
    std::this_thread::yield();
  }
}

// Longer than sampling and printing between two tokens takes.
constexpr std::chrono::microseconds kIdlePatience{3000};

}  // namespace

ThreadPool::ThreadPool(int threads) : size_(threads < 1 ? 1 : threads) {
  for (int worker = 1; worker < size_; ++worker) {
    threads_.emplace_back([this, worker] { worker_loop(worker); });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::run(Work work, void* context) {
  if (size_ == 1) return work(context, 0);
  work_ = work;
  context_ = context;
  unfinished_.store(size_ - 1, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  work(context, 0);
  while (!spin(std::chrono::seconds(1),
               [&] { return unfinished_.load(std::memory_order_acquire) == 0; })) {
  }
}

void ThreadPool::worker_loop(int worker) {
  uint32_t seen = 0;
  for (;;) {
    const auto news = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
    if (!spin(kIdlePatience, news)) epoch_.wait(seen, std::memory_order_acquire);
    if (!news()) continue;
    ++seen;
    if (stop_.load(std::memory_order_relaxed)) return;
    work_(context_, worker);
    unfinished_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::barrier() {
  if (size_ == 1) return;
  const uint32_t now = passed_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    passed_.store(now + 1, std::memory_order_release);
    return;
  }
  while (!spin(std::chrono::seconds(1),
               [&] { return passed_.load(std::memory_order_acquire) != now; })) {
  }
}

}  // namespace lamina::cpu
