// SPDX-License-Identifier: Apache-2.0
#include "native/cli/text_ids.h"

namespace lamina::cli {

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
  std::vector<TextSegment> segments;
  for (const ChatSegment& s : prompt.segments) segments.push_back({s.text, s.trusted});
  return tokenizer.encode(segments, false);
}

}  // namespace lamina::cli
