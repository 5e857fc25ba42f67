// SPDX-License-Identifier: Apache-2.0
// Tokens that are found in the text itself, before anything cuts it: chat markers and the like.
#pragma once

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

// Finds the longest token at the leftmost place; matches do not overlap.
class AddedTokenMatcher {
 public:
  static constexpr size_t kMaxContentBytes = 512;  // bounds the work per byte of text

  // `text`: between tokens (id -1), or what a token matched.
  using Emit = std::function<void(std::string_view text, int32_t id)>;

  // `pattern` is what the text is searched for. False: a table chosen to collide.
  // REQUIRES: 0 < pattern.size() <= kMaxContentBytes after normalization too.
  [[nodiscard]] bool add(const AddedToken& token, std::string_view pattern);

  // Special tokens are passed over unless `parse_special`: their text then stays text, and as in
  // the reference no other token is looked for inside it.
  void split(std::string_view text, bool parse_special, const Emit& emit) const;

 private:
  struct Match {
    size_t length = 0;  // 0: none
    int32_t token = -1;
  };
  struct Token {
    int32_t id;
    bool single_word, lstrip, rstrip, special;
  };

  Match longest_at(std::string_view text, size_t begin) const;

  std::array<bool, 256> begins_{};     // some pattern begins with this byte
  PairTable edges_;                    // node << 8 | byte -> node of the trie; node 0 is the root
  std::vector<int32_t> token_of_{-1};  // per node; -1: no pattern ends here
  std::vector<Token> tokens_;
};

}  // namespace lamina
