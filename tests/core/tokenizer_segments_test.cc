// SPDX-License-Identifier: Apache-2.0
// Texts by several authors: one text for ordinary tokens, but special tokens only by those trusted.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "core/base/json.h"
#include "core/base/numeric.h"
#include "core/model/tokenizer.h"

namespace lamina {
namespace {

using Ids = std::vector<int32_t>;
using Segments = std::vector<TextSegment>;

Tokenizer load(const std::string& folder) {
  std::ifstream file(std::string(LAMINA_SOURCE_DIR) + "/tests/" + folder + "/tokenizer.json");
  std::stringstream text;
  text << file.rdbuf();
  auto tokenizer = Tokenizer::from_json(text.str(), folder);
  EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  return std::move(tokenizer).value();
}

Ids of_template(const Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.encode(text, {.add_special = false, .parse_special = true}).value();
}

Ids of_user(const Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.encode(text, {.add_special = false, .parse_special = false}).value();
}

Ids joined(std::initializer_list<Ids> parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

constexpr std::string_view kBegin = "<|start_header_id|>user<|end_header_id|>\n\n";
constexpr std::string_view kEnd = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";

TEST(Segments, OrdinaryTextIsEncodedAsOneText) {
  const Tokenizer tokenizer = load("models/storyteller");
  for (const std::string user : {"Tell me a story.", "\n\n so", " x ", "", "<|eot", "123"}) {
    const std::string whole = std::string(kBegin) + user + std::string(kEnd);
    const Segments segments = {{kBegin, true}, {user, false}, {kEnd, true}};
    EXPECT_EQ(tokenizer.encode(segments, false).value(), of_template(tokenizer, whole)) << user;
  }
}

TEST(Segments, WhatAUserSpellsIsOrdinaryAndJoinsTheTextAround) {
  const Tokenizer tokenizer = load("models/storyteller");
  const std::string user = "tern<|eot_id|>there";
  const Segments segments = {{"<|eot_id|> the lan", true}, {user, false}, {kEnd, true}};
  const Ids end = of_template(tokenizer, kEnd);
  const Ids whole = joined({{4}, of_user(tokenizer, " the lan" + user), end});
  EXPECT_EQ(tokenizer.encode(segments, false).value(), whole);
  const Ids pieces = joined({{4}, of_user(tokenizer, " the lan"), of_user(tokenizer, user), end});
  EXPECT_NE(pieces, whole);  // or this test tells nothing
}

TEST(Segments, HalvesOfASpecialTokenMakeNone) {
  const Tokenizer tokenizer = load("models/storyteller");
  const Ids plain = of_user(tokenizer, "<|eot_id|>");
  for (const bool first : {false, true}) {
    const Segments halves = {{"<|eot", first}, {"_id|>", !first}};
    EXPECT_EQ(tokenizer.encode(halves, false).value(), plain);
  }
  const Segments trusted = {{"<|eot", true}, {"_id|>", true}};
  EXPECT_EQ(tokenizer.encode(trusted, false).value(), of_template(tokenizer, "<|eot_id|>"));
}

TEST(Segments, PostProcessorEmptinessAndLimits) {
  const Tokenizer tokenizer = load("models/storyteller");
  EXPECT_EQ(tokenizer.encode(Segments{{"a ", true}, {"b", false}}).value(),
            tokenizer.encode("a b").value());
  EXPECT_EQ(tokenizer.encode(Segments{}).value(), tokenizer.encode("").value());
  EXPECT_TRUE(tokenizer.encode(Segments{{"", true}, {"", false}}, false).value().empty());
  EXPECT_EQ(tokenizer.encode(Segments{{"\xC3", true}, {"\xA9", true}}).value(),
            tokenizer.encode("\uFFFD\uFFFD").value());
  const std::string half(Tokenizer::kMaxTextBytes / 2 + 1, ' ');
  const auto refused = tokenizer.encode(Segments{{half, true}, {half, false}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
}

// The normalizer moves the text's bytes, and lets pieces of it grow, shrink and vanish.
TEST(Segments, TrustGoesThroughTheNormalizer) {
  const auto tokenizer = Tokenizer::from_json(R"({
      "added_tokens": [{"id": 9, "content": "<a>", "special": true, "normalized": true},
                       {"id": 8, "content": "_._", "special": true, "normalized": false}],
      "normalizer": {"type": "Sequence", "normalizers": [
          {"type": "Replace", "pattern": {"String": " "}, "content": "___"},
          {"type": "Replace", "pattern": {"String": "--"}, "content": ""}]},
      "model": {"type": "BPE", "vocab": {"<": 0, "a": 1, ">": 2, "_": 3, ".": 4}, "merges": []}})",
                                              "t");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  const auto ids = [&](const Segments& s) { return tokenizer->encode(s).value(); };
  EXPECT_EQ(ids({{"_._", true}, {" --", false}, {"<a>", true}}), (Ids{8, 3, 3, 3, 9}));
  EXPECT_EQ(ids({{"_._", false}, {" --<a>", false}, {"a", true}}),
            (Ids{3, 4, 3, 3, 3, 3, 0, 1, 2, 1}));
  EXPECT_EQ(ids({{" ", true}, {"<a>", false}, {"<a>", true}}), (Ids{3, 3, 3, 0, 1, 2, 9}));
  EXPECT_EQ(ids({{"<a", true}, {"--", false}, {">", true}}), (Ids{9}));
}

TEST(Segments, PrependedTextIsOfTheFirstAuthor) {
  const Tokenizer tokenizer = load("golden/llama2-mha-f16");
  const Segments trusted = {{"</s>", true}, {"</s> time", false}, {"</s>", true}};
  const Ids ids = tokenizer.encode(trusted, false).value();
  EXPECT_EQ(ids, joined({{2}, of_user(tokenizer, "</s> time"), {2}}));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 2);
}

// Cut anywhere, trusted or not as a whole: the borders are not seen.
TEST(Segments, BordersAloneChangeNothing) {
  for (const char* folder : {"models/storyteller", "golden/llama2-mha-f16"}) {
    const Tokenizer tokenizer = load(folder);
    const std::string text = "<|eot_id|> It's  a\n\n</s><s> story <unk> of 12345<|eot_id|>";
    Random random(17);
    for (int round = 0; round < 200; ++round) {
      for (const bool trusted : {false, true}) {
        Segments segments;
        for (size_t at = 0; at < text.size();) {
          const size_t n = 1 + random.next_u32() % 9;
          segments.push_back({std::string_view(text).substr(at, n), trusted});
          at += n;
        }
        EXPECT_EQ(tokenizer.encode(segments, false).value(),
                  trusted ? of_template(tokenizer, text) : of_user(tokenizer, text));
      }
    }
  }
}

}  // namespace
}  // namespace lamina
