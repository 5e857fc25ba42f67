// SPDX-License-Identifier: Apache-2.0
// Whether a GPU computes rightly, told before a model is trusted to it.
#pragma once

#include <functional>
#include <memory>

#include "core/engine/backend.h"

namespace lamina::cli {

// A fresh backend on the device under test. It is destroyed after `done` has seen it.
struct GpuUnderTest {
  std::function<Result<std::unique_ptr<Backend>>()> make;
  std::function<void(Backend&)> done = [](Backend&) {};
};

// Runs a prompt and two single tokens of a small random model, in f16 and in int8, there and on the
// reference. kDevice where the logits differ by more than the precision explains.
Result<void> gpu_self_test(const GpuUnderTest& gpu);

}  // namespace lamina::cli
