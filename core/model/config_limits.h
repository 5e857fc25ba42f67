// SPDX-License-Identifier: Apache-2.0
// Bounds of a config, wide enough for every published Llama (405B: hidden 16384, intermediate
// 53248, 126 layers, vocab 128256) and narrow enough that no product of two of them leaves int32.
#pragma once

#include "core/model/config.h"

namespace lamina {

constexpr int64_t kMaxHidden = 1 << 17;
constexpr int64_t kMaxIntermediate = 1 << 19;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxHeads = 1024;
constexpr int64_t kMaxHeadDim = 1024;
constexpr int64_t kMaxVocab = 1 << 22;
constexpr int64_t kMaxPositions = 1 << 24;
constexpr size_t kMaxEosTokens = 64;

// Reads `name` of `object` into `out`.
Result<void> read_int(const JsonValue& object, std::string_view name, int64_t low, int64_t high,
                      int32_t* out);

// A token id, a list of them, null or nothing. Ids must lie below `vocab`.
Result<std::vector<int32_t>> read_token_list(const JsonValue& object, std::string_view name,
                                             int32_t vocab);

// rope_type (or type), rope_theta and what the type needs, from one object: HF's rope_parameters
// and the manifest's "rope" use the same names. An absent rope_theta leaves *theta as it is.
Result<void> read_rope(const JsonValue& rope, double* theta, RopeScaling* out);

// What one field alone cannot tell. The values are named in errors; `head_dim` may be absent.
Result<void> check_heads(const ModelConfig& config, const JsonValue& heads,
                         const JsonValue& kv_heads, const JsonValue& head_dim);

}  // namespace lamina
