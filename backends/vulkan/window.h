// SPDX-License-Identifier: Apache-2.0
// The layers that do not stay on the device, one after another in its slots: while the kernels of one
// run, the next is on its way. Kernels never wait for the host to have seen something: marks on the
// device order them and the copies.
#pragma once

#include <memory>
#include <vector>

#include "backends/vulkan/weights.h"

namespace lamina::vulkan {

class Window {
 public:
  // All outlive this.
  static Result<std::unique_ptr<Window>> create(const Device& device, Uploader& uploader,
                                                const Weights& weights);

  // The kernels of a swapped layer wait for `arrived` and reach `used`, and are submitted before
  // the next turn is taken.
  struct Turn {
    Mark arrived, used;
  };
  Result<Turn> take(size_t layer);

  // Sends the first layers for the next step ahead: their slots are free once this step's last ones
  // have run.
  Result<void> prefetch();

 private:
  Window(Uploader& uploader, const Weights& weights) : uploader_(uploader), weights_(weights) {}
  Result<void> bring(size_t layer);

  struct Slot {
    size_t layer = SIZE_MAX;
    Mark arrived;
    uint64_t used = 0;
  };
  Uploader& uploader_;
  const Weights& weights_;
  Timeline used_;
  uint64_t uses_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace lamina::vulkan
