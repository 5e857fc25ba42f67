// SPDX-License-Identifier: Apache-2.0
// Llama on a GPU through Vulkan 1.2. Weights are copied to the device; a step is a command buffer
// that was recorded once for its number of rows.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/engine/backend.h"
#include "core/engine/memory_plan.h"

namespace lamina {

struct VulkanDeviceInfo {
  std::string name;      // "NVIDIA H200"
  std::string driver;    // "NVIDIA 580.159.04"
  std::string features;  // "subgroup 32, int8 dot, cooperative matrix"
  std::string kernels;   // which of them it gets: "single tokens: int8 dot products; prompts: ..."
  bool software = false;
  struct Heap {
    uint64_t bytes = 0, free = 0;
    bool local = false;  // the device's own
  };
  std::vector<Heap> heaps;
};

struct VulkanOptions {
  int device = 0;       // as vulkan_devices() counts
  std::string variant;  // words that leave features out or tune kernels, for tests:
                        // "no-int-dot no-shuffle no-fused u=1 unroll=4"
  std::vector<std::byte> pipeline_cache;  // what pipeline_cache() gave on an earlier run
  uint64_t memory_budget = 0;  // bytes of the device's memory; 0: what is free
  std::function<void(uint64_t done, uint64_t total)> on_upload;  // bytes of weights
};

class VulkanBackend : public Backend {
 public:
  struct ProfileEntry {
    double seconds = 0.0;
    uint64_t weight_bytes = 0;
    uint64_t calls = 0;
  };

  // What prepare() will take, by what is free now; kOutOfMemory where it can't fit.
  virtual Result<MemoryPlan> plan(const Graph& graph, const KvShape& kv, int32_t max_rows,
                                  int32_t max_logit_rows) const = 0;
  // What it took: may swap more than was planned, where the device had less to give than it said.
  virtual const MemoryPlan& plan() const = 0;

  // Times each kind of op of later steps; turning it on again clears it.
  virtual void set_profile(bool on) = 0;
  virtual const std::vector<ProfileEntry>& profile() const = 0;  // by OpKind; last, all layers in one

  // Bytes per second of the device's own memory, measured now; a copy reads and writes.
  struct Bandwidth {
    double read = 0.0, copy = 0.0;
  };
  virtual Result<Bandwidth> measure_bandwidth() = 0;

  // Of all that was compiled for the device so far, to keep on disk for the next start.
  virtual Result<std::vector<std::byte>> pipeline_cache() const = 0;
};

// kUnsupported where there is no Vulkan or no usable device; the message says why.
Result<std::unique_ptr<VulkanBackend>> make_vulkan_backend(const VulkanOptions& options);

// Discrete devices first, software last.
Result<std::vector<VulkanDeviceInfo>> vulkan_devices();

}  // namespace lamina
