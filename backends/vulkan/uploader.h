// SPDX-License-Identifier: Apache-2.0
// The host's bytes on their way to the device: copied by several threads into a ring of pinned memory
// that the device's copy queue empties, beside whatever its kernels do.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backends/vulkan/host_copy.h"
#include "backends/vulkan/memory.h"

namespace lamina::vulkan {

// A timeline semaphore and what it must have reached.
struct Mark {
  VkSemaphore semaphore = VK_NULL_HANDLE;
  uint64_t value = 0;  // 0: nothing to wait for
};

class Timeline {
 public:
  static Result<Timeline> create(const Device& device);
  Timeline() = default;
  ~Timeline();
  Timeline(Timeline&& other) noexcept { *this = std::move(other); }
  Timeline& operator=(Timeline&& other) noexcept;

  VkSemaphore handle() const { return semaphore_; }
  Result<void> wait(uint64_t value) const;

 private:
  VkDevice device_ = VK_NULL_HANDLE;
  VkSemaphore semaphore_ = VK_NULL_HANDLE;
};

// Submits commands (or none) that wait for one mark and reach another.
Result<void> submit_between(VkQueue queue, const Mark& after, VkCommandBuffer commands,
                            const Mark& reach, VkFence fence = VK_NULL_HANDLE);

class Uploader {
 public:
  static constexpr int kChunks = 4;
  static constexpr uint64_t kUsualChunk = uint64_t{32} << 20;

  static Result<std::unique_ptr<Uploader>> create(const Device& device, uint64_t chunk_bytes);
  ~Uploader();

  // Copies `sources`, in the order of where they go, to `to` from `offset` on; what lies between them
  // becomes anything. The device begins when `after` is reached. Gives the mark at which all is there.
  // `on_chunk` hears of each part's bytes when it has left the host.
  using OnChunk = std::function<void(uint64_t bytes)>;
  Result<Mark> send(std::span<const Source> sources, const DeviceBuffer& to, uint64_t offset,
                    const Mark& after, const OnChunk& on_chunk = {});

  // Waits until everything has arrived; kernels submitted from now on see it.
  Result<void> finish();

  uint64_t ring_bytes() const { return kChunks * chunk_bytes_; }

 private:
  Uploader(const Device& device, uint64_t chunk_bytes)
      : device_(device), chunk_bytes_(chunk_bytes), copy_(HostCopy::usual_threads()) {}

  struct Chunk {
    DeviceBuffer staging;
    VkCommandBuffer commands = VK_NULL_HANDLE;
    uint64_t sent = 0;  // value of arrived_ at which it may be filled again
  };

  const Device& device_;
  const uint64_t chunk_bytes_;
  HostCopy copy_;
  Chunk chunks_[kChunks];
  VkCommandPool pool_ = VK_NULL_HANDLE;
  Timeline arrived_;
  uint64_t sent_ = 0;  // the last value that arrived_ will have
};

}  // namespace lamina::vulkan
