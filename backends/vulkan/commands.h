// SPDX-License-Identifier: Apache-2.0
// Steps as command buffers: recorded when a kind of step is first wanted, then submitted again and
// again; what differs from step to step lies in memory.
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "backends/vulkan/memory.h"
#include "backends/vulkan/program.h"
#include "backends/vulkan/vulkan_backend.h"
#include "backends/vulkan/window.h"

namespace lamina::vulkan {

class Commands {
 public:
  struct Parts {  // all outlive this
    const Device* device;
    const Program* program;
    Pipelines* pipelines;
    const DeviceBuffer* step;      // begins with the sizes of indirect dispatches
    const DeviceBuffer* logits;    // copied to `readback` after a step that has some
    const DeviceBuffer* readback;
    uint64_t logit_row_bytes;
    Window* window = nullptr;    // where layers from this one on are swapped
    int32_t first_swapped = INT32_MAX;
  };
  static Result<std::unique_ptr<Commands>> create(const Parts& parts);
  ~Commands();

  // Begins `times` steps of one kind, one after another. Waits for what was begun before.
  Result<void> submit(const StepKind& kind, int32_t times);
  Result<void> wait();

  void set_profile(bool on);
  const std::vector<VulkanBackend::ProfileEntry>& profile() const { return profile_; }

 private:
  // What runs without waiting: up to a swapped layer, such a layer, what follows the last.
  struct Segment {
    VkCommandBuffer commands;
    int32_t swapped;  // counted from the first of these layers; -1: none
    size_t end;       // of its dispatches
  };
  struct Recording {
    std::vector<Dispatch> dispatches;
    std::vector<Segment> segments;
  };

  explicit Commands(const Parts& parts) : parts_(parts) {}
  Result<const Recording*> recording(const StepKind& kind);
  Result<void> add_segments(Recording& r);
  Result<void> record(const Recording& r, const StepKind& kind);
  Result<void> record_segment(const Recording& r, size_t number, const StepKind& kind);
  void record_dispatch(VkCommandBuffer commands, const Dispatch& d) const;
  int32_t swapped(const Dispatch& d) const;
  void copy_logits(VkCommandBuffer commands, int32_t rows) const;
  Result<void> submit_now(const std::vector<VkCommandBuffer>& list);
  Result<void> submit_swapping(const Recording& r);
  Result<void> add_times(const Recording& r);

  const Parts parts_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  VkQueryPool queries_ = VK_NULL_HANDLE;
  std::map<std::pair<StepKind, bool>, Recording> recordings_;  // plain, and with time stamps
  bool pending_ = false, profiling_ = false;
  std::vector<VulkanBackend::ProfileEntry> profile_{kOpKinds + 1};
};

}  // namespace lamina::vulkan
