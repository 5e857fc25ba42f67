// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <new>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lamina::cpu {

namespace {

// About 0.3 ms: longer than an op of a decode step, and than sampling between two steps.
constexpr int kSpins = 20000;
// With more workers than CPUs whoever spins keeps from working whom it waits for.
constexpr int kSpinsCrowded = 50;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

}  // namespace

struct ThreadPool::Thread {
  pthread_t handle;
  ThreadPool* pool;
  int worker;
};

int usable_cpus() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    const int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n > kMaxThreads ? kMaxThreads : n;
  }
#endif
  return 1;
}

void Signal::advance() {
  value.fetch_add(1);
  if (sleepers.load() > 0) value.notify_all();
}

// The total order of the four operations on value and sleepers here and in advance() is what keeps
// a sleeper from being missed: either advance() sees the sleeper or the sleeper sees the new value.
void Signal::wait_while(uint32_t seen, int spins) {
  for (int i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != seen) return;
    relax();
  }
  sleepers.fetch_add(1);
  while (value.load() == seen) value.wait(seen);
  sleepers.fetch_sub(1);
}

ThreadPool::ThreadPool(int n_threads)
    : size_(n_threads), spins_(n_threads > usable_cpus() ? kSpinsCrowded : kSpins) {}

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(int n_threads) {
  if (n_threads < 1 || n_threads > kMaxThreads) {
    return make_error(Code::kInvalidArgument, "threads: %d, must be 1 to %d", n_threads,
                      kMaxThreads);
  }
  std::unique_ptr<ThreadPool> pool(new (std::nothrow) ThreadPool(n_threads));
  if (!pool) return make_error(Code::kOutOfMemory, "thread pool");
  pool->threads_.reset(new (std::nothrow) Thread[static_cast<size_t>(n_threads)]);
  if (!pool->threads_) return make_error(Code::kOutOfMemory, "thread pool");
  for (int i = 1; i < n_threads; ++i) {
    Thread& thread = pool->threads_[static_cast<size_t>(i)];
    thread.pool = pool.get();
    thread.worker = i;
    if (pthread_create(&thread.handle, nullptr, thread_main, &thread) != 0) {
      return make_error(Code::kResourceExhausted, "thread %d of %d could not be started", i + 1,
                        n_threads);
    }
    pool->started_ = i + 1;
  }
  return pool;
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  work_.advance();
  for (int i = 1; i < started_; ++i) pthread_join(threads_[static_cast<size_t>(i)].handle, nullptr);
}

void* ThreadPool::thread_main(void* argument) {
  auto* thread = static_cast<Thread*>(argument);
  thread->pool->work(thread->worker);
  return nullptr;
}

void ThreadPool::work(int worker) {
  for (uint32_t seen = 0;; ++seen) {
    work_.wait_while(seen, spins_);
    if (stop_) return;
    function_(context_, worker);
    barrier();
  }
}

void ThreadPool::run(Function function, void* context) {
  if (size_ == 1) return function(context, 0);
  function_ = function;
  context_ = context;
  work_.advance();
  function(context, 0);
  barrier();
}

void ThreadPool::barrier() {
  if (size_ == 1) return;
  const uint32_t seen = barrier_.value.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    barrier_.advance();
  } else {
    barrier_.wait_while(seen, spins_);
  }
}

}  // namespace lamina::cpu
