// SPDX-License-Identifier: Apache-2.0
// What happens to text before it is cut into pieces: Prepend and Replace, as SentencePiece-style
// tokenizers use them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lamina {

// `text` with every `from` replaced by `to`, left to right, not overlapping.
// REQUIRES: `from` is not empty.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

// What marks of `text`, one a byte, become along with it: what replaces a match is marked where the
// whole match was.
std::string replace_marks(std::string_view marks, std::string_view text, std::string_view from,
                          std::string_view to);

class Normalizer {
 public:
  // A chain may lengthen a text by at most this factor (and some bytes), whatever the file says.
  static constexpr size_t kMostGrowth = 4;
  static constexpr size_t kMostPrepended = 64;  // bytes

  // False: the chain would grow texts beyond the limits. REQUIRES: `from` is not empty.
  [[nodiscard]] bool add_prepend(std::string text);
  [[nodiscard]] bool add_replace(std::string from, std::string to);

  bool empty() const { return steps_.empty(); }
  // `marks`, unless null or empty: one, 0 or 1, for each byte of the text, and then of the result.
  std::string apply(std::string_view text, std::string* marks = nullptr) const;

 private:
  struct Step {
    std::string from;  // empty: prepend `to`
    std::string to;
  };

  std::vector<Step> steps_;
  size_t growth_ = 1;
  size_t prepended_ = 0;
};

}  // namespace lamina
