// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/uploader.h"

#include <algorithm>
#include <new>
#include <utility>

namespace lamina::vulkan {

Result<Timeline> Timeline::create(const Device& device) {
  Timeline t;
  t.device_ = device.handle();
  VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
  info.pNext = &type;
  LAMINA_VK_TRY(vkCreateSemaphore(t.device_, &info, nullptr, &t.semaphore_));
  return t;
}

Timeline::~Timeline() {
  if (semaphore_) vkDestroySemaphore(device_, semaphore_, nullptr);
}

Timeline& Timeline::operator=(Timeline&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(semaphore_, other.semaphore_);
  return *this;
}

Result<void> Timeline::wait(uint64_t value) const {
  VkSemaphoreWaitInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO};
  info.semaphoreCount = 1;
  info.pSemaphores = &semaphore_;
  info.pValues = &value;
  LAMINA_VK_TRY(vkWaitSemaphores(device_, &info, UINT64_MAX));
  return {};
}

Result<void> submit_between(VkQueue queue, const Mark& after, VkCommandBuffer commands,
                            const Mark& reach, VkFence fence) {
  VkTimelineSemaphoreSubmitInfo values{VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO};
  VkSubmitInfo info{VK_STRUCTURE_TYPE_SUBMIT_INFO};
  info.pNext = &values;
  const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
  if (after.value != 0) {
    info.waitSemaphoreCount = values.waitSemaphoreValueCount = 1;
    info.pWaitSemaphores = &after.semaphore;
    info.pWaitDstStageMask = &stage;
    values.pWaitSemaphoreValues = &after.value;
  }
  if (reach.value != 0) {
    info.signalSemaphoreCount = values.signalSemaphoreValueCount = 1;
    info.pSignalSemaphores = &reach.semaphore;
    values.pSignalSemaphoreValues = &reach.value;
  }
  if (commands) {
    info.commandBufferCount = 1;
    info.pCommandBuffers = &commands;
  }
  LAMINA_VK_TRY(vkQueueSubmit(queue, 1, &info, fence));
  return {};
}

Result<std::unique_ptr<Uploader>> Uploader::create(const Device& device, uint64_t chunk_bytes) {
  std::unique_ptr<Uploader> u(new (std::nothrow) Uploader(device, chunk_bytes));
  if (!u) return make_error(Code::kOutOfMemory, "Vulkan uploads");
  LAMINA_ASSIGN(u->arrived_, Timeline::create(device));
  VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = device.copy_family();
  LAMINA_VK_TRY(vkCreateCommandPool(device.handle(), &pool, nullptr, &u->pool_));
  for (Chunk& chunk : u->chunks_) {
    VkCommandBufferAllocateInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
    info.commandPool = u->pool_;
    info.commandBufferCount = 1;
    LAMINA_VK_TRY(vkAllocateCommandBuffers(device.handle(), &info, &chunk.commands));
  }
  return u;
}

Uploader::~Uploader() {
  vkDeviceWaitIdle(device_.handle());  // what it sent, and who waits for that
  if (pool_) vkDestroyCommandPool(device_.handle(), pool_, nullptr);
}

Result<Mark> Uploader::send(std::span<const Source> sources, const DeviceBuffer& to, uint64_t offset,
                            const Mark& after, const OnChunk& on_chunk) {
  if (sources.empty()) return Mark{arrived_.handle(), sent_};
  const uint64_t begin = sources.front().at, end = sources.back().at + sources.back().bytes;
  for (uint64_t at = begin; at < end; at += chunk_bytes_) {
    Chunk& chunk = chunks_[sent_ % kChunks];
    if (chunk.sent > 0) LAMINA_TRY(arrived_.wait(chunk.sent));
    if (chunk.staging.size() == 0) {
      LAMINA_ASSIGN(chunk.staging, DeviceBuffer::create(device_, chunk_bytes_, Place::kStaging, "staging"));
    }
    const uint64_t n = std::min(chunk_bytes_, end - at);
    copy_.run(sources, at, n, chunk.staging.mapped());
    VkCommandBufferBeginInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    LAMINA_VK_TRY(vkBeginCommandBuffer(chunk.commands, &info));
    const VkBufferCopy copy{0, offset + at, n};
    vkCmdCopyBuffer(chunk.commands, chunk.staging.handle(), to.handle(), 1, &copy);
    LAMINA_VK_TRY(vkEndCommandBuffer(chunk.commands));
    chunk.sent = sent_ + 1;
    LAMINA_TRY(submit_between(device_.copy_queue(), at == begin ? after : Mark{}, chunk.commands,
                              {arrived_.handle(), chunk.sent}));
    sent_ = chunk.sent;
    if (on_chunk) on_chunk(n);
  }
  return Mark{arrived_.handle(), sent_};
}

Result<void> Uploader::finish() {
  if (sent_ == 0) return {};
  LAMINA_TRY(arrived_.wait(sent_));
  return submit_between(device_.queue(), {arrived_.handle(), sent_}, VK_NULL_HANDLE, {});
}

}  // namespace lamina::vulkan
