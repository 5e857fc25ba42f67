// SPDX-License-Identifier: Apache-2.0
#include "native/platform/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace lamina {

int usable_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

Result<void> parallel_for(int threads, size_t n, const std::function<Result<void>(size_t)>& work) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  size_t failed_at = std::numeric_limits<size_t>::max();
  Result<void> outcome;
  const auto run = [&] {
    for (size_t i = next.fetch_add(1); i < n; i = next.fetch_add(1)) {
      auto result = work(i);
      if (result) continue;
      const std::lock_guard lock(mutex);
      next = n;
      if (i < failed_at) {
        failed_at = i;
        outcome = std::move(result);
      }
    }
  };
  const auto wanted = static_cast<size_t>(threads > 0 ? threads : usable_processors());
  std::vector<std::thread> helpers;
  try {
    while (helpers.size() + 1 < std::min(wanted, n)) helpers.emplace_back(run);
  } catch (const std::system_error&) {
    // No more threads to be had: those that run do the work.
  }
  run();
  for (std::thread& t : helpers) t.join();
  return outcome;
}

}  // namespace lamina
