// SPDX-License-Identifier: Apache-2.0
// The tokenizer against what Hugging Face's tokenizers and transformers said: goldens, the demo
// model's documents, recorded cases of small tokenizers of every supported kind.
#include "core/model/tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "core/base/json.h"
#include "core/base/numeric.h"
#include "core/base/utf8.h"

namespace lamina {
namespace {

constexpr EncodeOptions kParse{.add_special = false, .parse_special = true};
constexpr DecodeOptions kKeepSpecial{.skip_special = false};

std::string source(const std::string& path) {
  return std::string(LAMINA_SOURCE_DIR) + "/" + path;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Tokenizer load(const std::string& path) {
  auto tokenizer = Tokenizer::from_json(read_file(path), path);
  EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  return std::move(tokenizer).value();
}

std::unique_ptr<JsonDocument> read_json(const std::string& path) {
  auto document = JsonDocument::parse(read_file(path), path);
  EXPECT_TRUE(document.has_value()) << document.error().message;
  return std::move(document).value();
}

std::vector<int32_t> ids_of(JsonValue list) {
  std::vector<int32_t> ids;
  for (JsonValue v = list.first_child(); !v.is_missing(); v = v.next_sibling()) {
    ids.push_back(static_cast<int32_t>(v.as_int()));
  }
  return ids;
}

std::string streamed(const Tokenizer& tokenizer, std::span<const int32_t> ids,
                     const DecodeOptions& options) {
  Tokenizer::StreamDecoder decoder(tokenizer, options);
  std::string text;
  for (const int32_t id : ids) {
    const std::string part = decoder.push(id);
    EXPECT_TRUE(is_valid_utf8(part));
    text += part;
  }
  return text + decoder.finish();
}

void expect_decodes(const Tokenizer& tokenizer, std::span<const int32_t> ids,
                    const DecodeOptions& options, std::string_view text) {
  EXPECT_EQ(tokenizer.decode(ids, options), text);
  EXPECT_EQ(streamed(tokenizer, ids, options), text);
}

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, IdsAndTextsAreThoseOfTheReference) {
  const std::string folder = source("tests/golden/") + GetParam();
  const Tokenizer tokenizer = load(folder + "/tokenizer.json");
  const auto golden = read_json(folder + "/golden.json");
  const JsonValue cases = golden->root().find("cases");
  ASSERT_GE(cases.size(), 5u);
  for (JsonValue c = cases.first_child(); !c.is_missing(); c = c.next_sibling()) {
    const std::vector<int32_t> ids = ids_of(c.find("ids"));
    const std::string_view prompt = c.find("prompt").as_string();
    EXPECT_EQ(tokenizer.encode(prompt).value(), ids) << prompt;
    expect_decodes(tokenizer, ids, {}, c.find("decoded").as_string());
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, Golden,
                         testing::Values("llama-bias-headdim-f16", "llama2-mha-f16",
                                         "llama3-gqa-ropescaled-bf16"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(Storyteller, PromptsAndAnswersAreThoseOfTheReference) {
  const Tokenizer tokenizer = load(source("tests/models/storyteller/tokenizer.json"));
  const auto reference = read_json(source("tests/models/storyteller/reference.json"));
  const JsonValue list = reference->root().find("greedy");
  ASSERT_GT(list.size(), 0u);
  for (JsonValue c = list.first_child(); !c.is_missing(); c = c.next_sibling()) {
    EXPECT_EQ(tokenizer.encode(c.find("prompt").as_string(), kParse).value(),
              ids_of(c.find("prompt_ids")));
    expect_decodes(tokenizer, ids_of(c.find("greedy_ids")), kKeepSpecial,
                   c.find("greedy_text").as_string());
  }
}

// The documents begin with the text of <|begin_of_text|>, which is parsed; the post-processor's own
// is not wanted a second time.
TEST(Storyteller, DocumentsAreThoseOfTheReference) {
  const Tokenizer tokenizer = load(source("tests/models/storyteller/tokenizer.json"));
  std::istringstream lines(read_file(source("tests/models/storyteller/eval.jsonl")));
  int n = 0;
  for (std::string line; std::getline(lines, line); ++n) {
    const auto document = JsonDocument::parse(line, "eval.jsonl").value();
    const std::string_view text = document->root().find("text").as_string();
    const std::vector<int32_t> ids = ids_of(document->root().find("ids"));
    EXPECT_EQ(tokenizer.encode(text, kParse).value(), ids) << text;
    expect_decodes(tokenizer, ids, kKeepSpecial, text);
  }
  EXPECT_EQ(n, 120);
}

TEST(Tokenizer, RecordedCasesOfEveryKind) {
  const auto document = read_json(source("tests/core/tokenizer_reference.json"));
  const JsonValue list = document->root().find("tokenizers");
  ASSERT_GE(list.size(), 15u);
  for (JsonValue t = list.first_child(); !t.is_missing(); t = t.next_sibling()) {
    const std::string name(t.find("name").as_string());
    SCOPED_TRACE(name);
    const auto loaded = Tokenizer::from_json(t.find("tokenizer").as_string(), name);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
    const Tokenizer& tokenizer = *loaded;
    const JsonValue cases = t.find("cases");
    for (JsonValue c = cases.first_child(); !c.is_missing(); c = c.next_sibling()) {
      const JsonValue text = c.first_child();
      const JsonValue ids = text.next_sibling();
      const JsonValue decoded = ids.next_sibling();
      const JsonValue whole = decoded.next_sibling();
      SCOPED_TRACE(text.as_string());
      const std::vector<int32_t> wanted = ids_of(ids);
      EXPECT_EQ(tokenizer.encode(text.as_string(), {.parse_special = true}).value(), wanted);
      expect_decodes(tokenizer, wanted, {}, decoded.as_string());
      expect_decodes(tokenizer, wanted, kKeepSpecial, whole.as_string());
    }
  }
}

TEST(Tokenizer, UserTextMakesNoSpecialTokens) {
  const Tokenizer tokenizer = load(source("tests/models/storyteller/tokenizer.json"));
  const std::string text = "<|eot_id|> and <|begin_of_text|><|start_header_id|>";
  const std::vector<int32_t> ids = tokenizer.encode(text).value();
  EXPECT_EQ(ids[0], 0);  // the post-processor's
  for (size_t i = 1; i < ids.size(); ++i) EXPECT_FALSE(tokenizer.is_special(ids[i])) << ids[i];
  EXPECT_EQ(tokenizer.decode(ids), text);
  const auto parsed = tokenizer.encode(text, kParse).value();
  EXPECT_EQ(parsed.front(), 4);
  EXPECT_EQ(parsed[parsed.size() - 2], 0);
  EXPECT_EQ(parsed.back(), 2);
}

TEST(Tokenizer, NamesAndNumbers) {
  const Tokenizer tokenizer = load(source("tests/models/storyteller/tokenizer.json"));
  EXPECT_EQ(tokenizer.vocab_size(), 2083);
  EXPECT_EQ(tokenizer.token_text(4), "<|eot_id|>");
  EXPECT_TRUE(tokenizer.is_special(4));
  EXPECT_FALSE(tokenizer.is_special(5));
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    EXPECT_EQ(tokenizer.token_id(tokenizer.token_text(id)), id);
  }
  for (const int32_t id : {-1, 2083, 1 << 30, INT32_MIN}) {
    EXPECT_EQ(tokenizer.token_text(id), "");
    EXPECT_EQ(tokenizer.token_bytes(id), "");
    EXPECT_FALSE(tokenizer.is_special(id));
    EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{id}), "");
  }
  EXPECT_EQ(tokenizer.token_id("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.token_bytes(tokenizer.token_id("Ġthe").value()), " the");
}

TEST(Tokenizer, BytesOfSentencePieceTokens) {
  const Tokenizer tokenizer = load(source("tests/golden/llama2-mha-f16/tokenizer.json"));
  EXPECT_EQ(tokenizer.token_bytes(tokenizer.token_id("▁time").value()), " time");
  EXPECT_EQ(tokenizer.token_bytes(tokenizer.token_id("<0xE2>").value()), "\xE2");
}

TEST(Tokenizer, EmptyText) {
  const Tokenizer tokenizer = load(source("tests/golden/llama2-mha-f16/tokenizer.json"));
  EXPECT_EQ(tokenizer.encode("").value(), std::vector<int32_t>{1});
  EXPECT_TRUE(tokenizer.encode("", kParse).value().empty());
  EXPECT_EQ(tokenizer.decode({}), "");
}

TEST(Tokenizer, InvalidUtf8IsReadAsReplacementCharacters) {
  for (const char* name : {"llama2-mha-f16", "llama3-gqa-ropescaled-bf16"}) {
    const Tokenizer tokenizer = load(source("tests/golden/") + name + "/tokenizer.json");
    Random random(7);
    for (int round = 0; round < 300; ++round) {
      std::string text = "a";
      for (int i = 0; i < 20; ++i) text.push_back(static_cast<char>(random.next_u32()));
      EXPECT_EQ(tokenizer.encode(text).value(), tokenizer.encode(repaired_utf8(text)).value());
    }
  }
}

std::string random_text(Random& random) {
  constexpr uint32_t kLimits[] = {0x80, 0x80, 0x300, 0x3000, 0x10000, 0x110000};
  std::string text;
  const uint32_t n = random.next_u32() % 60;
  while (text.size() < n) {
    const uint32_t c = random.next_u32() % kLimits[random.next_u32() % 6];
    if (c < 0xD800 || c > 0xDFFF) append_utf8(text, c);
  }
  return text;
}

TEST(Tokenizer, ByteLevelTextsSurviveTheRoundTrip) {
  const Tokenizer tokenizer = load(source("tests/models/storyteller/tokenizer.json"));
  Random random(11);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = random_text(random);
    const auto ids = tokenizer.encode(text).value();
    expect_decodes(tokenizer, ids, {}, text);
    std::string bytes;
    for (size_t i = 1; i < ids.size(); ++i) bytes += tokenizer.token_bytes(ids[i]);
    EXPECT_EQ(bytes, text);
  }
}

// Whatever ids come: also bytes that are no UTF-8, holes, specials.
TEST(Tokenizer, StreamsGiveTheTextOfTheWhole) {
  for (const char* name : {"golden/llama2-mha-f16", "golden/llama3-gqa-ropescaled-bf16"}) {
    const Tokenizer tokenizer = load(source("tests/") + name + "/tokenizer.json");
    Random random(3);
    for (int round = 0; round < 2000; ++round) {
      std::vector<int32_t> ids(random.next_u32() % 12);
      const uint32_t limit =
          round % 2 == 0 ? 300 : static_cast<uint32_t>(tokenizer.vocab_size()) + 2;
      for (int32_t& id : ids) id = static_cast<int32_t>(random.next_u32() % limit);
      for (const bool skip : {true, false}) {
        const DecodeOptions options{.skip_special = skip};
        const std::string text = tokenizer.decode(ids, options);
        EXPECT_TRUE(is_valid_utf8(text));
        EXPECT_EQ(streamed(tokenizer, ids, options), text);
      }
    }
  }
}

TEST(Tokenizer, OneWrongByteSpoilsARunOfByteTokens) {
  const Tokenizer tokenizer = load(source("tests/golden/llama2-mha-f16/tokenizer.json"));
  const auto id = [&](const char* text) { return tokenizer.token_id(text).value(); };
  const std::vector<int32_t> good{id("<0xC3>"), id("<0xA9>")};
  const std::vector<int32_t> bad{id("<0xC3>"), id("<0xA9>"), id("<0xC3>"), id("▁a")};
  expect_decodes(tokenizer, good, kKeepSpecial, "é");
  expect_decodes(tokenizer, bad, kKeepSpecial, "\uFFFD\uFFFD\uFFFD a");
}

TEST(Tokenizer, TextsOverTheLimitAreRefused) {
  const Tokenizer tokenizer =
      load(source("tests/golden/llama3-gqa-ropescaled-bf16/tokenizer.json"));
  const std::string text(Tokenizer::kMaxTextBytes + 1, ' ');
  const auto ids = tokenizer.encode(text);
  ASSERT_FALSE(ids.has_value());
  EXPECT_EQ(ids.error().code, Code::kResourceExhausted);
}

TEST(Tokenizer, ThreadsShareOne) {
  const Tokenizer tokenizer = load(source("tests/models/storyteller/tokenizer.json"));
  Random random(5);
  std::vector<std::string> texts(200);
  std::vector<std::vector<int32_t>> wanted;
  for (std::string& text : texts) {
    text = random_text(random) + " the lantern ";
    wanted.push_back(tokenizer.encode(text).value());
  }
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < texts.size(); ++i) {
        wrong[t] += tokenizer.encode(texts[i]).value() != wanted[i];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace lamina
