// SPDX-License-Identifier: Apache-2.0
// Tokens that are found in the text itself, before anything cuts it: chat markers and the like.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/token_table.h"

namespace lamina {

struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // swallows white space before it
  bool rstrip = false;       // and behind it
  bool normalized = false;   // is looked for in the normalized text
  bool special = false;
};

// Which bytes of a text may become special tokens: all, none, or those that are marked.
class Trust {
 public:
  Trust(bool everywhere) : everywhere_(everywhere) {}
  // One mark, 0 or 1, for each byte of the text. They outlive this.
  explicit Trust(std::string_view marks) : marks_(marks) {}

  bool at(size_t i) const { return marks_.empty() ? everywhere_ : marks_[i] != 0; }
  // Where trust first changes in (begin, end), or `end`.
  size_t border(size_t begin, size_t end) const {
    if (marks_.empty()) return end;
    const char* changed = std::find(marks_.data() + begin, marks_.data() + end, !marks_[begin]);
    return static_cast<size_t>(changed - marks_.data());
  }

 private:
  bool everywhere_ = false;
  std::string_view marks_;
};

// Finds the longest token at the leftmost place; matches do not overlap.
class AddedTokenMatcher {
 public:
  static constexpr size_t kMaxContentBytes = 512;  // bounds the work per byte of text

  // `text`: between tokens (id -1), or what a token matched.
  using Emit = std::function<void(std::string_view text, int32_t id)>;

  // `pattern` is what the text is searched for. False: a table chosen to collide.
  // REQUIRES: 0 < pattern.size() <= kMaxContentBytes after normalization too.
  [[nodiscard]] bool add(const AddedToken& token, std::string_view pattern);

  // Special tokens are found in trusted text only. Elsewhere their text stays text, and as in the
  // reference no other token is looked for inside it, as far as it is not trusted.
  void split(std::string_view text, const Trust& trust, const Emit& emit) const;

 private:
  struct Match {
    size_t length = 1;
    int32_t token = -1;  // none, and `length` bytes are passed over
  };
  struct Token {
    int32_t id;
    bool single_word, lstrip, rstrip, special;
  };

  Match longest_at(std::string_view text, size_t begin) const;
  Match match_at(std::string_view text, size_t begin, const Trust& trust) const;

  std::array<bool, 256> begins_{};     // some pattern begins with this byte
  PairTable edges_;                    // node << 8 | byte -> node of the trie; node 0 is the root
  std::vector<int32_t> token_of_{-1};  // per node; -1: no pattern ends here
  std::vector<Token> tokens_;
};

}  // namespace lamina
