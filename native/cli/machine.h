// SPDX-License-Identifier: Apache-2.0
// What this machine can do at best: the yardsticks of `lamina bench`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lamina::cli {

// A plain read of the memory that a decode step reads, by as many threads: what decode could reach.
// Shared machines change their speed from minute to minute, so it is measured beside each run.
class ReadBandwidth {
 public:
  // The memory outlives this; threads get equal shares of it, in order.
  ReadBandwidth(const std::vector<std::span<const std::byte>>& memory, int threads);

  // Bytes per second of one pass, or of several where the memory is small. 0 without memory.
  double measure();

 private:
  std::vector<std::vector<std::span<const std::byte>>> shares_;  // by thread
  std::vector<uint64_t> sums_;
  size_t bytes_ = 0;
};

// Multiply-accumulates of int8 per second by the best instruction there is, on `threads` threads,
// out of registers. 0 where this program knows none for the processor.
double measure_int8_peak(int threads);

}  // namespace lamina::cli
