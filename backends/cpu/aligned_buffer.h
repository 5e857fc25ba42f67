// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

#include "core/base/result.h"

namespace lamina::cpu {

// Zeroed memory, 64-byte aligned; large ones ask for huge pages where the system has them.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    swap(other);
    return *this;
  }

  // kOutOfMemory names `what`.
  static Result<AlignedBuffer> create(size_t bytes, const char* what);

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  template <typename T>
  T* as(size_t offset_bytes = 0) const {
    return static_cast<T*>(static_cast<void*>(data_ + offset_bytes));
  }

 private:
  void swap(AlignedBuffer& other) {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(mapped_, other.mapped_);
  }

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;  // bytes to unmap, 0 if from the heap
};

}  // namespace lamina::cpu
