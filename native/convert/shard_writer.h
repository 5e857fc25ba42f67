// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "native/convert/journal.h"
#include "native/convert/shard_plan.h"

namespace lamina {

// A part of a tensor and the source of its values.
struct ShardPart {
  const TensorSource* source;
  TensorPart place;
};

struct WriteContext {
  int threads = 0;
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(uint64_t bytes, const std::string& tensor)> written;
};

// Writes one shard, a few blocks of rows at a time, and syncs it. `parts` in order of offset.
// Blocks are encoded in parallel and written in order, so the bytes and sums never depend on the
// number of threads.
Result<FinishedShard> write_shard(const std::string& path, size_t shard, uint64_t bytes,
                                  const std::vector<ShardPart>& parts, const WriteContext& context);

}  // namespace lamina
