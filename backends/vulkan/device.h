// SPDX-License-Identifier: Apache-2.0
// One Vulkan device: which there are, what it can do, its queue.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/vulkan/vk_api.h"

namespace lamina::vulkan {

// What the kernels ask about.
struct DeviceFacts {
  std::string name;         // "NVIDIA H200"
  std::string driver;       // "NVIDIA 580.159.04"
  bool discrete = false;
  bool software = false;    // a processor that plays GPU
  uint32_t api = 0;
  uint32_t subgroup = 32;   // size that kernels run with
  bool subgroup_control = false;  // kernels can ask for that size
  bool int_dot = false;     // OpSDot of packed bytes
  bool memory_budget = false;
  bool cooperative = false;  // NV cooperative matrices of int8 and f16
  uint32_t cores = 0;         // multiprocessors; 0: not known
  uint32_t shared_bytes = 16384;
  uint32_t max_invocations = 128;
  uint32_t timestamp_bits = 0;
  double timestamp_ns = 1.0;
  uint64_t local_bytes = 0;   // of the largest device-local heap
  uint64_t budget_bytes = 0;  // what of it this process may use now
  uint64_t max_allocation = 0;
};

class Device {
 public:
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Facts of all usable devices in the order that `index` counts them: discrete ones first, those
  // that are software last. kUnsupported without Vulkan.
  static Result<std::vector<DeviceFacts>> list();

  // `variant`: what to leave out, for tests: words of "no-int-dot no-cooperative", or empty. The last
  // one opened is kept, since opening takes a tenth of a second, and given again until it is lost.
  static Result<std::shared_ptr<Device>> open(int index, const std::string& variant);

  const DeviceFacts& facts() const { return facts_; }
  VkDevice handle() const { return device_; }
  VkQueue queue() const { return queue_; }
  uint32_t queue_family() const { return queue_family_; }
  // The memory type that has all `wanted` and as many of `nice` as there are; -1 without.
  int memory_type(uint32_t allowed, VkMemoryPropertyFlags wanted, VkMemoryPropertyFlags nice) const;
  VkMemoryPropertyFlags memory_flags(int type) const;

 private:
  Device() = default;
  Result<void> create(VkPhysicalDevice physical, const std::string& variant);

  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  uint32_t queue_family_ = 0;
  DeviceFacts facts_;
  VkPhysicalDeviceMemoryProperties memory_{};
};

}  // namespace lamina::vulkan
