// SPDX-License-Identifier: Apache-2.0
// Copying on several threads: one alone reads a mapped file or fills the device's memory no faster
// than some gigabytes a second.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstddef>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace lamina::vulkan {

// Bytes of the host's and where they go, counted from wherever the user of a Source says.
struct Source {
  const std::byte* from;
  uint64_t bytes;
  uint64_t at;
};

class HostCopy {
 public:
  // `threads` with the caller's; at least 1.
  explicit HostCopy(int threads);
  ~HostCopy();
  HostCopy(const HostCopy&) = delete;

  // Copies what of `sources` lies in [begin, begin + bytes) to `to`, which stands for `begin`.
  void run(std::span<const Source> sources, uint64_t begin, uint64_t bytes, std::byte* to);

  static int usual_threads();

 private:
  struct Part {
    const std::byte* from;
    std::byte* to;
    size_t bytes;
  };
  void work();
  void help();

  std::vector<Part> parts_;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t round_ = 0;  // of run()
  int busy_ = 0;        // helpers in this round
  bool ending_ = false;
  std::vector<std::thread> helpers_;
};

}  // namespace lamina::vulkan
