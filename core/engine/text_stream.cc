// SPDX-License-Identifier: Apache-2.0
#include "core/engine/text_stream.h"

#include <algorithm>

#include "core/base/utf8.h"

namespace lamina {

Result<TextStream> TextStream::create(std::vector<std::string> stops) {
  if (stops.size() > kMaxStops) {
    return make_error(Code::kInvalidArgument, "%zu stop strings, at most %zu are allowed",
                      stops.size(), kMaxStops);
  }
  for (const std::string& stop : stops) {
    if (stop.empty() || stop.size() > kMaxStopBytes || !is_valid_utf8(stop)) {
      return make_error(Code::kInvalidArgument,
                        "stop string %s has %zu bytes: 1 to %zu bytes of UTF-8 are allowed",
                        quote(stop).c_str(), stop.size(), kMaxStopBytes);
    }
  }
  return TextStream(std::move(stops));
}

std::string TextStream::push(std::string_view bytes) {
  if (stopped()) return {};
  partial_ += bytes;
  const size_t whole = partial_.size() - incomplete_utf8_tail(partial_);
  held_ += repaired_utf8(std::string_view(partial_).substr(0, whole));
  partial_.erase(0, whole);

  const size_t ready = find_stop() ? held_.size() : held_.size() - possible_stop();
  std::string text = held_.substr(0, ready);
  held_.erase(0, ready);
  return text;
}

std::string TextStream::flush() {
  if (stopped()) return {};
  std::string text = held_ + repaired_utf8(partial_);
  held_.clear();
  partial_.clear();
  return text;
}

// Of all occurrences the one that ends first counts, as if bytes came one by one; of those, the
// one that begins first.
bool TextStream::find_stop() {
  size_t best_end = std::string::npos, best_begin = 0;
  for (size_t i = 0; i < stops_.size(); ++i) {
    const size_t begin = held_.find(stops_[i]);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stops_[i].size();
    if (end < best_end || (end == best_end && begin < best_begin)) {
      best_end = end;
      best_begin = begin;
      stop_index_ = static_cast<int>(i);
    }
  }
  if (stopped()) held_.resize(best_begin);
  return stopped();
}

size_t TextStream::possible_stop() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    size_t n = std::min(stop.size() - 1, held_.size());
    for (; n > longest; --n) {
      if (held_.ends_with(std::string_view(stop).substr(0, n))) break;
    }
    longest = std::max(longest, n);
  }
  return longest;
}

}  // namespace lamina
