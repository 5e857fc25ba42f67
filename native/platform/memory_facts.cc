// SPDX-License-Identifier: Apache-2.0
// From /proc and, for containers, cgroup v2.
#include "native/platform/memory_facts.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string>

#include "native/platform/files.h"

namespace lamina {

namespace {

// Files of /proc say size 0: read until the end.
std::string slurp(const std::string& path) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char block[4096];
  while (fd.is_open()) {
    const ssize_t n = ::read(fd.get(), block, sizeof block);
    if (n <= 0) break;
    text.append(block, static_cast<size_t>(n));
  }
  return text;
}

std::optional<uint64_t> number_at(const std::string& text, size_t at) {
  at = text.find_first_not_of(" \t", at);
  uint64_t value = 0;
  if (at == text.npos) return std::nullopt;
  const auto parsed = std::from_chars(text.data() + at, text.data() + text.size(), value);
  if (parsed.ec != std::errc()) return std::nullopt;
  return value;
}

// "Name:   123 kB" at the start of a line, in bytes.
uint64_t field(const std::string& text, const std::string& name) {
  size_t at = text.rfind(name + ":", 0) == 0 ? 0 : text.find("\n" + name + ":");
  if (at == text.npos) return 0;
  at += name.size() + (at == 0 ? 1 : 2);
  return number_at(text, at).value_or(0) * 1024;
}

// Room left under the limit of this process' cgroup; page cache that can be dropped counts as room.
uint64_t cgroup_room() {
  constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
  const std::string groups = slurp("/proc/self/cgroup");
  const size_t at = groups.find("0::");
  if (at == groups.npos) return kNone;
  std::string path = "/sys/fs/cgroup" + groups.substr(at + 3, groups.find('\n', at) - at - 3);
  if (path.back() != '/') path += '/';
  const auto limit = number_at(slurp(path + "memory.max"), 0);
  const auto used = number_at(slurp(path + "memory.current"), 0);
  if (!limit || !used) return kNone;
  const std::string stat = slurp(path + "memory.stat");
  const size_t inactive = stat.find("\ninactive_file ");
  const uint64_t cache = inactive == stat.npos ? 0 : number_at(stat, inactive + 15).value_or(0);
  const uint64_t held = *used - std::min(*used, cache);
  return *limit - std::min(*limit, held);
}

}  // namespace

MemoryFacts memory_facts() {
  MemoryFacts f;
  const std::string status = slurp("/proc/self/status");
  f.resident = field(status, "VmRSS");
  f.peak_resident = field(status, "VmHWM");
  f.anonymous = field(status, "RssAnon");
  f.huge = field(slurp("/proc/self/smaps_rollup"), "AnonHugePages");
  const std::string machine = slurp("/proc/meminfo");
  f.available = std::min(field(machine, "MemAvailable"), cgroup_room());
  f.total = field(machine, "MemTotal");
  return f;
}

}  // namespace lamina
