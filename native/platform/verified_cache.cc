// SPDX-License-Identifier: Apache-2.0
#include "native/platform/verified_cache.h"

#include <time.h>

namespace lamina {

namespace {

constexpr size_t kMaxFile = size_t{4} << 20;
constexpr size_t kMaxEntries = 8192;
constexpr int64_t kYoung = 2'000'000'000;  // ns
constexpr std::string_view kHeader = "lamina verified 1\n";

// "DEVICE INODE SIZE MTIME CTIME SHA256 "
std::string stamp(const FileState& s, std::string_view sha256) {
  return std::to_string(s.device) + " " + std::to_string(s.inode) + " " + std::to_string(s.size) +
         " " + std::to_string(s.mtime_ns) + " " + std::to_string(s.ctime_ns) + " " +
         std::string(sha256) + " ";
}

int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

VerifiedCache::VerifiedCache(std::string directory) : file_(join_path(directory, "verified")) {
  const auto text = read_file(file_, kMaxFile);
  if (!text || !text->starts_with(kHeader)) return;
  std::string_view rest = std::string_view(*text).substr(kHeader.size());
  while (!rest.empty() && lines_.size() < kMaxEntries) {
    const size_t end = rest.find('\n');
    if (end == rest.npos) break;
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    // Six fields and a space, then the path.
    size_t at = 0;
    for (int field = 0; field < 6 && at != line.npos; ++field) {
      at = line.find(' ', at);
      if (at != line.npos) ++at;
    }
    if (at == line.npos) continue;
    lines_[std::string(line.substr(at))] = line.substr(0, at);
  }
}

bool VerifiedCache::contains(const std::string& path, const FileState& state,
                             std::string_view sha256) const {
  const auto found = lines_.find(path);
  return found != lines_.end() && found->second == stamp(state, sha256);
}

void VerifiedCache::add(const std::string& path, const FileState& state, std::string_view sha256) {
  if (path.find('\n') != path.npos) return;
  const int64_t age = now_ns() - std::max(state.mtime_ns, state.ctime_ns);
  if (age < kYoung) return;
  if (lines_.size() >= kMaxEntries) lines_.clear();
  lines_[path] = stamp(state, sha256);
  changed_ = true;
}

Result<void> VerifiedCache::save() {
  if (!changed_) return {};
  LAMINA_TRY(make_directories(parent_path(file_)));
  std::string text(kHeader);
  for (const auto& [path, line] : lines_) text += line + path + "\n";
  LAMINA_TRY(write_file_atomic(file_, text, 0600));
  changed_ = false;
  return {};
}

}  // namespace lamina
