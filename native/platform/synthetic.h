// SPDX-License-Identifier: Apache-2.0
// Models of real shapes with random weights, for measuring without a download.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "native/platform/model_loader.h"

namespace lamina {

// "tinyllama-1.1b" "llama-3.2-1b" "llama-2-7b" "llama-3.1-8b"
const std::vector<std::string>& synthetic_shapes();

// In huge pages, filled by `threads` threads (0: as many as processors); the same bits whatever
// their number. Weights have variance 1/cols and norms are 1, so that activations stay of order 1.
Result<std::unique_ptr<LoadedModel>> make_synthetic(const std::string& shape, DType dtype,
                                                    int32_t group, int threads = 0);

// The same for any config.
Result<std::unique_ptr<LoadedModel>> make_synthetic(const ModelConfig& config,
                                                    const std::string& name, DType dtype,
                                                    int32_t group, int threads = 0);

}  // namespace lamina
