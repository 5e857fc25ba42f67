// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/model_files.h"

#include <fcntl.h>

#include <utility>

#include "core/model/manifest.h"
#include "native/daemon/http_content.h"
#include "native/platform/files.h"
#include "native/platform/model_loader.h"
#include "native/platform/sha256.h"

namespace lamina::daemon {

namespace {

constexpr std::string_view kRoot = "/models/";
constexpr std::string_view kImmutable = "private, max-age=31536000, immutable";

// An open file that must stay as it was when its hash was told.
struct OpenFile {
  FileDescriptor fd;
  FileState state;
  std::string path;

  Result<std::string> read(uint64_t offset, size_t count) const {
    LAMINA_ASSIGN(FileState now, file_state(fd.get(), path));
    if (now.size != state.size || now.mtime_ns != state.mtime_ns) {
      return make_error(Code::kIntegrity, "%s has changed while it was served", path.c_str());
    }
    // The next piece is on its way from the disk while this one is on its way to the peer.
    ::posix_fadvise(fd.get(), static_cast<off_t>(offset + count), static_cast<off_t>(count * 8),
                    POSIX_FADV_WILLNEED);
    std::string out(count, '\0');
    LAMINA_TRY(read_exactly(fd.get(), path, offset, std::as_writable_bytes(std::span(out))));
    return out;
  }
};

Result<std::shared_ptr<const Content>> file_content(const std::string& directory,
                                                    const std::string& file, uint64_t bytes,
                                                    const std::string& sha256) {
  auto open = std::make_shared<OpenFile>();
  open->path = join_path(directory, file);
  LAMINA_ASSIGN(open->fd, open_for_reading(open->path));
  LAMINA_ASSIGN(open->state, file_state(open->fd.get(), open->path));
  if (open->state.size != bytes) {
    return make_error(Code::kIntegrity, "%s has %llu bytes, the manifest says %llu",
                      open->path.c_str(), static_cast<unsigned long long>(open->state.size),
                      static_cast<unsigned long long>(bytes));
  }
  auto content = std::make_shared<Content>();
  content->type = media_type(file);
  content->etag = '"' + sha256 + '"';
  content->cache_control = kImmutable;
  content->size = bytes;
  content->may_block = true;
  content->read = [open](uint64_t offset, size_t count) { return open->read(offset, count); };
  return std::shared_ptr<const Content>(std::move(content));
}

// manifest.json and manifest.sig: small, in memory, asked for anew each time.
std::shared_ptr<const Content> text_content(const std::string& file, std::string text) {
  auto content = std::make_shared<Content>();
  content->type = media_type(file);
  content->etag = '"' + sha256_hex(text) + '"';
  content->cache_control = "private, no-cache";
  content->size = text.size();
  content->read = [text = std::move(text)](uint64_t offset, size_t count) -> Result<std::string> {
    return text.substr(static_cast<size_t>(offset), count);
  };
  return content;
}

}  // namespace

Result<void> ModelFiles::add(const std::string& name, const std::string& directory) {
  Folder folder;
  std::string path = join_path(directory, "manifest.json");
  LAMINA_ASSIGN(std::string json, read_file(path, kMaxManifestBytes));
  LAMINA_ASSIGN(Manifest manifest, Manifest::parse(json, path));
  folder["manifest.json"] = text_content("manifest.json", std::move(json));
  std::string signature = join_path(directory, "manifest.sig");
  if (file_exists(signature)) {
    LAMINA_ASSIGN(std::string text, read_file(signature, 4096));
    folder["manifest.sig"] = text_content("manifest.sig", std::move(text));
  }
  std::vector<FileEntry> entries = manifest.files;
  if (!manifest.tokenizer.file.empty()) entries.push_back(manifest.tokenizer);
  for (const ShardEntry& shard : manifest.shards) {
    entries.push_back({shard.file, shard.bytes, shard.sha256});
  }
  for (const FileEntry& entry : entries) {
    LAMINA_ASSIGN(folder[entry.file],
                  file_content(directory, entry.file, entry.bytes, entry.sha256));
  }
  std::lock_guard lock(mutex_);
  folders_[name] = std::move(folder);
  return {};
}

void ModelFiles::remove(const std::string& name) {
  std::lock_guard lock(mutex_);
  folders_.erase(name);
}

// `path` is "/models/NAME/FILE".
std::shared_ptr<const Content> ModelFiles::find(std::string_view path) const {
  path.remove_prefix(kRoot.size());
  size_t slash = path.find('/');
  if (slash == std::string_view::npos) return nullptr;
  std::lock_guard lock(mutex_);
  auto folder = folders_.find(path.substr(0, slash));
  if (folder == folders_.end()) return nullptr;
  auto file = folder->second.find(std::string(path.substr(slash + 1)));
  return file == folder->second.end() ? nullptr : file->second;
}

void ModelFiles::answer(HttpServer& server, const HttpRequest& request,
                        std::shared_ptr<HttpResponder> responder) const {
  auto content = find(request.path);
  constexpr std::string_view kWanted = "sha256=";
  bool other = content && request.query.starts_with(kWanted) &&
               content->etag != '"' + request.query.substr(kWanted.size()) + '"';
  if (!content || other) {
    return responder->respond(404, {{"Content-Type", "application/json"}}, refusal_body(404));
  }
  answer_content(request, std::move(responder), std::move(content), max_unsent_, &server);
}

void ModelFiles::serve(HttpServer& server) {
  Route route;
  route.method = "GET";
  route.path = std::string(kRoot) + "*";
  route.handle = [self = shared_from_this(), &server](const HttpRequest& request, auto responder) {
    self->answer(server, request, std::move(responder));
  };
  server.add(std::move(route));
}

}  // namespace lamina::daemon
