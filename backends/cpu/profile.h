// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "core/engine/op.h"

namespace lamina::cpu {

// Time per kind of op, as worker 0 sees it, waiting included. Costs nothing unless on.
class Profile {
 public:
  struct Entry {
    double seconds = 0.0;
    uint64_t weight_bytes = 0;  // weights and scales read
    uint64_t calls = 0;
  };

  void set_on(bool on) {
    on_ = on;
    entries_ = {};
  }
  bool on() const { return on_; }
  const std::array<Entry, kOpKinds>& entries() const { return entries_; }

  void start() { last_ = Clock::now(); }
  void stop(OpKind kind, uint64_t weight_bytes) {
    const auto now = Clock::now();
    Entry& e = entries_[static_cast<size_t>(kind)];
    e.seconds += std::chrono::duration<double>(now - last_).count();
    e.weight_bytes += weight_bytes;
    ++e.calls;
    last_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;
  bool on_ = false;
  Clock::time_point last_{};
  std::array<Entry, kOpKinds> entries_{};
};

}  // namespace lamina::cpu
