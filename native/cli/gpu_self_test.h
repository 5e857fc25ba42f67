// SPDX-License-Identifier: Apache-2.0
// Whether a GPU computes rightly, told before a model is trusted to it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/engine/backend.h"

namespace lamina::cli {

// Makes a fresh backend on the device under test.
using MakeGpu = std::function<Result<std::unique_ptr<Backend>>()>;

// Runs a prompt and two single tokens of a small random model, in f16 and in int8, there and on the
// reference.
class GpuSelfTest {
 public:
  // The reference begins at once, on a thread: the device may be opened meanwhile.
  GpuSelfTest();
  ~GpuSelfTest();

  // kDevice where the logits differ by more than the precision explains.
  Result<void> run(const MakeGpu& make);

 private:
  struct Case;
  std::vector<std::unique_ptr<Case>> cases_;
};

}  // namespace lamina::cli
