// SPDX-License-Identifier: Apache-2.0
// A hostile tokenizer.json, a hostile text and hostile ids. Input: the JSON, a NUL byte, the text
// (without a NUL: all of it is JSON and the text is fixed). The text's bytes are the ids as well.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "core/model/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lamina;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = input.find('\0');
  const auto tokenizer = Tokenizer::from_json(input.substr(0, cut), "fuzz.json");
  if (!tokenizer) return 0;
  const std::string_view text =
      cut == std::string_view::npos ? "It's <s> 12345\n\n  caf\xC3\xA9" : input.substr(cut + 1);

  for (const bool parse : {false, true}) {
    const auto ids = tokenizer->encode(text, {.parse_special = parse});
    LAMINA_CHECK(ids.has_value());
    for (const int32_t id : *ids) LAMINA_CHECK(!tokenizer->token_text(id).empty());
  }
  std::vector<TextSegment> segments;
  for (size_t at = 0; at < text.size(); at += 3)
    segments.push_back({text.substr(at, 3), at % 2 == 0});
  const auto mixed = tokenizer->encode(segments);
  LAMINA_CHECK(mixed.has_value());
  for (const int32_t id : *mixed) LAMINA_CHECK(!tokenizer->token_text(id).empty());

  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(c);
  for (const bool skip : {false, true}) {
    const DecodeOptions options{.skip_special = skip};
    const std::string whole = tokenizer->decode(ids, options);
    LAMINA_CHECK(is_valid_utf8(whole));
    Tokenizer::StreamDecoder decoder(*tokenizer, options);
    std::string streamed;
    for (const int32_t id : ids) streamed += decoder.push(id);
    LAMINA_CHECK(streamed + decoder.finish() == whole);
  }
  return 0;
}
