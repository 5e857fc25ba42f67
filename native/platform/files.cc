// SPDX-License-Identifier: Apache-2.0
#include "native/platform/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace lamina {

namespace {

template <typename Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

int64_t nanoseconds(const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; }

}  // namespace

Error os_error(const char* verb, const std::string& path, int error_number) {
  const bool missing = error_number == ENOENT || error_number == ENOTDIR;
  const std::string reason = std::generic_category().message(error_number);
  return make_error(missing ? Code::kNotFound : Code::kIo, "cannot %s %s: %s", verb, path.c_str(),
                    reason.c_str());
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = other.release();
  }
  return *this;
}

int FileDescriptor::release() { return std::exchange(fd_, -1); }

void FileDescriptor::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<FileDescriptor> open_for_reading(const std::string& path) {
  // O_NONBLOCK: a pipe in a file's place must not make us wait.
  FileDescriptor fd(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (!fd.is_open()) return os_error("open", path, errno);
  struct stat s {};
  if (::fstat(fd.get(), &s) != 0) return os_error("examine", path, errno);
  if (!S_ISREG(s.st_mode)) return make_error(Code::kIo, "%s: not a regular file", path.c_str());
  return fd;
}

Result<FileState> file_state(int fd, const std::string& path) {
  struct stat s {};
  if (::fstat(fd, &s) != 0) return os_error("examine", path, errno);
  return FileState{static_cast<uint64_t>(s.st_dev), static_cast<uint64_t>(s.st_ino),
                   static_cast<uint64_t>(s.st_size), nanoseconds(s.st_mtim),
                   nanoseconds(s.st_ctim)};
}

bool file_exists(const std::string& path) {
  struct stat s {};
  return ::lstat(path.c_str(), &s) == 0;
}

bool is_directory(const std::string& path) {
  struct stat s {};
  return ::stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode);
}

Result<void> read_exactly(int fd, const std::string& path, uint64_t offset,
                          std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size()) {
    const size_t want = std::min(out.size() - done, size_t{1} << 30);
    const ssize_t n = retry(
        [&] { return ::pread(fd, out.data() + done, want, static_cast<off_t>(offset + done)); });
    if (n < 0) return os_error("read", path, errno);
    if (n == 0) {
      return make_error(Code::kIntegrity, "%s: ends at byte %llu, needed %zu bytes at %llu",
                        path.c_str(), static_cast<unsigned long long>(offset + done), out.size(),
                        static_cast<unsigned long long>(offset));
    }
    done += static_cast<size_t>(n);
  }
  return {};
}

Result<void> write_exactly(int fd, const std::string& path, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const size_t want = std::min(bytes.size() - done, size_t{1} << 30);
    const ssize_t n = retry([&] { return ::write(fd, bytes.data() + done, want); });
    if (n < 0) return os_error("write", path, errno);
    if (n == 0) return os_error("write", path, ENOSPC);
    done += static_cast<size_t>(n);
  }
  return {};
}

Result<std::string> read_file(const std::string& path, size_t most) {
  LAMINA_ASSIGN(const FileDescriptor fd, open_for_reading(path));
  LAMINA_ASSIGN(const FileState state, file_state(fd.get(), path));
  if (state.size > most) {
    return make_error(Code::kResourceExhausted, "%s: %llu bytes, at most %zu are read",
                      path.c_str(), static_cast<unsigned long long>(state.size), most);
  }
  std::string text(static_cast<size_t>(state.size), '\0');
  LAMINA_TRY(read_exactly(fd.get(), path, 0, std::as_writable_bytes(std::span(text))));
  return text;
}

Result<void> write_file_atomic(const std::string& path, std::string_view content, mode_t mode) {
  std::string temporary = path + ".XXXXXX";
  FileDescriptor fd(retry([&] { return ::mkostemp(temporary.data(), O_CLOEXEC); }));
  if (!fd.is_open()) return os_error("create", path, errno);
  const auto fill = [&]() -> Result<void> {
    LAMINA_TRY(write_exactly(fd.get(), path, std::as_bytes(std::span(content))));
    if (::fchmod(fd.get(), mode) != 0) return os_error("set the mode of", path, errno);
    LAMINA_TRY(sync_file(fd.get(), path));
    if (::rename(temporary.c_str(), path.c_str()) != 0) return os_error("replace", path, errno);
    return sync_directory(parent_path(path));
  };
  auto result = fill();
  if (!result) ::unlink(temporary.c_str());
  return result;
}

Result<void> sync_file(int fd, const std::string& path) {
  if (retry([&] { return ::fsync(fd); }) != 0) return os_error("write", path, errno);
  return {};
}

Result<void> sync_directory(const std::string& path) {
  const FileDescriptor fd(
      retry([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!fd.is_open()) return os_error("open", path, errno);
  // Some file systems cannot sync a directory and say EINVAL; there is nothing more to do then.
  if (retry([&] { return ::fsync(fd.get()); }) != 0 && errno != EINVAL) {
    return os_error("write", path, errno);
  }
  return {};
}

Result<void> make_directories(const std::string& path) {
  for (size_t slash = 0; slash != std::string::npos;) {
    slash = path.find('/', slash + 1);
    const std::string prefix = path.substr(0, slash);
    if (::mkdir(prefix.c_str(), 0755) != 0 && errno != EEXIST) {
      return os_error("create directory", prefix, errno);
    }
  }
  if (!is_directory(path)) return make_error(Code::kIo, "%s: not a directory", path.c_str());
  return {};
}

std::string join_path(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path += '/';
  return path += name;
}

std::string parent_path(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == path.npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string base_name(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  return std::string(slash == path.npos ? path : path.substr(slash + 1));
}

Result<std::unique_ptr<FileSource>> FileSource::open(const std::string& path) {
  auto source = std::make_unique<FileSource>();
  source->path_ = path;
  LAMINA_ASSIGN(source->fd_, open_for_reading(path));
  LAMINA_ASSIGN(source->state_, file_state(source->fd_.get(), path));
  return source;
}

}  // namespace lamina
