// SPDX-License-Identifier: Apache-2.0
// Compute pipelines: one of the build's SPIR-V modules, specialised to a shape. All that a model needs
// are asked for first and then made together, on several threads.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/vulkan/device.h"
#include "backends/vulkan/shapes.h"

namespace lamina::vulkan {

struct SpirvModule {
  const char* name;  // "matmul_add_i8_fused"
  const uint32_t* words;
  size_t n_words;
};
std::span<const SpirvModule> spirv_modules();  // made by the build

class Pipelines {
 public:
  explicit Pipelines(Device& device) : device_(device) {}
  ~Pipelines();

  // `cache`: see Device::pipeline_cache.
  Result<void> open(std::span<const std::byte> cache);

  // The number of the pipeline, which exists after the next create().
  // REQUIRES: the build has the module.
  int request(const std::string& module, const Shape& shape);
  Result<void> create();

  VkPipeline at(int number) const { return made_[static_cast<size_t>(number)]; }
  VkPipelineLayout layout() const { return layout_; }
  size_t count() const { return made_.size(); }

 private:
  struct Wanted {
    const SpirvModule* module;
    Shape shape;
  };
  VkResult create_one(size_t number, VkPipelineCache cache);

  Device& device_;
  VkPipelineLayout layout_ = VK_NULL_HANDLE;
  VkPipelineCache cache_ = VK_NULL_HANDLE;  // the device's
  std::vector<Wanted> wanted_;
  std::vector<VkPipeline> made_;
};

}  // namespace lamina::vulkan
