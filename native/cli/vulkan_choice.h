// SPDX-License-Identifier: Apache-2.0
// The Vulkan engine as the program uses it: self-tested, its compiled kernels kept on disk. In a
// build without it every call is kUnsupported.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/vulkan/vulkan_backend.h"

namespace lamina::cli {

struct OpenedVulkan {
  std::unique_ptr<Backend> backend;
  VulkanBackend* vulkan = nullptr;  // the same, where its own interface is wanted
};

struct VulkanWish {
  int32_t device = 0;
  uint64_t memory_budget = 0;  // as VulkanOptions
  std::function<void(uint64_t done, uint64_t total)> on_upload;
};

// The wished device, once its self-test has passed; an error names the device and its
// driver. Reads LAMINA_VULKAN_VARIANT. The kernels that the driver compiled are read from the cache
// directory, and written there when there are new ones; what can't be read or written is no error.
Result<OpenedVulkan> open_vulkan(const VulkanWish& wish);

// Whether "auto" may take this device. A processor that plays GPU is slower than our own kernels.
Result<void> check_vulkan_hardware(int32_t device);

Result<std::vector<VulkanDeviceInfo>> list_vulkan();

std::string vulkan_variant();  // LAMINA_VULKAN_VARIANT, or empty

}  // namespace lamina::cli
