// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/memory.h"

#include <algorithm>
#include <new>
#include <utility>

namespace lamina::vulkan {

namespace {

struct Kind {
  VkMemoryPropertyFlags wanted, nice;
};

Kind kind_of(Place place) {
  constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  constexpr VkMemoryPropertyFlags kHost =
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  switch (place) {
    case Place::kDevice: return {kLocal, 0};
    case Place::kStep: return {kHost, kLocal};
    case Place::kReadback: return {kHost, VK_MEMORY_PROPERTY_HOST_CACHED_BIT};
    case Place::kStaging: break;
  }
  return {kHost, 0};
}

}  // namespace

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  if (this == &other) return *this;
  release();
  device_ = std::exchange(other.device_, nullptr);
  place_ = other.place_;
  buffer_ = std::exchange(other.buffer_, VK_NULL_HANDLE);
  memory_ = std::exchange(other.memory_, VK_NULL_HANDLE);
  address_ = std::exchange(other.address_, 0);
  size_ = std::exchange(other.size_, 0);
  mapped_ = std::exchange(other.mapped_, nullptr);
  return *this;
}

void DeviceBuffer::release() {
  if (buffer_) vkDestroyBuffer(device_->handle(), buffer_, nullptr);
  if (memory_) {
    vkFreeMemory(device_->handle(), memory_, nullptr);
    if (place_ == Place::kDevice) device_->give_back(size_);
  }
  buffer_ = VK_NULL_HANDLE;
  memory_ = VK_NULL_HANDLE;
}

