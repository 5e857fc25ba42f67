// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "core/base/result.h"

namespace lamina {

constexpr size_t kHugePage = size_t{2} << 20;

// Owns a range of address space: a file's bytes, or memory of our own.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // The first `bytes` of the file, read-only. The descriptor may be closed afterwards. Reading a
  // page that the file has lost since then ends the process with SIGBUS.
  static Result<Mapping> of_file(int fd, size_t bytes, const std::string& path);

  // Zeroed memory, aligned to 2 MiB and advised to lie in huge pages.
  static Result<Mapping> anonymous(size_t bytes);

  std::byte* data() const { return data_; }
  size_t size() const { return bytes_; }
  std::span<std::byte> bytes() const { return {data_, bytes_}; }

 private:
  Mapping(std::byte* data, size_t bytes) : data_(data), bytes_(bytes) {}
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace lamina
