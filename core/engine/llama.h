// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/base/result.h"
#include "core/engine/graph.h"
#include "core/model/weights.h"

namespace lamina {

// The Llama forward step over the given weights. kInvalidModel when a needed weight is missing or
// has another shape than the config asks.
Result<Graph> build_llama(const ModelConfig& config, const WeightMap& weights);

}  // namespace lamina
