// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/prompt_bound.h"

#include <algorithm>
#include <bitset>

namespace lamina::daemon {
namespace {

size_t dark_bytes(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return static_cast<unsigned char>(c) > ' '; }));
}

// Of what a token may stand for in a text: SentencePiece's spaces may be there as such, or as the
// sign that the vocabulary has for them.
size_t written_bytes(const Tokenizer& tokenizer, int32_t id) {
  const std::string_view text = tokenizer.token_text(id);
  const bool as_written = tokenizer.is_special(id) || text.find("\xe2\x96\x81") != text.npos;
  return as_written ? text.size() : dark_bytes(tokenizer.token_bytes(id));
}

// Those that occur in UTF-8 and are no white space.
bool occurs(unsigned byte) {
  return byte > ' ' && byte != 0xc0 && byte != 0xc1 && byte < 0xf5;
}

}  // namespace

PromptBound::PromptBound(const Tokenizer& tokenizer, int32_t context) : context_(context) {
  size_t longest = 1;
  std::bitset<256> alone;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    longest = std::max(longest, written_bytes(tokenizer, id));
    if (bytes.size() == 1) alone.set(static_cast<unsigned char>(bytes.front()));
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (occurs(byte) && !alone.test(byte)) return;
  }
  most_bytes_ = static_cast<size_t>(context) * longest;
}

Result<void> PromptBound::check(std::span<const std::string_view> texts) const {
  size_t all = 0, dark = 0;
  for (const std::string_view text : texts) all += text.size();
  if (all <= most_bytes_) return {};
  for (const std::string_view text : texts) dark += dark_bytes(text);
  if (dark <= most_bytes_) return {};
  return make_error(Code::kContextExceeded,
                    "the prompt has %zu bytes, far more than the context's %d tokens can stand "
                    "for: shorten it or raise --ctx",
                    all, context_);
}

}  // namespace lamina::daemon
