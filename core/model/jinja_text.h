// SPDX-License-Identifier: Apache-2.0
// Text that remembers who wrote it.
//
// A prompt is made of two authors' words: the template's, in which "<|im_end|>" is a control token,
// and the conversation's, in which the same letters are just letters. Text keeps one trust bit per
// byte (as runs) through everything a template does with strings, so that the finished prompt can
// be tokenized with control tokens parsed in the template's words alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lamina::jinja {

class Text {
 public:
  struct Run {
    uint32_t end;  // byte offset one past the run; it begins where the run before it ends
    bool trusted;
  };

  Text() = default;
  Text(std::string_view bytes, bool trusted) { append(bytes, trusted); }

  std::string_view bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  // Neighbouring runs differ in trust; none is empty.
  const std::vector<Run>& runs() const { return runs_; }
  bool all_trusted() const;

  // REQUIRES for every append: the sum stays below 4 GiB.
  void append(std::string_view bytes, bool trusted);
  void append(const Text& text) { append(text, 0, text.size()); }
  void append(const Text& text, size_t begin, size_t end);

  // REQUIRES: begin <= end <= size().
  Text slice(size_t begin, size_t end) const;
  // This text with other bytes in the same places, such as its upper case.
  // REQUIRES: bytes.size() == size().
  Text with_bytes(std::string bytes) const;

  // What a Text of this size and number of runs holds in memory, about.
  size_t footprint() const { return sizeof(Text) + bytes_.size() + runs_.size() * sizeof(Run); }

 private:
  std::string bytes_;
  std::vector<Run> runs_;
};

// Python's str.isspace() of one code point.
bool is_space(uint32_t code_point);

size_t count_code_points(std::string_view utf8);

// Byte offset of the code point with this index; utf8.size() if there are no more than that.
size_t offset_of_code_point(std::string_view utf8, size_t index);

struct ByteRange {
  size_t begin, end;
};

// The part left after removing leading or trailing white space.
ByteRange strip_space(std::string_view utf8, bool left, bool right);
// The same, removing code points that occur in `set`.
ByteRange strip_any_of(std::string_view utf8, std::string_view set, bool left, bool right);

}  // namespace lamina::jinja
