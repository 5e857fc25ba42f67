// SPDX-License-Identifier: Apache-2.0
// One Vulkan device: which there are, what it can do, its queue.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/vulkan/vk_api.h"

namespace lamina::vulkan {

struct HeapFacts {
  uint64_t bytes = 0;
  uint64_t free = 0;   // what this process may still take of it now; `bytes` where nobody says
  bool local = false;  // the device's own, or one that it shares with the processor
};

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
  bool float64 = false;
  bool memory_budget = false;
  bool cooperative = false;  // NV cooperative matrices of int8 and f16
  uint32_t cores = 0;         // multiprocessors; 0: not known
  uint32_t shared_bytes = 16384;
  uint32_t max_invocations = 128;
  uint32_t timestamp_bits = 0;
  double timestamp_ns = 1.0;
  std::vector<HeapFacts> heaps;
  uint64_t max_allocation = 0;
  bool copy_queue = false;  // copies run beside kernels

  // The largest device-local heap, and the largest other one; the same where there is no other.
  const HeapFacts& local_heap() const;
  const HeapFacts& host_heap() const;
};

class Device {
 public:
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Facts of all usable devices in the order that `index` counts them: discrete ones first, those
  // that are software last. kUnsupported without Vulkan.
  static Result<std::vector<DeviceFacts>> list();

  // `variant`: for tests, words of "no-int-dot no-cooperative memory=N", or empty. The last
  // one opened is kept, since opening takes a tenth of a second, and given again until it is lost.
  static Result<std::shared_ptr<Device>> open(int index, const std::string& variant);

  const DeviceFacts& facts() const { return facts_; }
  VkDevice handle() const { return device_; }
  VkQueue queue() const { return queue_; }
  uint32_t queue_family() const { return queue_family_; }
  // Where uploads go: a queue of its own where the device has one, else the same.
  VkQueue copy_queue() const { return copy_queue_; }
  uint32_t copy_family() const { return copy_family_; }
  // What of the device's memory is free now.
  HeapFacts local_heap_now() const;
  // The memory type that has all `wanted` and as many of `nice` as there are; -1 without.
  int memory_type(uint32_t allowed, VkMemoryPropertyFlags wanted, VkMemoryPropertyFlags nice) const;
  VkMemoryPropertyFlags memory_flags(int type) const;

  // One for everything made on the device. It begins with `data`, what pipeline_cache_data() gave
  // on an earlier run, when it is first asked for; the driver drops what it can't use.
  Result<VkPipelineCache> pipeline_cache(std::span<const std::byte> data);
  Result<std::vector<std::byte>> pipeline_cache_data() const;

  // Counts what is allocated in the device's own memory. False where the variant's "memory=N", in
  // KiB, says that there is no more: a small device, for tests.
  bool take(uint64_t bytes) const;
  void give_back(uint64_t bytes) const { taken_ -= bytes; }

 private:
  Device() = default;
  Result<void> create(VkPhysicalDevice physical, const std::string& variant);
  Result<void> choose_queues();

  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE, copy_queue_ = VK_NULL_HANDLE;
  uint32_t queue_family_ = 0, copy_family_ = 0;
  DeviceFacts facts_;
  VkPipelineCache cache_ = VK_NULL_HANDLE;
  uint64_t most_ = UINT64_MAX;
  mutable std::atomic<uint64_t> taken_{0};
  VkPhysicalDeviceMemoryProperties memory_{};
};

}  // namespace lamina::vulkan
