// SPDX-License-Identifier: Apache-2.0
// tokenizer.json as an enemy would write it: each case is refused with an error that names the
// file, the field and the value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/numeric.h"
#include "core/model/tokenizer.h"

namespace lamina {
namespace {

using testing::HasSubstr;

// A sound tokenizer.json with one member replaced or added.
struct Parts {
  std::string added = "[]";
  std::string normalizer = "null";
  std::string pre_tokenizer = "null";
  std::string post_processor = "null";
  std::string decoder = "null";
  std::string type = "\"BPE\"";
  std::string vocab = R"({"a": 0, "b": 1, "ab": 2})";
  std::string merges = R"(["a b"])";
  std::string options;  // more members of model, each with a comma behind

  std::string json() const {
    return "{\"added_tokens\":" + added + ",\"normalizer\":" + normalizer +
           ",\"pre_tokenizer\":" + pre_tokenizer + ",\"post_processor\":" + post_processor +
           ",\"decoder\":" + decoder + ",\"model\":{" + options + "\"type\":" + type +
           ",\"vocab\":" + vocab + ",\"merges\":" + merges + "}}";
  }
};

void expect_refused(const std::string& json, Code code, const std::vector<std::string>& named) {
  const auto tokenizer = Tokenizer::from_json(json, "dir/tokenizer.json");
  ASSERT_FALSE(tokenizer.has_value()) << json.substr(0, 300);
  EXPECT_EQ(code_name(tokenizer.error().code), code_name(code)) << tokenizer.error().message;
  EXPECT_THAT(tokenizer.error().message, HasSubstr("dir/tokenizer.json"));
  for (const std::string& name : named) EXPECT_THAT(tokenizer.error().message, HasSubstr(name));
}

void expect_invalid(const Parts& parts, const std::vector<std::string>& named) {
  expect_refused(parts.json(), Code::kInvalidModel, named);
}

void expect_unsupported(const Parts& parts, const std::vector<std::string>& named) {
  expect_refused(parts.json(), Code::kUnsupported, named);
}

TEST(TokenizerJson, TheBaseOfTheseTestsIsSound) {
  const auto tokenizer = Tokenizer::from_json(Parts{}.json(), "t");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->encode("abb").value(), (std::vector<int32_t>{2, 1}));
}

TEST(TokenizerJson, NotJsonOrNotATokenizer) {
  expect_refused("", Code::kInvalidModel, {});
  expect_refused("{", Code::kInvalidModel, {});
  expect_refused("[]", Code::kInvalidModel, {"model"});
  expect_refused("{\"model\": 3}", Code::kInvalidModel, {"model", "is 3"});
  expect_refused(std::string(100000, '['), Code::kInvalidModel, {"nested"});
  expect_refused(std::string(Tokenizer::kMaxJsonBytes + 1, ' '), Code::kInvalidModel, {"bytes"});
}

TEST(TokenizerJson, Vocabulary) {
  expect_invalid({.vocab = "[]"}, {"model.vocab", "array"});
  expect_invalid({.vocab = "{}"}, {"model.vocab", "no tokens"});
  expect_invalid({.vocab = R"({"a": -1})"}, {"model.vocab.a", "-1"});
  expect_invalid({.vocab = R"({"a": 4194304})"}, {"model.vocab.a", "4194304"});
  expect_invalid({.vocab = R"({"a": 99999999999999999999})"}, {"model.vocab.a"});
  expect_invalid({.vocab = R"({"a": 1.5})"}, {"model.vocab.a", "1.5"});
  expect_invalid({.vocab = R"({"a": "x"})"}, {"model.vocab.a"});
  expect_invalid({.vocab = R"({"": 0})"}, {"model.vocab", "empty"});
  expect_invalid({.vocab = R"({"a": 0, "b": 0})"}, {"'a'", "'b'", "id 0"});
  expect_invalid({.vocab = R"({"a": 0, "a": 1})"}, {"duplicate"});
}

TEST(TokenizerJson, Merges) {
  expect_invalid({.merges = "{}"}, {"model.merges"});
  expect_invalid({.merges = R"(["a b", "a c"])"}, {"model.merges[1]", "'c'"});
  expect_invalid({.merges = R"(["a b", "c a"])"}, {"model.merges[1]", "'c'"});
  expect_invalid({.merges = R"([["b", "a"]])"}, {"model.merges[0]", "'ba'"});
  for (const char* bad : {"3", "null", "\"ab\"", "\"a b c\"", "\" a\"", "\"a \"", "[]", "[\"a\"]",
                          "[\"a\", 3]", "[\"a\", \"b\", \"ab\"]", "\"\"", "{}"}) {
    expect_invalid({.merges = std::string("[\"a b\", ") + bad + "]"}, {"model.merges[1]"});
  }
}

TEST(TokenizerJson, ModelOptions) {
  expect_unsupported({.type = "\"Unigram\""}, {"model.type", "Unigram"});
  expect_invalid({.type = "7"}, {"model.type"});
  expect_unsupported({.options = "\"dropout\": 0.1,"}, {"model.dropout", "0.1"});
  expect_unsupported({.options = "\"end_of_word_suffix\": \"</w>\","}, {"end_of_word_suffix"});
  expect_unsupported({.options = "\"continuing_subword_prefix\": \"##\","},
                     {"continuing_subword_prefix", "##"});
  expect_invalid({.options = "\"byte_fallback\": 1,"}, {"model.byte_fallback"});
  expect_invalid({.options = "\"unk_token\": \"<unk>\","}, {"model.unk_token", "<unk>"});
}

TEST(TokenizerJson, AddedTokens) {
  const auto added = [](const std::string& tokens) { return Parts{.added = "[" + tokens + "]"}; };
  expect_invalid({.added = "{}"}, {"added_tokens"});
  expect_invalid(added("3"), {"added_tokens[0]"});
  expect_invalid(added(R"({"id": 5, "content": ""})"), {"added_tokens[0].content"});
  expect_invalid(added(R"({"id": 5})"), {"added_tokens[0].content"});
  expect_invalid(added(R"({"content": "x"})"), {"added_tokens[0].id"});
  expect_invalid(added(R"({"id": 4194304, "content": "x"})"), {"added_tokens[0].id", "4194304"});
  expect_invalid(added(R"({"id": -2, "content": "x"})"), {"added_tokens[0].id", "-2"});
  expect_invalid(added(R"({"id": 5, "content": "x", "special": "yes"})"), {"special"});
  expect_invalid(added(R"({"id": 5, "content": "a"})"), {"'a'", "has id 0"});
  expect_invalid(added(R"({"id": 0, "content": "x"})"), {"'x'", "'a'"});
  expect_invalid(added(R"({"id": 5, "content": "x"}, {"id": 5, "content": "y"})"), {"5", "'y'"});
  expect_invalid(added(R"({"id": 5, "content": "x"}, {"id": 6, "content": "x"})"), {"6", "'x'"});
  expect_invalid(added(R"({"id": 5, "content": ")" + std::string(513, 'x') + "\"}"), {"512"});
}