Result<DeviceBuffer> DeviceBuffer::create(const Device& device, uint64_t bytes, Place place, const char* what) {
  DeviceBuffer b;
  if (bytes == 0) return b;
  b.device_ = &device;
  b.place_ = place;
  b.size_ = bytes;
  const VkDevice handle = device.handle();
  VkBufferCreateInfo info{VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO};
  info.size = (bytes + 255) / 256 * 256;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
               VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
               VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT;
  const uint32_t families[] = {device.queue_family(), device.copy_family()};
  if (families[0] != families[1]) {
    info.sharingMode = VK_SHARING_MODE_CONCURRENT;
    info.queueFamilyIndexCount = 2;
    info.pQueueFamilyIndices = families;
  }
  LAMINA_VK_TRY(vkCreateBuffer(handle, &info, nullptr, &b.buffer_));
  VkMemoryRequirements needs;
  vkGetBufferMemoryRequirements(handle, b.buffer_, &needs);
  const Kind kind = kind_of(place);
  const int type = device.memory_type(needs.memoryTypeBits, kind.wanted, kind.nice);
  if (type < 0) return make_error(Code::kUnsupported, "Vulkan: no memory for %s", what);
  VkMemoryAllocateFlagsInfo flags{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO};
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  VkMemoryAllocateInfo allocate{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
  allocate.pNext = &flags;
  allocate.allocationSize = needs.size;
  allocate.memoryTypeIndex = static_cast<uint32_t>(type);
  VkResult r = VK_ERROR_OUT_OF_DEVICE_MEMORY;
  if (place != Place::kDevice || device.take(bytes)) {
    r = vkAllocateMemory(handle, &allocate, nullptr, &b.memory_);
    if (r != VK_SUCCESS && place == Place::kDevice) device.give_back(bytes);
  }
  if (r != VK_SUCCESS) {
    if (r == VK_ERROR_DEVICE_LOST) return vulkan_error(r, "vkAllocateMemory");
    return make_error(Code::kOutOfMemory, "Vulkan: %llu bytes for %s could not be had (%s)",
                      static_cast<unsigned long long>(needs.size), what, result_name(r));
  }
  LAMINA_VK_TRY(vkBindBufferMemory(handle, b.buffer_, b.memory_, 0));
  VkBufferDeviceAddressInfo where{VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO};
  where.buffer = b.buffer_;
  b.address_ = vkGetBufferDeviceAddress(handle, &where);
  if (place != Place::kDevice) {
    void* p = nullptr;
    LAMINA_VK_TRY(vkMapMemory(handle, b.memory_, 0, VK_WHOLE_SIZE, 0, &p));
    b.mapped_ = static_cast<std::byte*>(p);
  }
  return b;
}

Result<std::unique_ptr<Transfer>> Transfer::create(const Device& device) {
  std::unique_ptr<Transfer> t(new (std::nothrow) Transfer(device));
  if (!t) return make_error(Code::kOutOfMemory, "Vulkan transfer");
  VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = device.queue_family();
  LAMINA_VK_TRY(vkCreateCommandPool(device.handle(), &pool, nullptr, &t->pool_));
  VkCommandBufferAllocateInfo commands{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
  commands.commandPool = t->pool_;
  commands.commandBufferCount = kSlots;
  LAMINA_VK_TRY(vkAllocateCommandBuffers(device.handle(), &commands, t->commands_));
  for (VkFence& fence : t->fences_) {
    const VkFenceCreateInfo info{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO, nullptr, 0};
    LAMINA_VK_TRY(vkCreateFence(device.handle(), &info, nullptr, &fence));
  }
  return t;
}

Transfer::~Transfer() {
  for (int i = 0; i < kSlots; ++i) (void)wait(i);
  for (VkFence fence : fences_) {
    if (fence) vkDestroyFence(device_.handle(), fence, nullptr);
  }
  if (pool_) vkDestroyCommandPool(device_.handle(), pool_, nullptr);
}

Result<void> Transfer::wait(int slot) {
  if (!pending_[slot]) return {};
  pending_[slot] = false;
  LAMINA_VK_TRY(vkWaitForFences(device_.handle(), 1, &fences_[slot], VK_TRUE, UINT64_MAX));
  LAMINA_VK_TRY(vkResetFences(device_.handle(), 1, &fences_[slot]));
  return {};
}

Result<void> Transfer::begin(int slot) {
  LAMINA_TRY(wait(slot));
  VkCommandBufferBeginInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  LAMINA_VK_TRY(vkBeginCommandBuffer(commands_[slot], &info));
  return {};
}

Result<void> Transfer::submit(int slot) {
  VkMemoryBarrier all{VK_STRUCTURE_TYPE_MEMORY_BARRIER};
  all.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
  all.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT | VK_ACCESS_HOST_READ_BIT;
  vkCmdPipelineBarrier(commands_[slot], VK_PIPELINE_STAGE_TRANSFER_BIT,
                       VK_PIPELINE_STAGE_ALL_COMMANDS_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &all, 0,
                       nullptr, 0, nullptr);
  LAMINA_VK_TRY(vkEndCommandBuffer(commands_[slot]));
  VkSubmitInfo info{VK_STRUCTURE_TYPE_SUBMIT_INFO};
  info.commandBufferCount = 1;
  info.pCommandBuffers = &commands_[slot];
  LAMINA_VK_TRY(vkQueueSubmit(device_.queue(), 1, &info, fences_[slot]));
  pending_[slot] = true;
  return {};
}

Result<void> Transfer::upload(std::span<const std::byte> from, const DeviceBuffer& to, uint64_t offset) {
  for (uint64_t at = 0; at < from.size(); at += kChunk) {
    const int slot = next_;
    next_ = (next_ + 1) % kSlots;
    if (staging_[slot].size() == 0) {
      LAMINA_ASSIGN(staging_[slot], DeviceBuffer::create(device_, kChunk, Place::kStaging, "staging"));
    }
    LAMINA_TRY(begin(slot));
    const uint64_t n = std::min<uint64_t>(kChunk, from.size() - at);
    std::memcpy(staging_[slot].mapped(), from.data() + at, n);
    const VkBufferCopy copy{0, offset + at, n};
    vkCmdCopyBuffer(commands_[slot], staging_[slot].handle(), to.handle(), 1, &copy);
    LAMINA_TRY(submit(slot));
  }
  return {};
}

Result<void> Transfer::download(const DeviceBuffer& from, uint64_t offset, std::span<std::byte> to) {
  if (readback_.size() == 0) {
    LAMINA_ASSIGN(readback_, DeviceBuffer::create(device_, kChunk, Place::kReadback, "read-back"));
  }
  for (uint64_t at = 0; at < to.size(); at += kChunk) {
    LAMINA_TRY(begin(0));
    const uint64_t n = std::min<uint64_t>(kChunk, to.size() - at);
    const VkBufferCopy copy{offset + at, 0, n};
    vkCmdCopyBuffer(commands_[0], from.handle(), readback_.handle(), 1, &copy);
    LAMINA_TRY(submit(0));
    LAMINA_TRY(wait(0));
    std::memcpy(to.data() + at, readback_.mapped(), n);
  }
  return {};
}

Result<void> Transfer::fill_zero(const DeviceBuffer& buffer) {
  if (buffer.size() == 0) return {};
  LAMINA_TRY(begin(next_));
  vkCmdFillBuffer(commands_[next_], buffer.handle(), 0, VK_WHOLE_SIZE, 0);
  LAMINA_TRY(submit(next_));
  return wait(next_);
}

Result<void> Transfer::finish() {
  for (int i = 0; i < kSlots; ++i) LAMINA_TRY(wait(i));
  return {};
}

}  // namespace lamina::vulkan
