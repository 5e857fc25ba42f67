// SPDX-License-Identifier: Apache-2.0
// A token bucket per address, in bounded memory.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

namespace lamina::daemon {

using Clock = std::chrono::steady_clock;

class RateLimiter {
 public:
  static constexpr size_t kMaxAddresses = 4096;

  RateLimiter() = default;
  explicit RateLimiter(double per_second) : per_second_(per_second) {}

  // Zero when a request may pass now, else the seconds until one may.
  double take(std::string_view address, Clock::time_point now);
  size_t addresses() const { return buckets_.size(); }

 private:
  struct Bucket {
    double left = 0.0;
    Clock::time_point at;
  };
  void forget_full(Clock::time_point now);

  double per_second_ = 0.0;  // 0: no limit
  std::unordered_map<std::string, Bucket> buckets_;
};

// What counts as one address: IPv4 whole, IPv6 by its /64, which one subscriber has.
std::string rate_key(std::string_view address);

}  // namespace lamina::daemon