TEST(TokenizerJson, AnAddedTokenSaidTwiceIsOne) {
  Parts parts;
  parts.added = R"([{"id": 9, "content": "x"}, {"id": 9, "content": "x"}])";
  const auto tokenizer = Tokenizer::from_json(parts.json(), "t");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->encode("axb").value(), (std::vector<int32_t>{0, 9, 1}));
  EXPECT_EQ(tokenizer->vocab_size(), 10);
  EXPECT_EQ(tokenizer->token_text(5), "");  // a hole
}

TEST(TokenizerJson, Normalizers) {
  expect_invalid({.normalizer = "3"}, {"normalizer.type"});
  expect_unsupported({.normalizer = R"({"type": "NFC"})"}, {"normalizer.type", "NFC"});
  expect_unsupported({.normalizer = R"({"type": "Replace", "pattern": {"Regex": "a+"},
                                        "content": ""})"},
                     {"normalizer.pattern.Regex", "a+"});
  expect_invalid({.normalizer = R"({"type": "Replace", "pattern": {"String": ""},
                                    "content": "x"})"},
                 {"normalizer.pattern.String"});
  expect_unsupported({.normalizer = R"({"type": "Replace", "pattern": {"String": "a"},
                                        "content": "0123456789abcdefg"})"},
                     {"normalizer"});
  std::string many;
  for (int i = 0; i < 17; ++i)
    many += std::string(i ? "," : "") + R"({"type":"Prepend","prepend":"x"})";
  expect_unsupported({.normalizer = R"({"type":"Sequence","normalizers":[)" + many + "]}"},
                     {"normalizers[16]"});
}

TEST(TokenizerJson, PreTokenizers) {
  const std::string head =
      R"({"type": "Split", "behavior": "Isolated", "invert": false, "pattern": )";
  expect_unsupported({.pre_tokenizer = head + R"({"Regex": "\\w+"}})"},
                     {"pre_tokenizer.pattern.Regex", "\\w+"});
  expect_unsupported({.pre_tokenizer = head + R"({"String": " "}})"}, {"pre_tokenizer.pattern"});
  expect_unsupported({.pre_tokenizer = R"({"type": "Whitespace"})"}, {"Whitespace"});
  expect_invalid({.pre_tokenizer = R"({"type": "Sequence"})"}, {"pretokenizers"});
  expect_unsupported({.pre_tokenizer = R"({"type": "Sequence", "pretokenizers":
                        [{"type": "ByteLevel"}, {"type": "Digits"}]})"},
                     {"pretokenizers[1]"});
  expect_invalid({.pre_tokenizer = R"({"type": "Metaspace", "replacement": ""})"}, {"replacement"});
  expect_invalid({.pre_tokenizer = R"({"type": "Metaspace", "replacement": "_",
                                      "prepend_scheme": "maybe"})"},
                 {"prepend_scheme", "maybe"});
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += R"({"type":"Sequence","pretokenizers":[)";
  expect_invalid({.pre_tokenizer = deep}, {"nested"});
}

