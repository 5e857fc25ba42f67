// SPDX-License-Identifier: Apache-2.0
#include "native/platform/mapping.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "core/base/numeric.h"
#include "native/platform/files.h"

namespace lamina {

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

Result<Mapping> Mapping::of_file(int fd, size_t bytes, const std::string& path) {
  void* address = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  if (address == MAP_FAILED) return os_error("map", path, errno);
  ::madvise(address, bytes, MADV_WILLNEED);
  return Mapping(static_cast<std::byte*>(address), bytes);
}

Result<Mapping> Mapping::anonymous(size_t bytes) {
  if (bytes == 0 || bytes > SIZE_MAX / 2) {
    return make_error(Code::kOutOfMemory, "cannot reserve %zu bytes of memory", bytes);
  }
  // Reserve a page more than needed, then give back what lies outside the aligned part.
  const size_t size = round_up(bytes, kHugePage);
  void* address = ::mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return make_error(Code::kOutOfMemory, "cannot reserve %zu MiB of memory", size >> 20);
  }
  auto* base = static_cast<std::byte*>(address);
  const size_t skip =
      round_up(reinterpret_cast<uintptr_t>(base), kHugePage) - reinterpret_cast<uintptr_t>(base);
  if (skip > 0) ::munmap(base, skip);
  if (skip < kHugePage) ::munmap(base + skip + size, kHugePage - skip);
  ::madvise(base + skip, size, MADV_HUGEPAGE);  // refused where the kernel has none: no harm
  return Mapping(base + skip, size);
}

}  // namespace lamina
