// SPDX-License-Identifier: Apache-2.0
// What a device's memory gives, for benchmarks to compare with.
#pragma once

#include "backends/vulkan/vulkan_backend.h"

namespace lamina::vulkan {

class Device;

// Takes two buffers of up to 512 MiB each while it runs. kOutOfMemory where not even small ones fit.
Result<VulkanBackend::Bandwidth> measure_bandwidth(Device& device);

}  // namespace lamina::vulkan
