// SPDX-License-Identifier: Apache-2.0
// The pool where threads are not ours to start: JavaScript starts workers on the module's shared
// memory, each with a stack of its own, and they enter by lamina_worker_run. They belong to the
// module and take part in the runs of every pool; a pool of fewer leaves some of them idle.
//
// Compiled with -matomics in modules with shared memory; else no worker ever comes. Workers must not
// allocate: the libc's malloc is not made for two.
#include "backends/cpu/thread_pool_wasm.h"

#include <new>

#include "backends/cpu/thread_pool.h"

namespace lamina::cpu {

namespace {

// Some 0.3 ms: longer than an op of a decode step, and than sampling between two steps.
constexpr int kSpins = 30000;

struct Crew {
  Signal round;              // moves on when there is work
  std::atomic<int> left{0};  // workers that have not finished this round
  std::atomic<int> present{0};
  bool stop = false;
  int size = 0;  // of the pool at work
  ThreadPool::Function function = nullptr;
  void* context = nullptr;
};
Crew crew;

#if defined(__wasm_atomics__)
void sleep_while(std::atomic<uint32_t>& value, uint32_t seen) {
  __builtin_wasm_memory_atomic_wait32(reinterpret_cast<int*>(&value), static_cast<int>(seen), -1);
}
void wake_all(std::atomic<uint32_t>& value) {
  __builtin_wasm_memory_atomic_notify(reinterpret_cast<int*>(&value), 0xffffffffu);
}
#else
void sleep_while(std::atomic<uint32_t>&, uint32_t) {}
void wake_all(std::atomic<uint32_t>&) {}
#endif

}  // namespace

// As in thread_pool.cc: the order of the four operations keeps a sleeper from being missed.
void Signal::advance() {
  value.fetch_add(1);
  if (sleepers.load() > 0) wake_all(value);
}

void Signal::wait_while(uint32_t seen, int spins) {
  for (int i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != seen) return;
  }
  sleepers.fetch_add(1);
  while (value.load() == seen) sleep_while(value, seen);
  sleepers.fetch_sub(1);
}

struct ThreadPool::Thread {};

int crew_size() { return crew.present.load(); }

void crew_enter(int worker) {
  crew.present.fetch_add(1);
  for (uint32_t seen = crew.round.value.load();; ++seen) {
    crew.round.wait_while(seen, kSpins);
    if (crew.stop) break;
    if (worker < crew.size) crew.function(crew.context, worker);
    crew.left.fetch_sub(1);
  }
  crew.present.fetch_sub(1);
}

void crew_dismiss() {
  crew.stop = true;
  crew.round.advance();
}

int usable_cpus() { return 1 + crew_size(); }

ThreadPool::ThreadPool(int n_threads) : size_(n_threads), spins_(kSpins) {}

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(int n_threads) {
  if (n_threads < 1 || n_threads > kMaxThreads) {
    return make_error(Code::kInvalidArgument, "threads: %d, must be 1 to %d", n_threads,
                      kMaxThreads);
  }
  if (n_threads > usable_cpus()) {
    return make_error(Code::kResourceExhausted, "%d threads: this module was started with %d",
                      n_threads, usable_cpus());
  }
  std::unique_ptr<ThreadPool> pool(new (std::nothrow) ThreadPool(n_threads));
  if (!pool) return make_error(Code::kOutOfMemory, "thread pool");
  return pool;
}

ThreadPool::~ThreadPool() = default;

void ThreadPool::run(Function function, void* context) {
  if (size_ == 1) return function(context, 0);
  crew.function = function;
  crew.context = context;
  crew.size = size_;
  crew.left.store(crew.present.load());
  crew.round.advance();
  function(context, 0);
  while (crew.left.load(std::memory_order_acquire) > 0) {
  }
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
