// SPDX-License-Identifier: Apache-2.0
#include "native/cli/text_ids.h"

#include <array>

namespace lamina::cli {
namespace {

// Whether the text of some special token lies in `text` and touches a byte that isn't trusted.
bool holds_foreign_special(const Tokenizer& tokenizer, const std::string& text,
                           const std::vector<bool>& trusted) {
  std::array<std::vector<std::string_view>, 256> specials;  // by first byte
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view name = tokenizer.is_special(id) ? tokenizer.token_text(id) : "";
    if (!name.empty()) specials[static_cast<unsigned char>(name[0])].push_back(name);
  }
  for (size_t at = 0; at < text.size(); ++at) {
    for (std::string_view name : specials[static_cast<unsigned char>(text[at])]) {
      if (!std::string_view(text).substr(at).starts_with(name)) continue;
      for (size_t i = at; i < at + name.size(); ++i) {
        if (!trusted[i]) return true;
      }
    }
  }
  return false;
}

}  // namespace

Result<std::vector<int32_t>> text_ids(const Tokenizer& tokenizer, std::string_view text,
                                      bool parse_special) {
  LAMINA_ASSIGN(std::vector<int32_t> ids, tokenizer.encode(text, {true, parse_special}));
  LAMINA_ASSIGN(const std::vector<int32_t> added, tokenizer.encode("", {true, false}));
  const bool twice =
      added.size() == 1 && ids.size() >= 2 && ids[0] == added[0] && ids[1] == added[0];
  if (twice) ids.erase(ids.begin());
  return ids;
}

Result<std::vector<int32_t>> chat_ids(const Tokenizer& tokenizer, const ChatPrompt& prompt) {
  const std::string text = prompt.text();
  std::vector<bool> trusted;
  trusted.reserve(text.size());
  for (const ChatSegment& s : prompt.segments)
    trusted.insert(trusted.end(), s.text.size(), s.trusted);
  // The whole at once, because ordinary tokens may span segments. Where a message spells a special
  // token, piece by piece: a little less like what the model was trained on, but not fooled.
  if (!holds_foreign_special(tokenizer, text, trusted))
    return tokenizer.encode(text, {false, true});
  std::vector<int32_t> ids;
  for (const ChatSegment& s : prompt.segments) {
    LAMINA_ASSIGN(const std::vector<int32_t> piece, tokenizer.encode(s.text, {false, s.trusted}));
    ids.insert(ids.end(), piece.begin(), piece.end());
  }
  return ids;
}

}  // namespace lamina::cli
