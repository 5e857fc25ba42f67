// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace lamina {

// Random-access bytes with a name: a file, a mapping, a downloaded buffer. Thread-safe.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual const std::string& name() const = 0;  // for messages
  virtual uint64_t size() const = 0;
  // Fills all of `out` or fails: kIo, or kIntegrity when the source ends first.
  virtual Result<void> read(uint64_t offset, std::span<std::byte> out) const = 0;
};

class MemoryByteSource final : public ByteSource {
 public:
  // Borrows `bytes`.
  MemoryByteSource(std::string name, std::span<const std::byte> bytes)
      : name_(std::move(name)), bytes_(bytes) {}
  const std::string& name() const override { return name_; }
  uint64_t size() const override { return bytes_.size(); }
  Result<void> read(uint64_t offset, std::span<std::byte> out) const override {
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
      return make_error(Code::kIntegrity, "%s: ends at byte %zu, needed %zu bytes at %llu",
                        name_.c_str(), bytes_.size(), out.size(),
                        static_cast<unsigned long long>(offset));
    }
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }

 private:
  std::string name_;
  std::span<const std::byte> bytes_;
};

}  // namespace lamina
