// SPDX-License-Identifier: Apache-2.0
#include "core/model/detokenizer.h"

#include <algorithm>

#include "core/base/utf8.h"
#include "core/model/bpe.h"
#include "core/model/normalizer.h"

namespace lamina {

namespace {

std::string rewritten(const DecodeRules& rules, std::string_view token, bool first) {
  std::string text(token);
  for (const DecodeRules::Rewrite& r : rules.rewrites) {
    text = replace_all(text, r.from, first && r.metaspace ? r.first_to : r.to);
  }
  return text;
}

}  // namespace

bool DecodeRules::has_first_form() const {
  return std::any_of(rewrites.begin(), rewrites.end(),
                     [](const Rewrite& r) { return r.metaspace; });
}

bool DecodeRules::is_byte(std::string_view token, bool first) const {
  return byte_fallback && byte_of_name(rewritten(*this, token, first)) >= 0;
}

std::string DecodeRules::piece_of(std::string_view token, bool first) const {
  std::string text = rewritten(*this, token, first);
  if (byte_fallback) {
    const int byte = byte_of_name(text);
    if (byte >= 0) return std::string(1, static_cast<char>(byte));
  }
  if (pieces == Pieces::kByteLevel) {
    std::string bytes;
    if (from_byte_level(text, bytes)) return bytes;
  }
  return text;
}

std::string DecodeStream::push(const DecodeRules& rules, std::string_view piece, bool is_byte) {
  std::string text;
  if (!at_first_ && !rules.separator.empty()) text = rules.separator;
  at_first_ = false;
  if (rules.pieces == DecodeRules::Pieces::kByteLevel) {
    run_ += text;
    run_ += piece;
    const size_t whole = run_.size() - incomplete_utf8_tail(run_);
    text = repaired_utf8(std::string_view(run_).substr(0, whole));
    run_.erase(0, whole);
  } else if (is_byte) {
    run_ += piece;
  } else {
    text = end_run() + text;
    text += piece;
  }
  return strip(rules, std::move(text));
}

std::string DecodeStream::finish(const DecodeRules& rules) {
  std::string text =
      rules.pieces == DecodeRules::Pieces::kByteLevel ? repaired_utf8(run_) : end_run();
  run_.clear();
  return strip(rules, std::move(text));
}

std::string DecodeStream::end_run() {
  std::string text;
  if (is_valid_utf8(run_)) {
    text = run_;
  } else {
    for (size_t i = 0; i < run_.size(); ++i) text += "\uFFFD";
  }
  run_.clear();
  return text;
}

// One strip after the other takes what it may from the beginning of the text.
std::string DecodeStream::strip(const DecodeRules& rules, std::string text) {
  size_t begin = 0;
  while (strip_ < rules.strips.size() && begin < text.size()) {
    const DecodeRules::Strip& s = rules.strips[strip_];
    if (stripped_ < s.most && std::string_view(text).substr(begin).starts_with(s.character)) {
      begin += s.character.size();
      ++stripped_;
    } else {
      ++strip_;
      stripped_ = 0;
    }
  }
  return text.substr(begin);
}

}  // namespace lamina
