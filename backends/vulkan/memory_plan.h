// SPDX-License-Identifier: Apache-2.0
// What a model takes on a device, and which of its layers stay there when not all fit.
#pragma once

#include <array>
#include <vector>

#include "backends/vulkan/device.h"
#include "core/engine/backend.h"
#include "core/engine/graph.h"
#include "core/engine/memory_plan.h"

namespace lamina::vulkan {

constexpr uint64_t kPieceAlignment = 256;  // of a tensor on the device
constexpr int32_t kSlots = 2;              // that layers are swapped through

constexpr uint32_t kSplitPositions = 128;  // of a split of attention, while there are few rows
constexpr int32_t kSplitRows = 16;         // more rows than that keep the device busy unsplit
constexpr uint32_t kMostSplits = 64;

struct StepShape {
  int32_t max_rows, max_logit_rows;
  KvShape kv;
};

// Bytes of the step's memory on the device.
struct StepSizes {
  std::array<uint64_t, kBuffers> buffers{};
  uint64_t xq = 0, xs = 0, partial = 0, arrived = 0;
  uint64_t fresh_kv = 0;  // 0 unless the cache is int8
  uint64_t layers = 0;    // decode_layers.comp's table, and kPieceAlignment bytes for its counters
  uint32_t max_splits = 1;
  uint64_t logits_row = 0;  // bytes
  uint64_t total() const;
};
StepSizes step_sizes(const Graph& graph, const StepShape& shape);

// What there is to place. Weights with the padding between tensors.
struct Needs {
  uint64_t fixed = 0;            // weights of no layer
  std::vector<uint64_t> layers;  // weights of each
  uint64_t kv = 0, activations = 0;
  uint64_t host = 0;     // read-back, copies of the KV cache
  uint64_t step = 0;     // written by the host, read by the device: counted as the device's
};
Needs needs_of(const Graph& graph, const StepShape& shape, uint64_t kv_bytes);

// As many layers resident as fit into `budget` (0: what is free, less a reserve) beside the rest.
// `chunk`: of the upload ring. kOutOfMemory, with every number, where not even two of them do.
Result<MemoryPlan> plan_memory(const Needs& needs, const HeapFacts& local, const HeapFacts& host,
                               uint64_t budget, uint64_t chunk);

}  // namespace lamina::vulkan
