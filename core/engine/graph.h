// SPDX-License-Identifier: Apache-2.0
// A model's forward step as data: a flat list of ops over named weights and per-row buffers.
// Backends compile it; the WebGPU executor interprets the same table.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/engine/op.h"
#include "core/model/config.h"
#include "core/tensor/weight.h"

namespace lamina {

struct GraphWeight {
  std::string name;  // as in the manifest
  WeightShape shape;
};

struct Graph {
  ModelConfig config;
  std::vector<GraphWeight> weights;
  std::vector<Op> ops;
  std::array<int32_t, kBuffers> buffer_width{};  // floats per row

  std::string to_text() const;  // one line per op
};

}  // namespace lamina
