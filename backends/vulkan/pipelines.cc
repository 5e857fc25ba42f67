// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/pipelines.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

namespace lamina::vulkan {

namespace {

constexpr uint32_t kPushBytes = 128;
constexpr unsigned kMostThreads = 16;

const SpirvModule* find_module(const std::string& name) {
  const auto all = spirv_modules();
  const auto found = std::ranges::find_if(all, [&](const auto& m) { return name == m.name; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace

Pipelines::~Pipelines() {
  for (VkPipeline p : made_) {
    if (p) vkDestroyPipeline(device_.handle(), p, nullptr);
  }
  if (layout_) vkDestroyPipelineLayout(device_.handle(), layout_, nullptr);
}

Result<void> Pipelines::open(std::span<const std::byte> cache) {
  const VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, kPushBytes};
  VkPipelineLayoutCreateInfo layout{VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO};
  layout.pushConstantRangeCount = 1;
  layout.pPushConstantRanges = &range;
  LAMINA_VK_TRY(vkCreatePipelineLayout(device_.handle(), &layout, nullptr, &layout_));
  LAMINA_ASSIGN(cache_, device_.pipeline_cache(cache));
  return {};
}

int Pipelines::request(const std::string& module, const Shape& shape) {
  const SpirvModule* m = find_module(module);
  LAMINA_CHECK(m != nullptr);
  for (size_t i = 0; i < wanted_.size(); ++i) {
    if (wanted_[i].module == m && wanted_[i].shape == shape) return static_cast<int>(i);
  }
  wanted_.push_back({m, shape});
  return static_cast<int>(wanted_.size() - 1);
}

VkResult Pipelines::create_one(size_t number, VkPipelineCache cache) {
  const Wanted& w = wanted_[number];
  VkShaderModuleCreateInfo code{VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
  code.codeSize = w.module->n_words * sizeof(uint32_t);
  code.pCode = w.module->words;
  VkShaderModule module = VK_NULL_HANDLE;
  if (const VkResult r = vkCreateShaderModule(device_.handle(), &code, nullptr, &module)) return r;
  VkSpecializationMapEntry entries[kSpecs];
  for (uint32_t i = 0; i < kSpecs; ++i) entries[i] = {i, i * 4, 4};
  const VkSpecializationInfo constants{kSpecs, entries, sizeof w.shape.v, w.shape.v.data()};
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size{
      VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO};
  size.requiredSubgroupSize = w.shape[kSubgroup];
  VkComputePipelineCreateInfo info{VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO};
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &constants;
  if (device_.facts().subgroup_control) {
    info.stage.pNext = &size;
    info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
  }
  info.layout = layout_;
  const VkResult r =
      vkCreateComputePipelines(device_.handle(), cache, 1, &info, nullptr, &made_[number]);
  vkDestroyShaderModule(device_.handle(), module, nullptr);
  return r;
}

Result<void> Pipelines::create() {
  const size_t first = made_.size();
  made_.resize(wanted_.size(), VK_NULL_HANDLE);
  if (first == wanted_.size()) return {};
  std::atomic<size_t> next{first};
  std::atomic<int> failed{VK_SUCCESS};
  const auto work = [&] {
    for (size_t i = next++; i < wanted_.size(); i = next++) {
      if (const VkResult r = create_one(i, cache_)) failed = r;
    }
  };
  const auto n = std::min<size_t>(std::clamp(std::thread::hardware_concurrency(), 1u, kMostThreads),
                                  wanted_.size() - first);
  std::vector<std::thread> threads;
  for (size_t i = 1; i < n; ++i) threads.emplace_back(work);
  work();
  for (std::thread& t : threads) t.join();
  LAMINA_VK_TRY(static_cast<VkResult>(failed.load()));
  return {};
}

}  // namespace lamina::vulkan
