// SPDX-License-Identifier: Apache-2.0
// The two ways of bringing shards into memory. Both hash exactly the bytes that they hand out.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "native/platform/files.h"
#include "native/platform/model_loader.h"

namespace lamina {

struct OpenShard {
  std::string path;
  FileDescriptor fd;
  FileState state;
  bool verify = true;  // hash it while reading
};

struct ReadContext {
  int threads = 0;
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(uint64_t bytes)> advance = {};  // so many more were read; from any thread
};

// kIntegrity naming the file when the hashes differ.
Result<void> check_digest(const std::string& path, const std::string& actual,
                          const std::string& expected);

// Bytes of a file in pieces of a MiB, hashed; for files that are not kept in memory.
Result<std::string> hash_file(int fd, const std::string& path, uint64_t bytes,
                              const ReadContext& context);

// Weights as views into mappings; tensors split over shards are put together in memory of our own.
Result<void> map_weights(const std::vector<OpenShard>& shards, const ReadContext& context,
                         LoadedModel* model);

// Weights in one block of huge pages.
Result<void> read_weights(const std::vector<OpenShard>& shards, const ReadContext& context,
                          LoadedModel* model);

// Bytes of all values and scales, each region rounded up to kTensorAlignment.
uint64_t arena_bytes(const std::vector<TensorEntry>& tensors);

// Gives each tensor its place in `arena`, in order, and fills `weights` with views.
void place_in_arena(const std::vector<TensorEntry>& tensors, std::byte* arena, WeightMap* weights);

}  // namespace lamina
