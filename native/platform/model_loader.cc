// SPDX-License-Identifier: Apache-2.0
#include "native/platform/model_loader.h"

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "native/platform/memory_facts.h"
#include "native/platform/parallel.h"
#include "native/platform/paths.h"
#include "native/platform/sha256.h"
#include "native/platform/verified_cache.h"
#include "native/platform/weight_reader.h"

namespace lamina {

namespace {

constexpr size_t kMaxTokenizer = size_t{256} << 20;
constexpr size_t kMaxSignature = 4096;
constexpr uint64_t kWorthHugePages = uint64_t{64} << 20;
constexpr uint64_t kMemoryToLeave = uint64_t{256} << 20;  // for caches, activations and others

double now_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

Result<void> check_finished(const std::string& directory) {
  if (!is_directory(directory)) {
    return make_error(Code::kNotFound, "%s: no such model folder", directory.c_str());
  }
  const bool partial = base_name(directory).ends_with(".partial") ||
                       file_exists(join_path(directory, "convert.journal"));
  if (!partial) return {};
  return make_error(Code::kInvalidModel,
                    "%s: an unfinished conversion; run lamina convert again to finish it",
                    directory.c_str());
}

Result<std::optional<std::string>> read_signature(const std::string& directory) {
  auto text = read_file(join_path(directory, "manifest.sig"), kMaxSignature);
  if (text) return std::optional<std::string>(std::move(text).value());
  if (text.error().code == Code::kNotFound) return std::optional<std::string>();
  return std::move(text).error();
}

Error size_error(const std::string& path, uint64_t found, uint64_t expected) {
  return make_error(Code::kIntegrity,
                    "%s: has %llu bytes, the manifest says %llu; fetch or convert the model again",
                    path.c_str(), static_cast<unsigned long long>(found),
                    static_cast<unsigned long long>(expected));
}

Result<OpenShard> open_checked(const std::string& directory, const std::string& file,
                               uint64_t bytes) {
  OpenShard s;
  s.path = join_path(directory, file);
  LAMINA_ASSIGN(s.fd, open_for_reading(s.path));
  LAMINA_ASSIGN(s.state, file_state(s.fd.get(), s.path));
  if (s.state.size != bytes) return size_error(s.path, s.state.size, bytes);
  return s;
}

std::string absolute(const std::string& path) {
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return path;
  std::string out(resolved);
  ::free(resolved);
  return out;
}

class Loader {
 public:
  Loader(const std::string& directory, const LoadOptions& options)
      : directory_(absolute(directory)),
        options_(options),
        context_{options.threads, options.cancel, progress()},
        cache_(options.cache_directory.empty() ? cache_directory() : options.cache_directory),
        model_(std::make_unique<LoadedModel>()) {}

  Result<std::unique_ptr<LoadedModel>> run() {
    const double start = now_seconds();
    LAMINA_TRY(open_manifest_files());
    LAMINA_TRY(open_files());
    LAMINA_TRY(read_tokenizer());
    LAMINA_TRY(choose_mode());
    LAMINA_TRY(model_->stats.mode == LoadMode::kHuge
                   ? read_weights(shards_, context_, model_.get())
                   : map_weights(shards_, context_, model_.get()));
    LAMINA_TRY(remember());
    model_->stats.seconds = now_seconds() - start;
    return std::move(model_);
  }

 private:
  std::function<void(uint64_t)> progress() {
    if (!options_.progress) return {};
    return [this](uint64_t bytes) {
      const std::lock_guard lock(progress_mutex_);
      uint64_t total = 0;
      for (const OpenShard& s : shards_) total += s.state.size;
      bytes_read_ = std::min(bytes_read_ + bytes, total);
      options_.progress(bytes_read_, total);
    };
  }

  void remark(LogLevel level, const std::string& text) const {
    if (options_.log) options_.log(level, text);
  }

  Result<void> open_manifest_files() {
    LAMINA_ASSIGN(OpenedManifest opened, open_manifest(directory_, options_.trust));
    model_->manifest = std::move(opened.manifest);
    model_->manifest_sha256 = std::move(opened.sha256);
    model_->signature = opened.signature;
    if (opened.signature.kind == SignatureKind::kUnknownSigner) {
      remark(LogLevel::kWarning, directory_ + ": signed by key " +
                                     opened.signature.signer.fingerprint() +
                                     ", which is not among the trusted keys");
    }
    return {};
  }

  // Opens every file and checks its size before any byte is used.
  Result<void> open_files() {
    const Manifest& m = model_->manifest;
    for (const ShardEntry& s : m.shards) {
      LAMINA_ASSIGN(OpenShard shard, open_checked(directory_, s.file, s.bytes));
      shard.verify = options_.verify == VerifyMode::kAlways ||
                     !cache_.contains(shard.path, shard.state, s.sha256);
      model_->stats.files_hashed += shard.verify;
      shards_.push_back(std::move(shard));
    }
    for (const FileEntry& f : m.files) {
      LAMINA_ASSIGN(const OpenShard file, open_checked(directory_, f.file, f.bytes));
      LAMINA_ASSIGN(const std::string digest,
                    hash_file(file.fd.get(), file.path, f.bytes, context_));
      LAMINA_TRY(check_digest(file.path, digest, f.sha256));
    }
    for (const TensorEntry& t : m.tensors) {
      model_->stats.weight_bytes += t.shape.value_bytes() + t.shape.scale_bytes();
    }
    return {};
  }

