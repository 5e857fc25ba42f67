// SPDX-License-Identifier: Apache-2.0
// A plan's weights on the device, side by side in few buffers; those of layers that don't fit take
// turns in slots.
#pragma once

#include <functional>
#include <vector>

#include "backends/vulkan/memory_plan.h"
#include "backends/vulkan/program.h"
#include "backends/vulkan/uploader.h"
#include "core/engine/plan.h"

namespace lamina::vulkan {

class Weights {
 public:
  // Bytes that are on their way, of all that stay.
  using OnUpload = std::function<void(uint64_t done, uint64_t total)>;

  // Each tensor once, though several ops may read it (tied embeddings). Layers from
  // `memory.resident_layers` on are left on the host, which keeps them for as long as this lives.
  Result<void> upload(const Device& device, Uploader& uploader, const std::vector<PlannedOp>& plan,
                      const MemoryPlan& memory, const OnUpload& on_upload);

  // Addresses by op of the plan; of a swapped layer those in its slot.
  const std::vector<DeviceWeight>& matrices() const { return matrices_; }
  const std::vector<uint64_t>& norms() const { return norms_; }
  const std::vector<uint64_t>& biases() const { return biases_; }
  uint64_t bytes() const { return bytes_; }  // on the device, slots included

  // Swapped layers, in order; number n has slot n % slots().size().
  struct Swapped {
    std::vector<Source> sources;  // by where they go in the slot
  };
  const std::vector<Swapped>& swapped() const { return swapped_; }
  const std::vector<DeviceBuffer>& slots() const { return slots_; }

 private:
  // A tensor of an op: where it lies, how large it is, where its address goes.
  struct Piece {
    const void* from;
    uint64_t bytes;
    uint64_t* address;
    int32_t layer;
  };
  std::vector<Piece> pieces(const std::vector<PlannedOp>& plan);
  Result<void> make_slots(const Device& device, const MemoryPlan& memory);
  void put_in_slot(const Piece& piece, Swapped& layer, const DeviceBuffer& slot) const;
  Result<void> upload_group(const Device& device, Uploader& uploader, std::span<const Piece> group,
                            const Uploader::OnChunk& on_chunk);

  std::vector<DeviceWeight> matrices_;
  std::vector<uint64_t> norms_, biases_;
  std::vector<DeviceBuffer> buffers_, slots_;
  std::vector<Swapped> swapped_;
  uint64_t bytes_ = 0;
};

}  // namespace lamina::vulkan
