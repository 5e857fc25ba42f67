// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace lamina::cpu {

constexpr int32_t kOwnRows = 3;         // up to so many rows each worker prepares all input itself
constexpr int32_t kSliceRows = 576;     // activation rows that one pass over the weights takes
constexpr int32_t kStripsPerWorker = 4;  // at least, where strips are larger than they have to be
constexpr int32_t kAttentionPairs = 64;  // (row, head) pairs of an attention unit
constexpr int32_t kPartialsPerWorker = 16;
constexpr size_t kSlack = 64;           // bytes after a buffer that whole vectors may read

struct Share {
  int32_t begin, end;
};

inline Share share_of(int32_t n, int worker, int workers) {
  const auto at = [&](int w) {
    return static_cast<int32_t>(static_cast<int64_t>(n) * w / workers);
  };
  return {at(worker), at(worker + 1)};
}

}  // namespace lamina::cpu
