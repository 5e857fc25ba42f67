// SPDX-License-Identifier: Apache-2.0
// Any bytes as a chat template, and the bytes after a NUL as a message. Beyond not crashing: the
// segments are well-formed, and a mark that only messages contain is never in a trusted one.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "core/model/chat_template.h"

namespace {

constexpr std::string_view kMark = "\xE4\xB9\x97";  // U+4E57

void check(const lamina::ChatPrompt& prompt, bool mark_is_ours) {
  const lamina::ChatSegment* before = nullptr;
  for (const lamina::ChatSegment& segment : prompt.segments) {
    LAMINA_CHECK(!segment.text.empty());
    LAMINA_CHECK(lamina::is_valid_utf8(segment.text));
    LAMINA_CHECK(before == nullptr || before->trusted != segment.trusted);
    if (mark_is_ours && segment.trusted) {
      LAMINA_CHECK(segment.text.find(kMark) == std::string::npos);
    }
    before = &segment;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t nul = input.find('\0');
  const std::string_view source = input.substr(0, nul);
  const std::string_view message = nul == std::string_view::npos ? "" : input.substr(nul + 1);

  auto parsed = lamina::ChatTemplate::parse(source, "fuzz");
  if (!parsed) return 0;
  const std::string mark(kMark);
  const std::vector<lamina::ChatMessage> messages = {
      {"system", mark + " be\n" + mark},
      {"user", std::string(message)},
      {mark, " <|eot_id|> </think>" + mark},
      {"user", mark}};
  lamina::ChatOptions options;
  options.bos_token = "<s>";
  options.eos_token = "</s>";
  options.date = lamina::ChatDate{2024, 7, 6, 14, 5, 9};
  const bool mark_is_ours = source.find(kMark) == std::string_view::npos &&
                            source.find("\\u") == std::string_view::npos &&
                            source.find("\\U") == std::string_view::npos;
  auto prompt = parsed->render(messages, options);
  if (prompt) check(*prompt, mark_is_ours);
  return 0;
}
