// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/prompt_bound.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/daemon/service_support.h"

namespace lamina::daemon {
namespace {

Error refusal(const PromptBound& bound, std::span<const std::string_view> texts) {
  const Result<void> checked = bound.check(texts);
  return checked ? make_error(Code::kInvalidArgument, "taken") : checked.error();
}
bool takes(const PromptBound& bound, std::string_view text) {
  const std::string_view texts[] = {text};
  return static_cast<bool>(bound.check(texts));
}

TEST(PromptBound, NoTextThatFitsIsRefused) {
  const Tokenizer tokenizer = TestModel::read_tokenizer();
  std::string longest;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string bytes(tokenizer.token_bytes(id));
    if (bytes.size() > longest.size() && !tokenizer.is_special(id)) longest = bytes;
  }
  std::string text;
  for (int i = 0; i < 100; ++i) text += longest;
  const auto ids = tokenizer.encode(text, {false, false});
  ASSERT_TRUE(ids);
  EXPECT_TRUE(takes(PromptBound(tokenizer, static_cast<int32_t>(ids->size())), text));
  EXPECT_TRUE(takes(PromptBound(tokenizer, 16), std::string(1 << 20, ' ')));
}

TEST(PromptBound, WhatCanNeverFitIsRefused) {
  const Tokenizer tokenizer = TestModel::read_tokenizer();
  const PromptBound bound(tokenizer, 512);
  ASSERT_LT(bound.most_bytes(), 512u * 64);
  const std::string most(bound.most_bytes(), 'x');
  EXPECT_TRUE(takes(bound, most));
  const std::string_view parts[] = {most, "y"};
  const Error error = refusal(bound, parts);
  EXPECT_EQ(error.code, Code::kContextExceeded);
  EXPECT_THAT(error.message, testing::HasSubstr("512 tokens"));
}

TEST(PromptBound, UnknownCharactersHaveNone) {
  const auto tokenizer = Tokenizer::from_json(
      R"({"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":null,)"
      R"("post_processor":null,"decoder":null,"model":{"type":"BPE","vocab":{"<unk>":0,"a":1},)"
      R"("merges":[],"unk_token":"<unk>","fuse_unk":true}})",
      "tokenizer.json");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const std::string unknown(100000, 'z');
  EXPECT_EQ(tokenizer->encode(unknown)->size(), 1u);
  EXPECT_TRUE(takes(PromptBound(*tokenizer, 4), unknown));
}

}  // namespace
}  // namespace lamina::daemon
