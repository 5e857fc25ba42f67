// SPDX-License-Identifier: Apache-2.0
// Which rows of which tensor go where: decided before anything is written.
#pragma once

#include <vector>

#include "core/model/manifest.h"

namespace lamina {

struct ShardPlan {
  std::vector<TensorEntry> tensors;   // with their parts
  std::vector<uint64_t> shard_bytes;  // per shard

  uint64_t total_bytes() const;
};

// Layers stay whole where they fit into a shard, else tensors, else rows are divided. Values of a
// part precede its scales; both begin at multiples of kTensorAlignment. kInvalidArgument when
// `limit` cannot hold a single row.
Result<ShardPlan> plan_shards(const std::vector<NamedShape>& tensors, uint64_t limit);

}  // namespace lamina
