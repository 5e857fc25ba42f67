// SPDX-License-Identifier: Apache-2.0
// From a Hugging Face checkpoint to a model folder.
//
// Everything is written to DESTINATION.partial and renamed at the end; a finished shard is noted in
// its journal. A conversion that was stopped, by whatever, goes on where it was when run again with
// the same options and source, and begins anew otherwise. A full disk leaves DESTINATION.partial in
// place for that; delete it to give up.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "core/base/log.h"
#include "core/base/result.h"
#include "core/tensor/dtype.h"

namespace lamina {

struct ConvertOptions {
  std::string source;        // folder with config.json, tokenizer.json, *.safetensors
  std::string destination;   // absent, or empty, or with `force` a model folder
  DType dtype = DType::kI8;  // kI8, kF16 or kF32
  int32_t group = 0;         // i8: 0 (one scale per row), 32, 64 or 128
  uint64_t shard_bytes = uint64_t{64} << 20;
  int threads = 0;     // 0: as many as processors; never changes the result
  std::string name;    // for people; empty: the source folder's name
  bool force = false;  // replace an existing model folder, in one step
  const std::atomic<bool>* cancel = nullptr;
  LogSink log;
};

struct ConvertProgress {
  uint64_t done_bytes = 0;  // of the output
  uint64_t total_bytes = 0;
  std::string_view tensor;  // being written
};
// Called on the calling thread.
using ConvertWatcher = std::function<void(const ConvertProgress&)>;

struct ConvertReport {
  uint64_t source_bytes = 0;   // of the tensors used
  uint64_t written_bytes = 0;  // of the shards
  size_t shards = 0;
  size_t reused_shards = 0;  // finished by an earlier, interrupted run
  std::string worst_tensor;  // by relative error; empty when nothing was lost
  double worst_error = 0.0;  // sqrt(sum (w - stored)^2 / sum w^2)
  double mean_error = 0.0;   // the same over all tensors together
  double seconds = 0.0;
  std::string manifest_sha256;

  double ratio() const {
    return written_bytes == 0
               ? 0.0
               : static_cast<double>(source_bytes) / static_cast<double>(written_bytes);
  }
};

Result<ConvertReport> convert(const ConvertOptions& options, const ConvertWatcher& watcher = {});

}  // namespace lamina
