// SPDX-License-Identifier: Apache-2.0
// A model's shards in the module's memory, whose places are known before their bytes are there. A shard
// of whole tensors is written where it stays; one that holds parts of a tensor is written to memory that
// goes when the parts are in their place.
#pragma once

#include <memory>
#include <vector>

#include "core/model/manifest.h"
#include "core/model/weights.h"

namespace lamina::abi {

class ShardStore {
 public:
  // The manifest, checked, outlives this and does not move.
  explicit ShardStore(const Manifest* manifest);

  // Memory for the shard's bytes, the same until done(). kOutOfMemory names the shard.
  Result<std::byte*> target(size_t index);
  // The bytes are there, and they are the right ones; i8 values are brought to the form that the CPU engine
  // wants (cpu_place_i8), so nobody else may read them. kInvalidArgument: target() was not asked.
  Result<void> done(size_t index);

  bool complete() const { return missing_ == 0; }
  size_t missing() const { return missing_; }
  // How many of the first layers have all their tensors here, the embedding among the first one's.
  int32_t ready_layers() const;
  // Views of all tensors, also of those whose bytes are still to come: all memory is taken now.
  Result<WeightMap> weights();

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  using Memory = std::unique_ptr<std::byte, Free>;
  struct Shard {
    Memory memory;
    bool has_parts = false;  // of tensors that lie in several shards
    bool asked = false;  // target() was
    bool done = false;
  };
  static Memory allocate(uint64_t bytes);
  Result<void> allocate_shard(size_t index);
  Result<void> allocate_tensor(size_t index);
  Result<void> copy_parts(size_t index);  // placed
  void place(size_t index);

  const Manifest* manifest_;
  std::vector<Shard> shards_;
  std::vector<Memory> tensors_;  // by tensor; null where it lies in its shard
  std::vector<std::vector<size_t>> layer_shards_;  // of each layer, with repetitions
  size_t missing_;
};

}  // namespace lamina::abi
