// SPDX-License-Identifier: Apache-2.0
#include "native/convert/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/json.h"

namespace lamina {

namespace {

constexpr size_t kMaxJournal = size_t{64} << 20;

std::string header_line(const std::string& fingerprint) {
  JsonWriter out;
  out.begin_object().member("lamina_convert", 1).member("fingerprint", fingerprint).end_object();
  return out.take() + "\n";
}

std::string shard_line(const FinishedShard& shard) {
  JsonWriter out;
  out.begin_object().member("shard", static_cast<uint64_t>(shard.shard));
  out.member("sha256", shard.sha256);
  out.key("sums").begin_array();
  for (const ErrorSums& s : shard.sums) {
    out.begin_array().value(s.error).value(s.weight).end_array();
  }
  out.end_array().end_object();
  return out.take() + "\n";
}

Result<FinishedShard> parse_line(std::string_view line) {
  LAMINA_ASSIGN(const auto document, JsonDocument::parse(line, "convert.journal"));
  const JsonValue root = document->root();
  FinishedShard shard;
  LAMINA_ASSIGN(const int64_t number, root.get_int("shard", 0, 1 << 20));
  shard.shard = static_cast<size_t>(number);
  LAMINA_ASSIGN(shard.sha256, root.get_string("sha256"));
  LAMINA_ASSIGN(const JsonValue sums, root.get_array("sums"));
  for (JsonValue v = sums.first_child(); !v.is_missing(); v = v.next_sibling()) {
    const JsonValue error = v.first_child();
    const JsonValue weight = error.next_sibling();
    if (!error.is_number() || !weight.is_number()) {
      return v.error(Code::kInvalidModel, "must be two numbers");
    }
    shard.sums.push_back({error.as_double(), weight.as_double()});
  }
  return shard;
}

// Bytes of the lines that can be used; what follows is cut off.
size_t parse_lines(std::string_view text, std::vector<FinishedShard>* out) {
  size_t used = 0;
  for (size_t end = text.find('\n'); end != text.npos; end = text.find('\n', used)) {
    auto shard = parse_line(text.substr(used, end - used));
    if (!shard) break;
    out->push_back(std::move(shard).value());
    used = end + 1;
  }
  return used;
}

}  // namespace

Result<Journal> Journal::open(const std::string& folder, const std::string& fingerprint) {
  Journal j;
  j.path_ = join_path(folder, "convert.journal");
  j.fd_ = FileDescriptor(::open(j.path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!j.fd_.is_open()) return os_error("open", j.path_, errno);
  if (::flock(j.fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    return make_error(Code::kIo, "%s: another conversion is writing there", folder.c_str());
  }
  LAMINA_ASSIGN(const std::string text, read_file(j.path_, kMaxJournal));
  const std::string header = header_line(fingerprint);
  size_t keep = 0;
  if (text.starts_with(header)) {
    keep = header.size() + parse_lines(std::string_view(text).substr(header.size()), &j.finished_);
  }
  if (::ftruncate(j.fd_.get(), static_cast<off_t>(keep)) != 0) {
    return os_error("shorten", j.path_, errno);
  }
  if (keep == 0) {
    LAMINA_TRY(write_exactly(j.fd_.get(), j.path_, std::as_bytes(std::span(header))));
    LAMINA_TRY(sync_file(j.fd_.get(), j.path_));
  }
  return j;
}

Result<void> Journal::add(const FinishedShard& shard) {
  const std::string line = shard_line(shard);
  LAMINA_TRY(write_exactly(fd_.get(), path_, std::as_bytes(std::span(line))));
  return sync_file(fd_.get(), path_);
}

Result<void> Journal::remove() {
  if (::unlink(path_.c_str()) != 0) return os_error("remove", path_, errno);
  return {};
}

}  // namespace lamina
