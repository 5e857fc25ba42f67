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
  };
  static Result<std::unique_ptr<Commands>> create(const Parts& parts);
  ~Commands();

  // Begins `times` steps of one kind, one after another. Waits for what was begun before.
  Result<void> submit(const StepKind& kind, int32_t times);
  Result<void> wait();

  void set_profile(bool on);
  const std::vector<VulkanBackend::ProfileEntry>& profile() const { return profile_; }

 private:
  struct Recording {
    VkCommandBuffer commands;
    std::vector<Dispatch> dispatches;
  };

  explicit Commands(const Parts& parts) : parts_(parts) {}
  Result<const Recording*> recording(const StepKind& kind);
  Result<void> record(const Recording& r, const StepKind& kind);
  void copy_logits(VkCommandBuffer commands, int32_t rows) const;
  Result<void> submit_now(const std::vector<VkCommandBuffer>& list);
  Result<void> add_times(const Recording& r);

  const Parts parts_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  VkQueryPool queries_ = VK_NULL_HANDLE;
  std::map<std::pair<StepKind, bool>, Recording> recordings_;  // plain, and with time stamps
  bool pending_ = false, profiling_ = false;
  std::vector<VulkanBackend::ProfileEntry> profile_{kOpKinds};
};

}  // namespace lamina::vulkan
