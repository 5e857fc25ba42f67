// SPDX-License-Identifier: Apache-2.0
// Every engine that this machine can run, by name: an instruction set of the CPU, or "vulkan" with
// words of VulkanOptions::variant after a colon.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "backends/vulkan/vulkan_backend.h"

namespace lamina::test {

// Why Vulkan can't be tested here; empty where it can.
inline const std::string& vulkan_missing() {
  static const std::string why = [] {
    const auto backend = make_vulkan_backend({});
    return backend ? std::string() : "no Vulkan device: " + backend.error().message;
  }();
  return why;
}

// Stands in for an engine that is missing, so that its tests are there to be skipped.
inline const char kNoVulkan[] = "no Vulkan device";

// The first `most`.
inline std::vector<std::string> vulkan_engines(size_t most = 100) {
  if (!vulkan_missing().empty()) return {kNoVulkan};
  std::vector<std::string> all = {
      "vulkan",
      "vulkan:no-int-dot no-shuffle u=2 tile=2",
      "vulkan:no-fused unroll=1 tile=4",
      "vulkan:resident=2 threads=128 heads=1 tile=3",
      "vulkan:no-cooperative u=4 unroll=2 threads=32 heads=4",
  };
  all.resize(std::min(most, all.size()));
  return all;
}

inline bool is_vulkan(const std::string& engine) { return engine.starts_with("vulkan"); }

// At the start of a test or a fixture's SetUp. The words "skipped: " are what ctest looks for.
#define LAMINA_SKIP_WITHOUT(engine) \
  if ((engine) == ::lamina::test::kNoVulkan) GTEST_SKIP() << "skipped: " << ::lamina::test::vulkan_missing()

inline std::string plain_name(std::string name) {
  std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

inline Result<std::unique_ptr<Backend>> make_engine_backend(const std::string& name, int threads) {
  if (!is_vulkan(name)) {
    LAMINA_ASSIGN(std::unique_ptr<Backend> cpu, make_cpu_backend({threads, name}));
    return cpu;
  }
  VulkanOptions options;
  if (name.size() > 7) options.variant = name.substr(7);
  LAMINA_ASSIGN(std::unique_ptr<Backend> gpu, make_vulkan_backend(options));
  return gpu;
}

}  // namespace lamina::test
