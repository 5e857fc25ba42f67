// SPDX-License-Identifier: Apache-2.0
// A plan's weights on the device, side by side in few buffers.
#pragma once

#include <functional>
#include <vector>

#include "backends/vulkan/memory.h"
#include "backends/vulkan/program.h"
#include "core/engine/plan.h"

namespace lamina::vulkan {

class Weights {
 public:
  // Bytes that are on their way, of all.
  using OnUpload = std::function<void(uint64_t done, uint64_t total)>;

  // Each tensor once, though several ops may read it (tied embeddings).
  Result<void> upload(const Device& device, Transfer& transfer, const std::vector<PlannedOp>& plan,
                      const OnUpload& on_upload);

  // Addresses by op of the plan.
  const std::vector<DeviceWeight>& matrices() const { return matrices_; }
  const std::vector<uint64_t>& norms() const { return norms_; }
  const std::vector<uint64_t>& biases() const { return biases_; }
  uint64_t bytes() const { return bytes_; }

 private:
  // A tensor of an op: where it lies, how large it is, where its address goes.
  struct Piece {
    const void* from;
    uint64_t bytes;
    uint64_t* address;
  };
  std::vector<Piece> pieces(const std::vector<PlannedOp>& plan);
  Result<void> place(const Device& device, uint64_t bytes, uint64_t rest, uint64_t* offset);

  std::vector<DeviceWeight> matrices_;
  std::vector<uint64_t> norms_, biases_;
  std::vector<DeviceBuffer> buffers_;
  uint64_t used_ = 0;  // of the last buffer
  uint64_t bytes_ = 0;
};

}  // namespace lamina::vulkan
