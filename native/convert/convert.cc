// SPDX-License-Identifier: Apache-2.0
#include "native/convert/convert.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "native/convert/checkpoint.h"
#include "native/convert/journal.h"
#include "native/convert/shard_plan.h"
#include "native/convert/shard_writer.h"
#include "native/platform/sha256.h"
#include "native/platform/weight_reader.h"

namespace lamina {

namespace {

namespace fs = std::filesystem;

double now_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

Result<void> check_options(const ConvertOptions& o) {
  const bool group_ok = o.group == 0 || o.group == 32 || o.group == 64 || o.group == 128;
  if (o.dtype == DType::kBF16) {
    return make_error(Code::kInvalidArgument, "dtype bf16 is not written; choose i8, f16 or f32");
  }
  if (!group_ok || (o.dtype != DType::kI8 && o.group != 0)) {
    return make_error(Code::kInvalidArgument,
                      "group %d: must be 0, 32, 64 or 128, and only i8 has groups", o.group);
  }
  if (o.shard_bytes < 4096 || o.shard_bytes > uint64_t{1} << 40) {
    return make_error(Code::kInvalidArgument, "shard size %llu: must be from 4 KiB to 1 TiB",
                      static_cast<unsigned long long>(o.shard_bytes));
  }
  if (o.threads < 0 || o.threads > 1024) {
    return make_error(Code::kInvalidArgument, "threads %d: must be from 0 to 1024", o.threads);
  }
  return {};
}

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

// The folder's own name, also for "." and "..".
std::string folder_name(const std::string& path) {
  std::error_code ignored;
  const fs::path real = fs::canonical(path, ignored);
  return base_name(ignored ? path : real.string());
}

Error fs_error(const char* verb, const std::string& path, const std::error_code& e) {
  return os_error(verb, path, e.value());
}

bool is_model(const std::string& folder) {
  const auto text = read_file(join_path(folder, "manifest.json"), kMaxManifestBytes);
  return text && text->starts_with("{\n\"format\": \"lamina\"");
}

// Whether a folder holds nothing but what a conversion leaves behind.
bool is_remains(const std::string& folder) {
  std::error_code e;
  for (const auto& entry : fs::directory_iterator(folder, e)) {
    const std::string name = entry.path().filename();
    if (name != "shards" && name != "convert.journal" && !name.starts_with("manifest.json") &&
        !name.starts_with("tokenizer.json")) {
      return false;
    }
  }
  return !e;
}

// A real folder with nothing in it; a link to one is none, because no rename replaces it.
bool is_empty_folder(const std::string& path) {
  std::error_code e;
  return fs::is_directory(fs::symlink_status(path, e)) && fs::is_empty(path, e) && !e;
}

class Converter {
 public:
  Converter(const ConvertOptions& options, const ConvertWatcher& watcher)
      : options_(options),
        watcher_(watcher),
        destination_(without_slashes(options.destination)),
        partial_(destination_ + ".partial") {}

  Result<ConvertReport> run() {
    const double start = now_seconds();
    LAMINA_TRY(check_options(options_));
    LAMINA_TRY(check_destination());
    LAMINA_TRY(open_source());
    LAMINA_TRY(open_partial());
    LAMINA_TRY(reuse_shards());
    LAMINA_TRY(check_space());
    LAMINA_TRY(write_shards());
    LAMINA_TRY(write_texts());
    LAMINA_TRY(publish());
    report_.seconds = now_seconds() - start;
    return report_;
  }

 private:
  Result<void> check_destination() const {
    if (destination_.empty()) return make_error(Code::kInvalidArgument, "no destination given");
    if (!file_exists(destination_) || is_empty_folder(destination_)) return {};
    if (!is_model(destination_)) {
      return make_error(Code::kInvalidArgument,
                        "%s exists and is neither empty nor a model folder, so it is not replaced, "
                        "even with --force; name another",
                        destination_.c_str());
    }
    if (options_.force) return {};
    return make_error(Code::kInvalidArgument,
                      "%s exists and is a model folder; --force replaces it", destination_.c_str());
  }

  Result<void> open_source() {
    LAMINA_ASSIGN(checkpoint_, Checkpoint::open(options_.source, options_.log));
    const auto shapes = model_tensors(checkpoint_.config, options_.dtype, options_.group);
    LAMINA_ASSIGN(sources_, checkpoint_.sources(shapes));
    LAMINA_ASSIGN(plan_, plan_shards(shapes, options_.shard_bytes));
    parts_.resize(plan_.shard_bytes.size());
    for (size_t i = 0; i < sources_.size(); ++i) {
      report_.source_bytes += sources_[i].source_bytes();
      for (const TensorPart& p : plan_.tensors[i].parts)
        parts_[p.shard].push_back({&sources_[i], p});
    }
    report_.shards = plan_.shard_bytes.size();
    report_.written_bytes = plan_.total_bytes();
    finished_.resize(report_.shards);
    return fill_manifest();
  }