  Result<void> read_tokenizer() {
    const FileEntry& f = model_->manifest.tokenizer;
    const std::string path = join_path(directory_, f.file);
    LAMINA_ASSIGN(model_->tokenizer_json, read_file(path, kMaxTokenizer));
    if (model_->tokenizer_json.size() != f.bytes) {
      return size_error(path, model_->tokenizer_json.size(), f.bytes);
    }
    return check_digest(path, sha256_hex(model_->tokenizer_json), f.sha256);
  }

  Result<void> choose_mode() {
    const uint64_t need = arena_bytes(model_->manifest.tensors);
    const uint64_t available = memory_facts().available;
    const bool fits = available >= need + kMemoryToLeave;
    LoadMode& mode = model_->stats.mode;
    mode = options_.mode;
    if (mode == LoadMode::kAuto) {
      const bool worth = need > kWorthHugePages &&
                         !(options_.copied_elsewhere && options_.copied_elsewhere());
      mode = worth && fits ? LoadMode::kHuge : LoadMode::kMap;
      if (worth && !fits) {
        remark(LogLevel::kInfo, "too little free memory for huge pages: weights are mapped");
      }
    }
    if (mode == LoadMode::kHuge && available < need) {
      return make_error(Code::kOutOfMemory,
                        "%s: weights need %llu MiB, %llu MiB are free; load with mode map",
                        directory_.c_str(), static_cast<unsigned long long>(need >> 20),
                        static_cast<unsigned long long>(available >> 20));
    }
    return {};
  }

  // What was hashed without changing meanwhile need not be hashed again. Failing to write that
  // down costs time at the next start and nothing else.
  Result<void> remember() {
    for (size_t i = 0; i < shards_.size(); ++i) {
      const OpenShard& s = shards_[i];
      if (!s.verify) continue;
      LAMINA_ASSIGN(const FileState now, file_state(s.fd.get(), s.path));
      if (now == s.state) cache_.add(s.path, now, model_->manifest.shards[i].sha256);
    }
    if (auto saved = cache_.save(); !saved) remark(LogLevel::kDebug, saved.error().message);
    return {};
  }

  std::string directory_;
  const LoadOptions& options_;
  ReadContext context_;
  VerifiedCache cache_;
  std::unique_ptr<LoadedModel> model_;
  std::vector<OpenShard> shards_;
  std::mutex progress_mutex_;
  uint64_t bytes_read_ = 0;
};

}  // namespace

std::string_view load_mode_name(LoadMode mode) {
  switch (mode) {
    case LoadMode::kAuto: return "auto";
    case LoadMode::kMap: return "map";
    case LoadMode::kHuge: return "huge";
  }
  return "?";
}

Result<OpenedManifest> open_manifest(const std::string& directory, const TrustPolicy& trust) {
  LAMINA_TRY(check_finished(directory));
  const std::string path = join_path(directory, "manifest.json");
  LAMINA_ASSIGN(const std::string text, read_file(path, kMaxManifestBytes));
  LAMINA_ASSIGN(const std::optional<std::string> signature, read_signature(directory));
  OpenedManifest out;
  LAMINA_ASSIGN(out.signature, check_signature(text, signature, trust, directory));
  LAMINA_ASSIGN(out.manifest, Manifest::parse(text, path));
  out.sha256 = sha256_hex(text);
  return out;
}

Result<std::unique_ptr<LoadedModel>> load_model(const std::string& directory,
                                                const LoadOptions& options) {
  return Loader(directory, options).run();
}

Result<void> verify_model(const std::string& directory, const Manifest& manifest, int threads,
                          const FileChecked& checked) {
  std::vector<FileEntry> files{manifest.tokenizer};
  files.insert(files.end(), manifest.files.begin(), manifest.files.end());
  for (const ShardEntry& s : manifest.shards) files.push_back({s.file, s.bytes, s.sha256});
  std::mutex mutex;
  return parallel_for(threads, files.size(), [&](size_t i) -> Result<void> {
    const FileEntry& f = files[i];
    LAMINA_ASSIGN(const OpenShard file, open_checked(directory, f.file, f.bytes));
    LAMINA_ASSIGN(const std::string digest, hash_file(file.fd.get(), file.path, f.bytes, {}));
    LAMINA_TRY(check_digest(file.path, digest, f.sha256));
    const std::lock_guard lock(mutex);
    if (checked) checked(f.file, f.bytes);
    return {};
  });
}

}  // namespace lamina