TEST(TokenizerJson, PostProcessors) {
  const auto with = [](const std::string& single, const std::string& tokens) {
    return Parts{.post_processor = R"({"type": "TemplateProcessing", "single": )" + single +
                                   ", \"special_tokens\": " + tokens + "}"};
  };
  const std::string text = R"({"Sequence": {"id": "A"}})";
  const std::string bos = R"({"SpecialToken": {"id": "s"}})";
  expect_unsupported({.post_processor = R"({"type": "BertProcessing"})"}, {"BertProcessing"});
  expect_invalid(with("[]", "{}"), {"post_processor.single"});
  expect_invalid(with("[" + text + "," + text + "]", "{}"), {"single[1]"});
  expect_invalid(with(R"([{"Sequence": {"id": "B"}}])", "{}"), {"single[0]"});
  expect_invalid(with("[" + bos + "," + text + "]", "{}"), {"special_tokens.s"});
  expect_invalid(with("[" + bos + "," + text + "]", R"({"s": {"ids": [3]}})"), {"ids[0]", "is 3"});
  expect_invalid(with("[" + bos + "," + text + "]", R"({"s": {"ids": [-1]}})"), {"ids[0]", "-1"});
  std::string many = "0";
  for (int i = 0; i < 64; ++i) many += ",0";
  expect_invalid(with("[" + bos + "," + text + "]", R"({"s": {"ids": [)" + many + "]}}"),
                 {"ids[64]"});
}

TEST(TokenizerJson, ALaterTemplateStandsAroundAnEarlierOne) {
  const auto around = [](const char* before, const char* after) {
    return std::string(R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "s"}},
        {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "e"}}], "special_tokens":
        {"s": {"ids": [)") +
           before + R"(]}, "e": {"ids": [)" + after + "]}}}";
  };
  Parts parts;
  parts.post_processor = R"({"type": "Sequence", "processors": [)" + around("1", "1, 0") + "," +
                         around("2", "0") + "]}";
  const auto tokenizer = Tokenizer::from_json(parts.json(), "t");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->encode("a").value(), (std::vector<int32_t>{2, 1, 0, 1, 0, 0}));
}

TEST(TokenizerJson, Decoders) {
  const auto sequence = [](const std::string& steps) {
    return Parts{.decoder = R"({"type": "Sequence", "decoders": [)" + steps + "]}"};
  };
  const std::string fuse = R"({"type": "Fuse"})";
  const std::string fallback = R"({"type": "ByteFallback"})";
  expect_unsupported({.decoder = R"({"type": "CTC"})"}, {"decoder.type", "CTC"});
  expect_unsupported(sequence(fuse + "," + fallback), {"decoders[1]"});
  expect_unsupported(sequence(fallback + "," + fallback), {"decoders[1]"});
  expect_unsupported(sequence(R"({"type": "Strip", "content": " ", "start": 1, "stop": 0})"),
                     {"decoders[0]"});
  expect_unsupported(
      sequence(fuse + R"(,{"type": "Strip", "content": " ", "start": 1, "stop": 1})"), {"stop"});
  expect_invalid(sequence(fuse + R"(,{"type": "Strip", "content": " ", "start": -1, "stop": 0})"),
                 {"start", "-1"});
  expect_invalid(sequence(fuse + R"(,{"type": "Strip", "content": "", "start": 1, "stop": 0})"),
                 {"content"});
}

// Tokens may be written with every byte below 0x20 and above 0x7F, and with what JSON escapes.
TEST(TokenizerJson, TokensOfEveryCharacter) {
  const auto tokenizer = Tokenizer::from_json(
      Parts{.vocab = R"({"\u0000": 0, "\"": 1, "\ud83d\ude42": 2, "\u0000\"": 3})",
            .merges = R"(["\u0000 \""])"}
          .json(),
      "t");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  using namespace std::string_view_literals;
  EXPECT_EQ(tokenizer->encode("🙂\0\"\0"sv).value(), (std::vector<int32_t>{2, 3, 0}));
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{3, 2}), "\0\" 🙂"sv);
}

// Any byte changed: refused or sound, never a crash, and what is sound can be used.
TEST(TokenizerJson, DamagedFiles) {
  Parts parts;
  parts.added = R"([{"id": 3, "content": "<s>", "special": true}])";
  parts.normalizer = R"({"type": "Prepend", "prepend": "_"})";
  parts.post_processor = R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id":
      "s"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"s": {"ids": [3]}}})";
  parts.decoder = R"({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"},
      {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})";
  const std::string sound = parts.json();
  ASSERT_TRUE(Tokenizer::from_json(sound, "t").has_value());
  Random random(9);
  int n_sound = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string json = sound;
    const uint32_t n = 1 + random.next_u32() % 3;
    for (uint32_t i = 0; i < n; ++i) {
      const size_t at = random.next_u32() % json.size();
      json[at] = round % 2 ? sound[random.next_u32() % sound.size()]
                           : static_cast<char>(random.next_u32());
    }
    const auto tokenizer = Tokenizer::from_json(json, "t");
    if (!tokenizer) continue;
    ++n_sound;
    tokenizer->decode(tokenizer->encode("ab <s> é", {.parse_special = true}).value());
  }
  EXPECT_GT(n_sound, 100);
}

}  // namespace
}  // namespace lamina
