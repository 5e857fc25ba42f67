// SPDX-License-Identifier: Apache-2.0
#include "core/model/added_tokens.h"

#include "core/base/check.h"
#include "core/model/unicode_tables.h"
#include "core/model/utf8_scan.h"

namespace lamina {

namespace {

bool has_class(std::string_view text, size_t i, uint8_t wanted) {
  return (unicode_class(scan_char(text, i).value) & wanted) != 0;
}

bool is_single_word(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && has_class(text, char_before(text, begin), kUnicodeWord)) return false;
  return end == text.size() || !has_class(text, end, kUnicodeWord);
}

size_t skip_space(std::string_view text, size_t i) {
  while (i < text.size() && has_class(text, i, kUnicodeSpace)) i += scan_char(text, i).bytes;
  return i;
}

// Back from `end` over white space, no further than `low`.
size_t skip_space_back(std::string_view text, size_t low, size_t end) {
  while (end > low) {
    const size_t before = char_before(text, end);
    if (!has_class(text, before, kUnicodeSpace)) break;
    end = before;
  }
  return end;
}

}  // namespace

bool AddedTokenMatcher::add(const AddedToken& token, std::string_view pattern) {
  LAMINA_CHECK(!pattern.empty());
  begins_[static_cast<uint8_t>(pattern[0])] = true;
  uint64_t node = 0;
  for (char c : pattern) {
    const uint64_t edge = node << 8 | static_cast<uint8_t>(c);
    if (const uint64_t* next = edges_.find(edge)) {
      node = *next;
      continue;
    }
    node = token_of_.size();
    token_of_.push_back(-1);
    if (!edges_.insert(edge, node)) return false;
  }
  token_of_[static_cast<size_t>(node)] = static_cast<int32_t>(tokens_.size());
  tokens_.push_back({token.id, token.single_word, token.lstrip, token.rstrip, token.special});
  return true;
}

AddedTokenMatcher::Match AddedTokenMatcher::longest_at(std::string_view text, size_t begin) const {
  Match best;
  uint64_t node = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    const uint64_t* next = edges_.find(node << 8 | static_cast<uint8_t>(text[i]));
    if (!next) break;
    node = *next;
    const int32_t token = token_of_[static_cast<size_t>(node)];
    if (token >= 0) best = {i + 1 - begin, token};
  }
  return best;
}

// What the template spells stands even where a message goes on with it, so that a longer token
// seems to be there; and a message can't swallow the beginning of what the template spells.
AddedTokenMatcher::Match AddedTokenMatcher::match_at(std::string_view text, size_t begin,
                                                     const Trust& trust) const {
  const Match match = longest_at(text, begin);
  if (match.token < 0 || !tokens_[static_cast<size_t>(match.token)].special) return match;
  const size_t border = trust.border(begin, begin + match.length);
  if (!trust.at(begin)) return {border - begin, -1};
  return border == begin + match.length ? match : longest_at(text.substr(0, border), begin);
}

void AddedTokenMatcher::split(std::string_view text, const Trust& trust, const Emit& emit) const {
  size_t done = 0;  // everything before has been emitted
  for (size_t i = 0; !tokens_.empty() && i < text.size();) {
    const bool may_begin = begins_[static_cast<uint8_t>(text[i])];
    const Match match = may_begin ? match_at(text, i, trust) : Match{};
    if (match.token < 0) {
      i += match.length;
      continue;
    }
    const Token& token = tokens_[static_cast<size_t>(match.token)];
    size_t begin = i;
    size_t end = i + match.length;
    i = end;
    if (token.single_word && !is_single_word(text, begin, end)) continue;
    if (token.lstrip) begin = skip_space_back(text, done, begin);
    if (token.rstrip) i = end = skip_space(text, end);
    if (done < begin) emit(text.substr(done, begin - done), -1);
    emit(text.substr(begin, end - begin), token.id);
    done = end;
  }
  if (done < text.size()) emit(text.substr(done), -1);
}

}  // namespace lamina
