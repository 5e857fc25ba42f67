// SPDX-License-Identifier: Apache-2.0
// Every engine that this machine can run, by name: an instruction set of the CPU, or "vulkan" with
// words of VulkanOptions::variant after a colon.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "backends/vulkan/vulkan_backend.h"

namespace lamina::test {

// The first `most`; none where there is no Vulkan device.
inline std::vector<std::string> vulkan_engines(size_t most = 3) {
  const auto devices = vulkan_devices();
  if (!devices || devices->empty()) return {};
  std::vector<std::string> all = {"vulkan", "vulkan:no-int-dot no-shuffle u=2",
                                  "vulkan:no-fused unroll=1"};
  all.resize(std::min(most, all.size()));
  return all;
}

inline std::string plain_name(std::string name) {
  std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

inline Result<std::unique_ptr<Backend>> make_engine_backend(const std::string& name, int threads) {
  if (!name.starts_with("vulkan")) {
    LAMINA_ASSIGN(std::unique_ptr<Backend> cpu, make_cpu_backend({threads, name}));
    return cpu;
  }
  VulkanOptions options;
  if (name.size() > 7) options.variant = name.substr(7);
  LAMINA_ASSIGN(std::unique_ptr<Backend> gpu, make_vulkan_backend(options));
  return gpu;
}

}  // namespace lamina::test
