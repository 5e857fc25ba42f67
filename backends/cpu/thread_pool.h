// SPDX-License-Identifier: Apache-2.0
// A fixed set of workers for code that meets at barriers every few microseconds. The caller is
// worker 0; a pool of one has no threads at all. Waiting spins, then sleeps. Nothing of it
// is inline: in WebAssembly not every file that includes this is compiled with atomics.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/base/result.h"

namespace lamina::cpu {

constexpr int kMaxThreads = 256;

// CPUs that this process may use; at least 1.
int usable_cpus();

// A number that moves on, and who sleeps until it does.
struct alignas(64) Signal {
  std::atomic<uint32_t> value{0};
  std::atomic<uint32_t> sleepers{0};
  void advance();
  void wait_while(uint32_t seen, int spins);
};

class ThreadPool {
 public:
  // kResourceExhausted when the system gives no thread.
  static Result<std::unique_ptr<ThreadPool>> create(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Calls function(context, worker) on every worker and returns when all are done.
  using Function = void (*)(void* context, int worker);
  void run(Function function, void* context);

  // Inside run: waits until all workers are here. What they wrote before is seen after.
  void barrier();

 private:
  struct Thread;
  explicit ThreadPool(int n_threads);
  static void* thread_main(void* thread);
  void work(int worker);

  const int size_;
  const int spins_;
  int started_ = 1;
  bool stop_ = false;
  Function function_ = nullptr;
  void* context_ = nullptr;
  Signal work_;
  Signal barrier_;
  alignas(64) std::atomic<int> arrived_{0};
  std::unique_ptr<Thread[]> threads_;
};

}  // namespace lamina::cpu
