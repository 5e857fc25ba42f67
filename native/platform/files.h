// SPDX-License-Identifier: Apache-2.0
// Files with errors as values. Interrupted calls are repeated, short reads and writes continued.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>

#include "core/model/byte_source.h"

namespace lamina {

// "VERB PATH: REASON": kNotFound for a missing file, else kIo.
Error os_error(const char* verb, const std::string& path, int error_number);

// Owns a descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { close(); }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  int release();
  void close();

 private:
  int fd_ = -1;
};

// What tells one state of a file from another. ctime cannot be set back by a program.
struct FileState {
  uint64_t device = 0, inode = 0, size = 0;
  int64_t mtime_ns = 0, ctime_ns = 0;
  bool operator==(const FileState&) const = default;
};

Result<FileDescriptor> open_for_reading(const std::string& path);  // regular files only
Result<FileState> file_state(int fd, const std::string& path);
bool file_exists(const std::string& path);
bool is_directory(const std::string& path);

Result<void> read_exactly(int fd, const std::string& path, uint64_t offset,
                          std::span<std::byte> out);
Result<void> write_exactly(int fd, const std::string& path, std::span<const std::byte> bytes);

// The whole file; kResourceExhausted when it has more than `most` bytes.
Result<std::string> read_file(const std::string& path, size_t most);

// Replaces `path` so that a reader, or a crash, sees the old or the new content, never a part.
Result<void> write_file_atomic(const std::string& path, std::string_view content,
                               mode_t mode = 0644);

Result<void> sync_file(int fd, const std::string& path);
Result<void> sync_directory(const std::string& path);
Result<void> make_directories(const std::string& path);  // like mkdir -p

std::string join_path(std::string_view directory, std::string_view name);
std::string parent_path(std::string_view path);  // "." for a plain name
std::string base_name(std::string_view path);    // last part, trailing slashes ignored

// A file as a ByteSource, by pread.
class FileSource final : public ByteSource {
 public:
  static Result<std::unique_ptr<FileSource>> open(const std::string& path);
  const std::string& name() const override { return path_; }
  uint64_t size() const override { return state_.size; }
  const FileState& state() const { return state_; }
  Result<void> read(uint64_t offset, std::span<std::byte> out) const override {
    return read_exactly(fd_.get(), path_, offset, out);
  }

 private:
  std::string path_;
  FileDescriptor fd_;
  FileState state_;
};

}  // namespace lamina
