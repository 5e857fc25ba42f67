// SPDX-License-Identifier: Apache-2.0
// Fast BPE against the definition: again and again the neighbours with the lowest rank are joined,
// on small random vocabularies where every shortcut is taken.
#include <gtest/gtest.h>

#include <map>

#include "core/base/json.h"
#include "core/base/numeric.h"
#include "core/base/utf8.h"
#include "core/model/bpe.h"
#include "core/model/tokenizer.h"

namespace lamina {
namespace {

struct Model {
  std::map<std::string, int32_t> vocab;
  std::vector<std::pair<std::string, std::string>> merges;
  bool byte_level = false;
  bool byte_fallback = false;
  bool fuse_unk = false;
  bool ignore_merges = false;
  std::string unk;  // empty: none

  int32_t add(const std::string& token) {
    return vocab.emplace(token, static_cast<int32_t>(vocab.size())).first->second;
  }
};

std::string json_of(const Model& m) {
  JsonWriter w;
  w.begin_object().key("pre_tokenizer");
  if (m.byte_level) {
    w.begin_object().member("type", "ByteLevel").member("add_prefix_space", false);
    w.member("use_regex", false).end_object();
  } else {
    w.null();
  }
  w.key("model").begin_object().member("type", "BPE").member("byte_fallback", m.byte_fallback);
  w.member("fuse_unk", m.fuse_unk).member("ignore_merges", m.ignore_merges);
  if (!m.unk.empty()) w.member("unk_token", m.unk);
  w.key("vocab").begin_object();
  for (const auto& [text, id] : m.vocab) w.member(text, id);
  w.end_object().key("merges").begin_array();
  for (const auto& [left, right] : m.merges) {
    w.begin_array().value(left).value(right).end_array();
  }
  w.end_array().end_object().end_object();
  return w.take();
}

// Symbols as the vocabulary writes them, "" for an unknown character.
std::vector<std::string> symbols_of(const Model& m, std::string_view text) {
  std::vector<std::string> symbols;
  for (size_t i = 0; i < text.size();) {
    std::string character;
    size_t bytes = 1;
    if (m.byte_level) {
      append_utf8(character, byte_level_char(static_cast<uint8_t>(text[i])));
    } else {
      bytes = decode_utf8(text, i).bytes;
      character = text.substr(i, bytes);
    }
    i += bytes;
    if (m.vocab.contains(character)) {
      symbols.push_back(character);
    } else if (m.byte_fallback) {
      for (const char c : character) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", static_cast<uint8_t>(c));
        symbols.push_back(name);
      }
    } else if (!m.unk.empty() && !(m.fuse_unk && !symbols.empty() && symbols.back() == m.unk)) {
      symbols.push_back(m.unk);
    }
  }
  return symbols;
}

std::vector<int32_t> by_definition(const Model& m, std::string_view text) {
  std::vector<std::string> symbols = symbols_of(m, text);
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t i = 0; i < m.merges.size(); ++i) ranks[m.merges[i]] = i;  // the last one counts
  for (;;) {
    size_t best = symbols.size(), best_rank = m.merges.size();
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto rank = ranks.find({symbols[i], symbols[i + 1]});
      if (rank != ranks.end() && rank->second < best_rank) {
        best = i;
        best_rank = rank->second;
      }
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
  std::vector<int32_t> ids;
  for (const std::string& symbol : symbols) ids.push_back(m.vocab.at(symbol));
  return ids;
}

std::string pick(Random& random, const std::vector<std::string>& from) {
  return from[random.next_u32() % from.size()];
}

void add_merges(Model& m, Random& random, std::vector<std::string> pool, int n) {
  for (int i = 0; i < n; ++i) {
    const std::string left = pick(random, pool), right = pick(random, pool);
    if (left.size() + right.size() > 24) continue;
    m.merges.emplace_back(left, right);
    m.add(left + right);
    pool.push_back(left + right);
  }
}

// Texts with few letters, so that merges overlap and compete; sometimes with unknown characters.
std::string random_text(Random& random, const std::vector<std::string>& letters, size_t most) {
  std::string text;
  const size_t n = random.next_u32() % most;
  while (text.size() < n) text += pick(random, letters);
  return text;
}

void expect_definition(const Model& m, Random& random, const std::vector<std::string>& letters) {
  const auto tokenizer = Tokenizer::from_json(json_of(m), "random.json");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  for (const size_t most : {8, 8, 8, 40, 40, 80, 400}) {
    const std::string text = random_text(random, letters, most);
    EXPECT_EQ(tokenizer->encode(text).value(), by_definition(m, text)) << text << json_of(m);
  }
}

TEST(Bpe, ByteLevelMergesByDefinition) {
  Random random(1);
  for (int round = 0; round < 150; ++round) {
    Model m;
    m.byte_level = true;
    for (uint32_t b = 0; b < 256; ++b) {
      std::string character;
      append_utf8(character, byte_level_char(static_cast<uint8_t>(b)));
      m.add(character);
    }
    add_merges(m, random, {"a", "b", "c", "Ġ", "Ã", "©"}, 1 + round % 40);
    expect_definition(m, random, {"a", "b", "c", " ", "é", "x", "aa", "ab"});
  }
}

// Everything joins everything: nothing is cut, and merges undo what others waited for.
TEST(Bpe, TwoLettersMergeByDefinition) {
  Random random(4);
  for (int round = 0; round < 100; ++round) {
    Model m;
    for (const char* letter : {"a", "b"}) m.add(letter);
    add_merges(m, random, {"a", "b"}, 30);
    expect_definition(m, random, {"a", "b", "ab"});
  }
}

TEST(Bpe, SentencePieceMergesByDefinition) {
  Random random(2);
  for (int round = 0; round < 150; ++round) {
    Model m;
    m.byte_fallback = true;
    for (int b = 0; b < 256; ++b) {
      char name[8];
      snprintf(name, sizeof name, "<0x%02X>", b);
      m.add(name);
    }
    const std::vector<std::string> letters{"a", "b", "▁", "é", "你", "\U0001F600"};
    for (const std::string& letter : letters) m.add(letter);
    std::vector<std::string> pool = letters;
    if (round % 5 == 0) pool.push_back("<0xC3>");  // merges of byte tokens forbid cutting
    add_merges(m, random, pool, 1 + round % 40);
    expect_definition(m, random, {"a", "b", "▁", "é", "你", "\U0001F600", "x", "ö", "ab"});
  }
}

TEST(Bpe, UnknownCharactersByDefinition) {
  Random random(3);
  for (int round = 0; round < 150; ++round) {
    Model m;
    m.fuse_unk = round % 2 == 0;
    if (round % 3 != 0) m.unk = "?";
    std::vector<std::string> letters{"a", "b", "c", "é"};
    for (const std::string& letter : letters) m.add(letter);
    m.add("?");
    if (round % 4 == 0) letters.push_back("?");  // the unknown token takes part in merges
    add_merges(m, random, letters, 1 + round % 20);
    // The text itself holds no "?": its own and an unknown's would not be told apart here.
    expect_definition(m, random, {"a", "b", "c", "é", "x", "你"});
  }
}

TEST(Bpe, AMergeSaidTwiceHasItsLastRank) {
  Model m;
  for (const char* letter : {"a", "b", "c"}) m.add(letter);
  m.merges = {{"a", "b"}, {"b", "c"}, {"a", "b"}};
  m.add("ab");
  m.add("bc");
  const auto tokenizer = Tokenizer::from_json(json_of(m), "t");
  ASSERT_TRUE(tokenizer.has_value());
  EXPECT_EQ(tokenizer->encode("abc").value(), by_definition(m, "abc"));
  EXPECT_EQ(tokenizer->encode("abc").value(), (std::vector<int32_t>{0, 4}));
}

// A piece that is a token is taken as it is; a segment of a longer piece is not.
TEST(Bpe, IgnoreMergesLooksAtWholePieces) {
  Model m;
  m.byte_level = m.ignore_merges = true;
  for (uint32_t b = 0; b < 256; ++b) {
    std::string character;
    append_utf8(character, byte_level_char(static_cast<uint8_t>(b)));
    m.add(character);
  }
  const int32_t whole = m.add("xyz");
  const int32_t longer = m.add(std::string(60, 'y'));
  const auto tokenizer = Tokenizer::from_json(json_of(m), "t");
  ASSERT_TRUE(tokenizer.has_value());
  EXPECT_EQ(tokenizer->encode("xyz").value(), std::vector<int32_t>{whole});
  EXPECT_EQ(tokenizer->encode("xyzx").value(), by_definition(m, "xyzx"));
  EXPECT_EQ(tokenizer->encode(std::string(60, 'y')).value(), std::vector<int32_t>{longer});
  EXPECT_EQ(tokenizer->encode(std::string(61, 'y')).value(),
            by_definition(m, std::string(61, 'y')));
}

// What is remembered of a piece must not be taken for a segment of the same text.
TEST(Bpe, IgnoreMergesTellsPiecesFromSegments) {
  Model m;
  for (const char* token : {"1", "w", "x", "y", "z", "xy", "yz", "xyz"}) m.add(token);
  m.byte_fallback = m.ignore_merges = true;
  for (int b = 0; b < 256; ++b) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", b);
    m.add(name);
  }
  m.merges = {{"x", "y"}, {"y", "z"}};
  std::string json = json_of(m);
  const std::string none = "\"pre_tokenizer\":null";
  json.replace(json.find(none), none.size(), R"("pre_tokenizer":{"type":"Digits"})");
  const auto tokenizer = Tokenizer::from_json(json, "t");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  const auto ids = tokenizer->encode("xyz1xyz" + std::string(60, 'w') + "1xyz").value();
  std::vector<int32_t> wanted{7, 0, 5, 4};
  wanted.insert(wanted.end(), 60, 1);
  wanted.insert(wanted.end(), {0, 7});
  EXPECT_EQ(ids, wanted);
}

