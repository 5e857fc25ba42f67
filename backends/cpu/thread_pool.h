// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace lamina::cpu {

// A fixed set of workers; the calling thread is worker 0. Waiting spins for a while, because steps
// follow each other within microseconds, and then sleeps, because a chat waits for minutes.
// A pool of one has no threads at all. One run() at a time.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Calls work(context, worker) once on every worker and returns when all are done.
  using Work = void (*)(void* context, int worker);
  void run(Work work, void* context);

  // Inside run(): waits until every worker has come here. What was written before is seen after.
  void barrier();

 private:
  void worker_loop(int worker);

  const int size_;
  Work work_ = nullptr;
  void* context_ = nullptr;
  alignas(64) std::atomic<uint32_t> epoch_{0};    // counts run() calls
  alignas(64) std::atomic<int32_t> unfinished_{0};
  alignas(64) std::atomic<int32_t> arrived_{0};   // at the barrier
  alignas(64) std::atomic<uint32_t> passed_{0};   // barriers completed
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace lamina::cpu
