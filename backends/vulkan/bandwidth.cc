// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/bandwidth.h"

#include <algorithm>
#include <chrono>
#include <functional>

#include "backends/vulkan/memory.h"
#include "backends/vulkan/pipelines.h"

namespace lamina::vulkan {

namespace {

constexpr uint64_t kMostBytes = uint64_t{512} << 20;  // beyond any cache
constexpr int kTimes = 8;                             // in one submission
constexpr uint32_t kReadThreads = 256;

struct ReadAllPush {
  uint64_t from, to;
  uint32_t words;
};

// A command buffer that is submitted as a whole and timed from outside.
class Timed {
 public:
  explicit Timed(const Device& device) : device_(device) {}
  ~Timed() {
    if (fence_) vkDestroyFence(device_.handle(), fence_, nullptr);
    if (pool_) vkDestroyCommandPool(device_.handle(), pool_, nullptr);
  }

  Result<void> create() {
    VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    pool.queueFamilyIndex = device_.queue_family();
    LAMINA_VK_TRY(vkCreateCommandPool(device_.handle(), &pool, nullptr, &pool_));
    const VkFenceCreateInfo fence{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO, nullptr, 0};
    LAMINA_VK_TRY(vkCreateFence(device_.handle(), &fence, nullptr, &fence_));
    return {};
  }

  // Seconds of the fastest of three runs of what `record` puts down kTimes, in order.
  Result<double> seconds(const std::function<void(VkCommandBuffer)>& record) {
    VkCommandBufferAllocateInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
    info.commandPool = pool_;
    info.commandBufferCount = 1;
    VkCommandBuffer commands;
    LAMINA_VK_TRY(vkAllocateCommandBuffers(device_.handle(), &info, &commands));
    const VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    LAMINA_VK_TRY(vkBeginCommandBuffer(commands, &begin));
    for (int i = 0; i < kTimes; ++i) {
      record(commands);
      VkMemoryBarrier all{VK_STRUCTURE_TYPE_MEMORY_BARRIER};
      all.srcAccessMask = all.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT;
      vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0,
                           1, &all, 0, nullptr, 0, nullptr);
    }
    LAMINA_VK_TRY(vkEndCommandBuffer(commands));
    double best = 0.0;
    for (int i = 0; i < 3; ++i) {
      LAMINA_ASSIGN(const double s, run(commands));
      best = i == 0 ? s : std::min(best, s);
    }
    return best;
  }

 private:
  Result<double> run(VkCommandBuffer commands) {
    const auto start = std::chrono::steady_clock::now();
    VkSubmitInfo info{VK_STRUCTURE_TYPE_SUBMIT_INFO};
    info.commandBufferCount = 1;
    info.pCommandBuffers = &commands;
    LAMINA_VK_TRY(vkQueueSubmit(device_.queue(), 1, &info, fence_));
    LAMINA_VK_TRY(vkWaitForFences(device_.handle(), 1, &fence_, VK_TRUE, UINT64_MAX));
    LAMINA_VK_TRY(vkResetFences(device_.handle(), 1, &fence_));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  const Device& device_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
};

}  // namespace

Result<VulkanBackend::Bandwidth> measure_bandwidth(Device& device) {
  const DeviceFacts& facts = device.facts();
  const uint64_t bytes = facts.software ? kMostBytes / 16 : std::min(kMostBytes, facts.max_allocation / 4);
  LAMINA_ASSIGN(const DeviceBuffer from, DeviceBuffer::create(device, bytes, Place::kDevice, "a bandwidth test"));
  LAMINA_ASSIGN(const DeviceBuffer to, DeviceBuffer::create(device, bytes, Place::kDevice, "a bandwidth test"));
  LAMINA_ASSIGN(const auto transfer, Transfer::create(device));
  LAMINA_TRY(transfer->fill_zero(from));
  LAMINA_TRY(transfer->fill_zero(to));
  LAMINA_TRY(transfer->finish());

  Pipelines pipelines(device);
  LAMINA_TRY(pipelines.open({}));
  Shape shape;
  shape[kSubgroup] = facts.subgroup;
  shape[kThreads] = std::min(kReadThreads, facts.max_invocations);
  const int number = pipelines.request("read_all", shape);
  LAMINA_TRY(pipelines.create());

  Timed timed(device);
  LAMINA_TRY(timed.create());
  const ReadAllPush push{from.address(), to.address(), static_cast<uint32_t>(bytes / 16)};
  const uint32_t groups = 8 * (facts.cores > 0 ? facts.cores : 16);
  LAMINA_ASSIGN(const double read, timed.seconds([&](VkCommandBuffer commands) {
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipelines.at(number));
    vkCmdPushConstants(commands, pipelines.layout(), VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof push, &push);
    vkCmdDispatch(commands, groups, 1, 1);
  }));
  LAMINA_ASSIGN(const double copy, timed.seconds([&](VkCommandBuffer commands) {
    const VkBufferCopy whole{0, 0, bytes};
    vkCmdCopyBuffer(commands, from.handle(), to.handle(), 1, &whole);
  }));
  const double all = static_cast<double>(bytes) * kTimes;
  return VulkanBackend::Bandwidth{all / read, 2 * all / copy};
}

}  // namespace lamina::vulkan
