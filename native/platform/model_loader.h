// SPDX-License-Identifier: Apache-2.0
// Opens a model folder: checks it, and brings its weights into memory.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/log.h"
#include "core/model/manifest.h"
#include "core/model/weights.h"
#include "native/platform/mapping.h"
#include "native/platform/trust.h"

namespace lamina {

enum class LoadMode {
  kAuto,  // huge when the weights exceed 64 MiB and memory allows, else map
  kMap,   // shards mapped from their files: opens at once, pages shared between processes
  kHuge,  // weights read into huge pages: faster to compute on, costs their size in memory
};

std::string_view load_mode_name(LoadMode mode);  // "auto" "map" "huge"

enum class VerifyMode {
  kOnce,    // hash a file when its state (inode, size, times) has not been hashed before
  kAlways,  // hash everything now
};

struct LoadOptions {
  LoadMode mode = LoadMode::kAuto;
  VerifyMode verify = VerifyMode::kOnce;
  TrustPolicy trust;
  int threads = 0;              // 0: as many as processors
  std::string cache_directory;  // of the verified states; empty: cache_directory()
  const std::atomic<bool>* cancel = nullptr;
  LogSink log;
  // Bytes of shards read or hashed, of how many; from the loader's threads, one call at a time. Not
  // called where there is nothing to read.
  std::function<void(uint64_t done, uint64_t total)> progress;
  // Asked with kAuto when the weights are large: whether a device will copy them, so that huge pages
  // would be a copy more.
  std::function<bool()> copied_elsewhere;
};

struct LoadStats {
  LoadMode mode = LoadMode::kMap;
  uint64_t weight_bytes = 0;  // values and scales of all tensors, row padding included
  uint64_t mapped_bytes = 0;  // of files
  uint64_t owned_bytes = 0;   // memory of our own
  size_t files_hashed = 0;    // this time
  double seconds = 0.0;
};

// Everything of a model that lives in memory. Weights point into `memory`.
struct LoadedModel {
  Manifest manifest;
  WeightMap weights;
  std::string tokenizer_json;  // empty for a synthetic model
  std::string manifest_sha256;
  SignatureFacts signature;
  LoadStats stats;
  std::vector<Mapping> memory;
};

Result<std::unique_ptr<LoadedModel>> load_model(const std::string& directory,
                                                const LoadOptions& options);

// Manifest and signature alone, for `inspect`: no shard is opened.
struct OpenedManifest {
  Manifest manifest;
  std::string sha256;
  SignatureFacts signature;
};
Result<OpenedManifest> open_manifest(const std::string& directory, const TrustPolicy& trust);

// Hashes every file of the model now, in parallel; the first that differs is named.
// `checked` is called after each good file, from any thread, one at a time.
using FileChecked = std::function<void(const std::string& file, uint64_t bytes)>;
Result<void> verify_model(const std::string& directory, const Manifest& manifest, int threads,
                          const FileChecked& checked);

}  // namespace lamina
