// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja_text.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/utf8.h"

namespace lamina::jinja {

bool Text::all_trusted() const {
  return std::all_of(runs_.begin(), runs_.end(), [](const Run& run) { return run.trusted; });
}

void Text::append(std::string_view bytes, bool trusted) {
  if (bytes.empty()) return;
  bytes_.append(bytes);
  LAMINA_CHECK(bytes_.size() <= UINT32_MAX);
  if (runs_.empty() || runs_.back().trusted != trusted) runs_.push_back({0, trusted});
  runs_.back().end = static_cast<uint32_t>(bytes_.size());
}

void Text::append(const Text& text, size_t begin, size_t end) {
  const auto ends_before = [](const Run& run, size_t offset) { return run.end <= offset; };
  auto run = std::lower_bound(text.runs_.begin(), text.runs_.end(), begin, ends_before);
  for (; begin < end; ++run) {
    const size_t stop = std::min<size_t>(run->end, end);
    append(text.bytes().substr(begin, stop - begin), run->trusted);
    begin = stop;
  }
}

Text Text::slice(size_t begin, size_t end) const {
  Text part;
  part.append(*this, begin, end);
  return part;
}

Text Text::with_bytes(std::string bytes) const {
  LAMINA_CHECK(bytes.size() == bytes_.size());
  Text other;
  other.bytes_ = std::move(bytes);
  other.runs_ = runs_;
  return other;
}

bool is_space(uint32_t c) {
  if (c <= 0x20) return c == 0x20 || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

namespace {

bool continues(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

template <typename Predicate>
ByteRange strip_if(std::string_view utf8, bool left, bool right, Predicate removed) {
  size_t begin = 0;
  size_t end = utf8.size();
  while (left && begin < end) {
    const CodePoint c = decode_utf8(utf8, begin);
    if (!removed(c.value)) break;
    begin += c.bytes;
  }
  while (right && begin < end) {
    size_t last = end - 1;
    while (last > begin && continues(utf8[last])) --last;
    if (!removed(decode_utf8(utf8, last).value)) break;
    end = last;
  }
  return {begin, end};
}

bool contains(std::string_view set, uint32_t code_point) {
  for (size_t i = 0; i < set.size();) {
    const CodePoint c = decode_utf8(set, i);
    if (c.value == code_point) return true;
    i += c.bytes;
  }
  return false;
}

}  // namespace

size_t count_code_points(std::string_view utf8) {
  return utf8.size() - static_cast<size_t>(std::count_if(utf8.begin(), utf8.end(), continues));
}

size_t offset_of_code_point(std::string_view utf8, size_t index) {
  for (size_t i = 0; i < utf8.size(); ++i) {
    if (continues(utf8[i])) continue;
    if (index == 0) return i;
    --index;
  }
  return utf8.size();
}

ByteRange strip_space(std::string_view utf8, bool left, bool right) {
  return strip_if(utf8, left, right, is_space);
}

ByteRange strip_any_of(std::string_view utf8, std::string_view set, bool left, bool right) {
  return strip_if(utf8, left, right, [set](uint32_t c) { return contains(set, c); });
}

}  // namespace lamina::jinja