  // All of the manifest but the hashes, which are not known yet.
  Result<void> fill_manifest() {
    Manifest& m = manifest_;
    const std::string source = folder_name(options_.source);
    m.config = checkpoint_.config;
    m.name = options_.name.empty() ? source : options_.name;
    m.tokenizer = {"tokenizer.json", checkpoint_.tokenizer_json.size(),
                   sha256_hex(checkpoint_.tokenizer_json)};
    m.chat_template = checkpoint_.chat_template;
    m.bos_text = checkpoint_.bos_text;
    m.eos_text = checkpoint_.eos_text;
    const std::string precision = precision_name(options_.dtype, options_.group);
    m.layers.assign(static_cast<size_t>(m.config.n_layers), {precision, precision});
    m.tensors = plan_.tensors;
    m.provenance = {source, "lamina " LAMINA_VERSION, "none"};
    for (size_t i = 0; i < plan_.shard_bytes.size(); ++i) {
      m.shards.push_back({shard_file_name(i), plan_.shard_bytes[i], std::string(64, '0')});
    }
    // Whatever we could not read back is refused now and not after an hour of work.
    LAMINA_TRY(Manifest::parse(m.to_json(), options_.source));
    return {};
  }

  // Equal for equal results: the manifest without hashes tells the options apart.
  std::string fingerprint() const { return sha256_hex(manifest_.to_json() + checkpoint_.state()); }

  Result<void> open_partial() {
    if (file_exists(partial_) && !is_remains(partial_) && !is_model(partial_)) {
      return make_error(Code::kInvalidArgument, "%s is in the way and not ours: move it",
                        partial_.c_str());
    }
    LAMINA_TRY(make_directories(parent_path(destination_)));
    LAMINA_TRY(make_directories(join_path(partial_, "shards")));
    LAMINA_ASSIGN(Journal opened, Journal::open(partial_, fingerprint()));
    journal_ = std::move(opened);
    return remove_strays();
  }

  // Leaves the journal and the shards it vouches for.
  Result<void> remove_strays() const {
    std::vector<std::string> keep;
    for (const FinishedShard& s : journal_.finished()) keep.push_back(shard_file_name(s.shard));
    std::error_code e;
    std::vector<fs::path> strays;
    for (const auto& entry : fs::directory_iterator(partial_, e)) {
      const std::string name = entry.path().filename();
      if (name != "convert.journal" && name != "shards") strays.push_back(entry.path());
    }
    for (const auto& entry : fs::directory_iterator(join_path(partial_, "shards"), e)) {
      const std::string name = "shards/" + entry.path().filename().string();
      if (std::find(keep.begin(), keep.end(), name) == keep.end()) strays.push_back(entry.path());
    }
    if (e) return fs_error("list", partial_, e);
    for (const fs::path& stray : strays) {
      fs::remove_all(stray, e);
      if (e) return fs_error("remove", stray.string(), e);
    }
    return {};
  }

  // A shard noted in the journal counts when its bytes still hash to what was noted.
  Result<void> reuse_shards() {
    for (const FinishedShard& s : journal_.finished()) {
      if (s.shard >= parts_.size() || s.sums.size() != parts_[s.shard].size()) continue;
      const std::string path = join_path(partial_, shard_file_name(s.shard));
      const auto file = FileSource::open(path);
      if (!file || (*file)->size() != plan_.shard_bytes[s.shard]) continue;
      LAMINA_ASSIGN(const FileDescriptor fd, open_for_reading(path));
      LAMINA_ASSIGN(const std::string digest, hash_file(fd.get(), path, (*file)->size(),
                                                        {options_.threads, options_.cancel}));
      if (digest != s.sha256 || !finished_[s.shard].sha256.empty()) continue;
      finished_[s.shard] = s;
      ++report_.reused_shards;
      done_bytes_ += plan_.shard_bytes[s.shard];
    }
    return {};
  }

  Result<void> check_space() const {
    struct statvfs fs_state {};
    if (::statvfs(partial_.c_str(), &fs_state) != 0) return {};  // then writing will tell
    const uint64_t room = uint64_t{fs_state.f_bavail} * fs_state.f_frsize;
    const uint64_t need = report_.written_bytes - done_bytes_ + checkpoint_.tokenizer_json.size();
    if (room >= need) return {};
    return make_error(Code::kIo, "cannot write %s: No space left: %llu MiB needed, %llu MiB free",
                      partial_.c_str(), static_cast<unsigned long long>((need >> 20) + 1),
                      static_cast<unsigned long long>(room >> 20));
  }