// Half a million characters that are all one word: quadratic work would not end.
TEST(Bpe, LongRunsEnd) {
  Model m;
  for (const char* token : {"a", "b"}) m.add(token);
  std::string run = "a";
  for (int i = 0; i < 10; ++i) {
    m.merges.emplace_back(run, run);
    run += run;
    m.add(run);
  }
  m.merges.emplace_back("a", "b");
  m.add("ab");
  const auto tokenizer = Tokenizer::from_json(json_of(m), "t");
  ASSERT_TRUE(tokenizer.has_value());
  const size_t n = size_t{1} << 19;
  EXPECT_EQ(tokenizer->encode(std::string(n, 'a')).value(),
            std::vector<int32_t>(n / 1024, m.vocab.at(run)));
}

TEST(Bpe, ByteNames) {
  EXPECT_EQ(byte_of_name("<0x00>"), 0);
  EXPECT_EQ(byte_of_name("<0xfF>"), 255);
  for (const char* other : {"", "<0x0>", "<0x000>", "<0xG0>", "<0x+1>", "(0x00>", "<0x00)"}) {
    EXPECT_EQ(byte_of_name(other), -1) << other;
  }
}

TEST(Bpe, ByteAlphabetIsABijection) {
  std::map<uint32_t, int> seen;
  for (uint32_t b = 0; b < 256; ++b) {
    const uint32_t c = byte_level_char(static_cast<uint8_t>(b));
    EXPECT_TRUE(seen.emplace(c, b).second);
    std::string text, bytes;
    append_utf8(text, c);
    ASSERT_TRUE(from_byte_level(text, bytes));
    EXPECT_EQ(bytes, std::string(1, static_cast<char>(b)));
  }
  std::string bytes;
  EXPECT_EQ(byte_level_char(' '), 0x120u);
  EXPECT_FALSE(from_byte_level("a b", bytes));
  EXPECT_FALSE(from_byte_level("你", bytes));
}

}  // namespace
}  // namespace lamina
