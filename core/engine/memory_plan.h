// SPDX-License-Identifier: Apache-2.0
// What running a model takes, reckoned before anything is allocated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lamina {

struct MemoryItem {
  std::string what;  // "weights" "KV cache" "activations" "staging" ...
  uint64_t bytes = 0;
};

struct MemoryHeap {
  std::string name;     // "device" "host"
  uint64_t bytes = 0;   // its size; 0: not known
  uint64_t free = 0;    // now
  uint64_t budget = 0;  // what may be taken
  std::vector<MemoryItem> items;

  uint64_t needed() const {
    uint64_t sum = 0;
    for (const MemoryItem& item : items) sum += item.bytes;
    return sum;
  }
};

struct MemoryPlan {
  std::vector<MemoryHeap> heaps;
  int32_t n_layers = 0;
  int32_t resident_layers = 0;   // the first ones; the others are swapped through the slots
  int32_t slots = 0;
  uint64_t slot_bytes = 0;
  uint64_t ring_bytes = 0;     // of the host's, that weights go through
  uint64_t swapped_bytes = 0;  // copied to the device in each step

  bool swaps() const { return resident_layers < n_layers; }
};

}  // namespace lamina
