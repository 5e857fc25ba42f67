// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/aligned_buffer.h"

#include <cstdlib>
#include <cstring>

#include "core/base/numeric.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace lamina::cpu {

namespace {

constexpr size_t kAlignment = 64;
#if defined(__linux__)
constexpr size_t kHugePage = size_t{2} << 20;
#endif

}  // namespace

Result<AlignedBuffer> AlignedBuffer::create(size_t bytes, const char* what) {
  AlignedBuffer out;
  out.size_ = bytes;
  const auto refuse = [&] {
    return make_error(Code::kOutOfMemory, "%s: %zu bytes cannot be had", what, bytes);
  };
  if (bytes > SIZE_MAX / 2) return refuse();
#if defined(__linux__)
  if (bytes >= kHugePage) {
    const size_t mapped = round_up(bytes, kHugePage);
    void* p = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return refuse();
    madvise(p, mapped, MADV_HUGEPAGE);  // a wish
    out.data_ = static_cast<std::byte*>(p);
    out.mapped_ = mapped;
    return out;
  }
#endif
  const size_t rounded = round_up(bytes > 0 ? bytes : 1, kAlignment);
  void* p = std::aligned_alloc(kAlignment, rounded);
  if (!p) return refuse();
  std::memset(p, 0, rounded);
  out.data_ = static_cast<std::byte*>(p);
  return out;
}

AlignedBuffer::~AlignedBuffer() {
#if defined(__linux__)
  if (mapped_ > 0) {
    munmap(data_, mapped_);
    return;
  }
#endif
  std::free(data_);
}

}  // namespace lamina::cpu