  void progress(const std::string& tensor) const {
    if (watcher_) watcher_({done_bytes_, report_.written_bytes, tensor});
  }

  Result<void> write_shards() {
    WriteContext context;
    context.threads = options_.threads;
    context.cancel = options_.cancel;
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (!finished_[i].sha256.empty()) continue;
      const uint64_t before = done_bytes_;
      context.written = [&](uint64_t bytes, const std::string& tensor) {
        done_bytes_ += bytes;
        progress(tensor);
      };
      LAMINA_ASSIGN(finished_[i], write_shard(join_path(partial_, shard_file_name(i)), i,
                                              plan_.shard_bytes[i], parts_[i], context));
      LAMINA_TRY(journal_.add(finished_[i]));
      done_bytes_ = before + plan_.shard_bytes[i];  // padding included
    }
    progress("");
    return {};
  }

  void sum_errors() {
    std::vector<ErrorSums> per_tensor(sources_.size());
    for (size_t i = 0; i < parts_.size(); ++i) {
      for (size_t p = 0; p < parts_[i].size(); ++p) {
        const auto tensor = static_cast<size_t>(parts_[i][p].source - sources_.data());
        per_tensor[tensor].add(finished_[i].sums[p]);
      }
    }
    ErrorSums all;
    for (size_t i = 0; i < per_tensor.size(); ++i) {
      all.add(per_tensor[i]);
      const double relative = per_tensor[i].relative();
      if (relative <= report_.worst_error) continue;
      report_.worst_error = relative;
      report_.worst_tensor = sources_[i].target.name;
    }
    report_.mean_error = all.relative();
  }

  Result<void> write_texts() {
    sum_errors();
    for (size_t i = 0; i < finished_.size(); ++i) manifest_.shards[i].sha256 = finished_[i].sha256;
    const std::string json = manifest_.to_json();
    report_.manifest_sha256 = sha256_hex(json);
    LAMINA_TRY(
        write_file_atomic(join_path(partial_, "tokenizer.json"), checkpoint_.tokenizer_json));
    LAMINA_TRY(write_file_atomic(join_path(partial_, "manifest.json"), json));
    return sync_directory(join_path(partial_, "shards"));
  }

  // One rename makes the folder appear, also in the place of an empty one; an old model is
  // exchanged for the new one in one step where the file system can.
  Result<void> publish() {
    LAMINA_TRY(journal_.remove());
    LAMINA_TRY(sync_directory(partial_));
    const bool onto_empty = is_empty_folder(destination_);
    const bool replace = !onto_empty && options_.force && file_exists(destination_);
    const unsigned flags = onto_empty ? 0 : replace ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, destination_.c_str(), flags) != 0) {
      if (errno != EINVAL && errno != ENOSYS) return os_error("replace", destination_, errno);
      LAMINA_TRY(publish_simply(replace));
    }
    LAMINA_TRY(sync_directory(parent_path(destination_)));
    std::error_code e;
    if (replace) fs::remove_all(partial_, e);  // the old model
    if (e) return fs_error("remove", partial_, e);
    return {};
  }

  // For file systems without RENAME_EXCHANGE: for a moment, neither folder is there.
  Result<void> publish_simply(bool replace) const {
    const std::string old = destination_ + ".old";
    if (replace && ::rename(destination_.c_str(), old.c_str()) != 0) {
      return os_error("rename", destination_, errno);
    }
    if (::rename(partial_.c_str(), destination_.c_str()) != 0) {
      return os_error("rename", partial_, errno);
    }
    if (replace && ::rename(old.c_str(), partial_.c_str()) != 0)
      return os_error("rename", old, errno);
    return {};
  }

  const ConvertOptions& options_;
  const ConvertWatcher& watcher_;
  const std::string destination_;
  const std::string partial_;
  Checkpoint checkpoint_;
  std::vector<TensorSource> sources_;
  ShardPlan plan_;
  std::vector<std::vector<ShardPart>> parts_;  // per shard, by offset
  std::vector<FinishedShard> finished_;        // per shard; empty hash: still to write
  Journal journal_;
  Manifest manifest_;
  uint64_t done_bytes_ = 0;
  ConvertReport report_;
};

}  // namespace

Result<ConvertReport> convert(const ConvertOptions& options, const ConvertWatcher& watcher) {
  return Converter(options, watcher).run();
}

}  // namespace lamina
