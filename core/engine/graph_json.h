// SPDX-License-Identifier: Apache-2.0
// A planned graph as JSON: what an engine outside this process (web/webgpu) needs to run the model.
#pragma once

#include <string>

#include "core/base/result.h"
#include "core/model/manifest.h"

namespace lamina {

// One object: `config`; `rope` (frequencies for `context` positions); `buffers` (floats per row, by
// name); `shards`; `weights` (shape, and in which shard each part of its rows lies); `ops`, as
// make_plan folds them, whose `weight`, `bias` and `norm` are indices into `weights` or -1. The same
// manifest and context give the same bytes.
Result<std::string> graph_json(const Manifest& manifest, int32_t context);

}  // namespace lamina
