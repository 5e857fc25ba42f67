// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/rate_limit.h"

#include <arpa/inet.h>

#include <algorithm>

namespace lamina::daemon {

namespace {

constexpr double kBurstSeconds = 2.0;  // as much as this long gives may come at once

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

double RateLimiter::take(std::string_view address, Clock::time_point now) {
  if (per_second_ <= 0.0) return 0.0;
  double burst = std::max(1.0, per_second_ * kBurstSeconds);
  std::string key = rate_key(address);
  if (buckets_.size() >= kMaxAddresses && !buckets_.contains(key)) forget_full(now);
  if (buckets_.size() >= kMaxAddresses && !buckets_.contains(key)) key.clear();  // one for the rest
  auto [entry, fresh] = buckets_.try_emplace(std::move(key), Bucket{burst, now});
  Bucket& bucket = entry->second;
  bucket.left = std::min(burst, bucket.left + seconds_between(bucket.at, now) * per_second_);
  bucket.at = now;
  if (bucket.left < 1.0) return (1.0 - bucket.left) / per_second_;
  bucket.left -= 1.0;
  return 0.0;
}

// A bucket that has had time to fill up says nothing.
void RateLimiter::forget_full(Clock::time_point now) {
  std::erase_if(buckets_, [&](const auto& entry) {
    return seconds_between(entry.second.at, now) >= std::max(kBurstSeconds, 1.0 / per_second_);
  });
}

std::string rate_key(std::string_view address) {
  std::string text(address);
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return text;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    char dotted[INET_ADDRSTRLEN] = {};
    inet_ntop(AF_INET, v6.s6_addr + 12, dotted, sizeof dotted);
    return dotted;
  }
  return std::string(reinterpret_cast<const char*>(v6.s6_addr), 8);
}

}  // namespace lamina::daemon
