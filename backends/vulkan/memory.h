// SPDX-License-Identifier: Apache-2.0
// Device memory: few large allocations, each one buffer with an address.
#pragma once

#include <cstring>
#include <memory>
#include <span>

#include "backends/vulkan/device.h"

namespace lamina::vulkan {

enum class Place : uint8_t {
  kDevice,   // fast for the device; the host can't see it
  kStep,     // written by the host at each step, read by the device
  kStaging,  // copied from by the device
  kReadback, // copied to by the device, read by the host
};

class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  ~DeviceBuffer() { release(); }
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;

  // `bytes` 0 gives an empty buffer. `what` names it in an error.
  static Result<DeviceBuffer> create(const Device& device, uint64_t bytes, Place place, const char* what);

  VkBuffer handle() const { return buffer_; }
  uint64_t address() const { return address_; }
  uint64_t size() const { return size_; }
  std::byte* mapped() const { return mapped_; }  // null for kDevice
  template <typename T>
  T* as(uint64_t offset = 0) const {
    return static_cast<T*>(static_cast<void*>(mapped_ + offset));
  }

 private:
  void release();

  const Device* device_ = nullptr;
  Place place_ = Place::kDevice;
  VkBuffer buffer_ = VK_NULL_HANDLE;
  VkDeviceMemory memory_ = VK_NULL_HANDLE;
  uint64_t address_ = 0, size_ = 0;
  std::byte* mapped_ = nullptr;
};

// Commands that run once, in order, and are waited for: small copies, clearing.
class Transfer {
 public:
  ~Transfer();
  static Result<std::unique_ptr<Transfer>> create(const Device& device);
  static constexpr uint64_t host_bytes() { return (kSlots + 1) * kChunk; }

  Result<void> upload(std::span<const std::byte> from, const DeviceBuffer& to, uint64_t offset);
  Result<void> download(const DeviceBuffer& from, uint64_t offset, std::span<std::byte> to);
  Result<void> fill_zero(const DeviceBuffer& buffer);
  // Waits until everything uploaded has arrived.
  Result<void> finish();

 private:
  explicit Transfer(const Device& device) : device_(device) {}
  Result<void> begin(int slot);
  Result<void> submit(int slot);
  Result<void> wait(int slot);

  static constexpr uint64_t kChunk = uint64_t{4} << 20;
  static constexpr int kSlots = 2;

  const Device& device_;
  DeviceBuffer staging_[kSlots];
  DeviceBuffer readback_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkCommandBuffer commands_[kSlots] = {};
  VkFence fences_[kSlots] = {};
  bool pending_[kSlots] = {};
  int next_ = 0;
};

}  // namespace lamina::vulkan
