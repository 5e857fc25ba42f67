// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/host_copy.h"

#include <algorithm>
#include <cstring>

namespace lamina::vulkan {

namespace {

constexpr uint64_t kPart = uint64_t{1} << 20;  // what a thread takes at a time
constexpr int kMostThreads = 8;

}  // namespace

int HostCopy::usual_threads() {
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 2, 1, kMostThreads);
}

HostCopy::HostCopy(int threads) {
  for (int i = 1; i < threads; ++i) helpers_.emplace_back([this] { help(); });
}

HostCopy::~HostCopy() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& t : helpers_) t.join();
}

void HostCopy::work() {
  for (size_t i = next_++; i < parts_.size(); i = next_++) {
    std::memcpy(parts_[i].to, parts_[i].from, parts_[i].bytes);
  }
}

void HostCopy::help() {
  std::unique_lock lock(mutex_);
  for (uint64_t seen = 0;;) {
    changed_.wait(lock, [&] { return ending_ || round_ != seen; });
    if (ending_) return;
    seen = round_;
    lock.unlock();
    work();
    lock.lock();
    if (--busy_ == 0) changed_.notify_all();
  }
}

void HostCopy::run(std::span<const Source> sources, uint64_t begin, uint64_t bytes, std::byte* to) {
  parts_.clear();
  for (const Source& s : sources) {
    const uint64_t end = std::min(s.at + s.bytes, begin + bytes);
    for (uint64_t at = std::max(s.at, begin); at < end; at += kPart) {
      parts_.push_back({s.from + (at - s.at), to + (at - begin),
                        static_cast<size_t>(std::min(kPart, end - at))});
    }
  }
  next_ = 0;
  if (helpers_.empty() || parts_.size() < 2) return work();
  {
    const std::lock_guard lock(mutex_);
    busy_ = static_cast<int>(helpers_.size());
    ++round_;
  }
  changed_.notify_all();
  work();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return busy_ == 0; });
}

}  // namespace lamina::vulkan
