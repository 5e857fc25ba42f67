// SPDX-License-Identifier: Apache-2.0
// Cutting text: the hand-written matchers against ICU's regular expressions (where ICU is
// installed), the steps and the finding of added tokens by hand.
#include "core/model/pretokenizer.h"

#include <gtest/gtest.h>

#include "core/base/numeric.h"
#include "core/base/utf8.h"
#include "core/model/added_tokens.h"
#include "core/model/normalizer.h"
#include "core/model/unicode_tables.h"

#ifdef LAMINA_HAVE_ICU
#include <unicode/regex.h>
#include <unicode/uchar.h>
#endif

namespace lamina {
namespace {

using Pieces = std::vector<std::string>;

constexpr char kGpt2[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr char kLlama3[] = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
                           R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kQwen2[] = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
                          R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Pieces split(SplitPattern pattern, std::string_view text) {
  Pieces pieces;
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    end = split_end(pattern, text, begin);
    EXPECT_GT(end, begin);
    pieces.emplace_back(text.substr(begin, end - begin));
  }
  return pieces;
}

Pieces run(const PreTokenizer& pre_tokenizer, std::string_view text, bool at_start = true) {
  Pieces pieces;
  std::deque<std::string> kept;
  pre_tokenizer.run(text, at_start, kept, [&](std::string_view p) { pieces.emplace_back(p); });
  return pieces;
}

TEST(SplitPatterns, AreRecognisedByTheirText) {
  EXPECT_EQ(split_pattern_of(kGpt2), SplitPattern::kGpt2);
  EXPECT_EQ(split_pattern_of(kLlama3), SplitPattern::kLlama3);
  EXPECT_EQ(split_pattern_of(kQwen2), SplitPattern::kQwen2);
  for (const std::string text : {kGpt2, kLlama3, kQwen2}) {
    EXPECT_FALSE(split_pattern_of(text + "|"));
    EXPECT_FALSE(split_pattern_of(text.substr(1)));
  }
  EXPECT_FALSE(split_pattern_of(""));
  std::string other = kLlama3;
  other.replace(other.find("{1,3}"), 5, "{1,4}");
  EXPECT_FALSE(split_pattern_of(other));
}

TEST(SplitPatterns, Llama3ByHand) {
  const auto pieces = [](std::string_view text) { return split(SplitPattern::kLlama3, text); };
  EXPECT_EQ(pieces("Hello world"), (Pieces{"Hello", " world"}));
  EXPECT_EQ(pieces("it's I'LL 'store"), (Pieces{"it", "'s", " I", "'LL", " '", "store"}));
  EXPECT_EQ(pieces("'sx 'ſx"), (Pieces{"'s", "x", " '", "ſx"}));
  EXPECT_EQ(pieces("a'ſx"), (Pieces{"a", "'ſ", "x"}));
  EXPECT_EQ(pieces("1234567 x"), (Pieces{"123", "456", "7", " x"}));
  EXPECT_EQ(pieces("  a"), (Pieces{" ", " a"}));
  EXPECT_EQ(pieces("a   "), (Pieces{"a", "   "}));
  EXPECT_EQ(pieces(" \n \n  a"), (Pieces{" \n \n", " ", " a"}));
  EXPECT_EQ(pieces("!?\r\n\nx"), (Pieces{"!?\r\n\n", "x"}));
  EXPECT_EQ(pieces("\tx\n(y)"), (Pieces{"\tx", "\n", "(y", ")"}));
  EXPECT_EQ(pieces(" 1"), (Pieces{" ", "1"}));
}

TEST(SplitPatterns, Gpt2ByHand) {
  const auto pieces = [](std::string_view text) { return split(SplitPattern::kGpt2, text); };
  EXPECT_EQ(pieces("it's I'LL"), (Pieces{"it", "'s", " I", "'", "LL"}));
  EXPECT_EQ(pieces(" 1234 ,,  a"), (Pieces{" 1234", " ,,", " ", " a"}));
  EXPECT_EQ(pieces("\n\na\tb"), (Pieces{"\n", "\n", "a", "\t", "b"}));
}

TEST(PreTokenizer, WithoutStepsTheTextIsOnePiece) {
  EXPECT_EQ(run(PreTokenizer(), " a b "), Pieces{" a b "});
  EXPECT_EQ(run(PreTokenizer(), ""), Pieces{});
}

TEST(PreTokenizer, DigitsAloneOrInRuns) {
  PreTokenizer alone, runs;
  alone.add_digits(true);
  runs.add_digits(false);
  EXPECT_EQ(run(alone, "a12½b"), (Pieces{"a", "1", "2", "½", "b"}));
  EXPECT_EQ(run(runs, "a12½b"), (Pieces{"a", "12½", "b"}));
}

TEST(PreTokenizer, EveryPieceGetsItsPrefixSpace) {
  PreTokenizer pre_tokenizer;
  pre_tokenizer.add_digits(true);
  pre_tokenizer.add_byte_level(true, true);
  EXPECT_EQ(run(pre_tokenizer, "a1 b"), (Pieces{" a", " 1", " b"}));
  EXPECT_TRUE(pre_tokenizer.byte_level());
}

TEST(PreTokenizer, Metaspace) {
  PreTokenizer always, first, never;
  always.add_metaspace("▁", PrependScheme::kAlways, true);
  first.add_metaspace("▁", PrependScheme::kFirst, false);
  never.add_metaspace("▁", PrependScheme::kNever, true);
  EXPECT_EQ(run(always, "a  b "), (Pieces{"▁a", "▁", "▁b", "▁"}));
  EXPECT_EQ(run(always, " a"), (Pieces{"▁a"}));
  EXPECT_EQ(run(first, "a b"), (Pieces{"▁a▁b"}));
  EXPECT_EQ(run(first, "a b", false), (Pieces{"a▁b"}));
  EXPECT_EQ(run(never, "a▁b"), (Pieces{"a", "▁b"}));
}

TEST(Normalizer, PrependsAndReplaces) {
  Normalizer normalizer;
  ASSERT_TRUE(normalizer.add_prepend("_"));
  ASSERT_TRUE(normalizer.add_replace("aa", "b"));
  EXPECT_EQ(normalizer.apply("aaaaa"), "_bba");
  EXPECT_EQ(normalizer.apply(""), "");
}

TEST(Normalizer, CannotBeMadeToGrowTextWithoutBound) {
  Normalizer normalizer;
  EXPECT_TRUE(normalizer.add_replace("a", "bb"));
  EXPECT_TRUE(normalizer.add_replace("b", "aa"));
  EXPECT_FALSE(normalizer.add_replace("a", "bb"));
  EXPECT_FALSE(normalizer.add_prepend(std::string(65, 'x')));
}

class Added : public testing::Test {
 protected:
  void add(int32_t id, const std::string& content, bool single_word = false, bool lstrip = false,
           bool rstrip = false, bool special = false) {
    AddedToken token{id, content, single_word, lstrip, rstrip, false, special};
    ASSERT_TRUE(matcher_.add(token, content));
  }
  // "text" and "id:matched"
  Pieces found(std::string_view text, const Trust& trust = true) {
    Pieces pieces;
    matcher_.split(text, trust, [&](std::string_view part, int32_t id) {
      pieces.push_back((id < 0 ? "" : std::to_string(id) + ":") + std::string(part));
    });
    return pieces;
  }
  AddedTokenMatcher matcher_;
};

TEST_F(Added, LongestAtTheLeftmostPlace) {
  add(1, "ab");
  add(2, "abcd");
  add(3, "bcde");
  EXPECT_EQ(found("xabcdex"), (Pieces{"x", "2:abcd", "ex"}));
  EXPECT_EQ(found("abcabx"), (Pieces{"1:ab", "c", "1:ab", "x"}));
  EXPECT_EQ(found("bcde"), (Pieces{"3:bcde"}));
  EXPECT_EQ(found(""), Pieces{});
}

TEST_F(Added, SpecialOnesOnlyOnRequestAndNothingInsideThem) {
  add(1, "<s>", false, false, false, true);
  add(2, "s>x");
  EXPECT_EQ(found("a<s>x", true), (Pieces{"a", "1:<s>", "x"}));
  EXPECT_EQ(found("a<s>x", false), (Pieces{"a<s>x"}));
  EXPECT_EQ(found("as>x", false), (Pieces{"a", "2:s>x"}));
}

// t: by the template, u: by the user.
TEST_F(Added, SpecialOnesOnlyInTrustedText) {
  add(1, "<s>", false, false, false, true);
  add(2, "<s>x", false, false, false, true);
  add(3, "s><s", false, false, false, true);
  const auto found_by = [this](std::string_view text, std::string authors) {
    for (char& c : authors) c = c == 't';
    return found(text, Trust(authors));
  };
  EXPECT_EQ(found_by("<s>x", "tttt"), (Pieces{"2:<s>x"}));
  EXPECT_EQ(found_by("<s>x", "tttu"), (Pieces{"1:<s>", "x"}));
  EXPECT_EQ(found_by("<s>x", "uttt"), (Pieces{"<s>x"}));
  EXPECT_EQ(found_by("<s><s>", "uuuttt"), (Pieces{"<s>", "1:<s>"}));
  EXPECT_EQ(found_by("s><s>", "uuttt"), (Pieces{"s>", "1:<s>"}));
}

TEST_F(Added, SingleWordsAndStripping) {
  add(1, "cat", true);
  add(2, "é", false, true, true);
  EXPECT_EQ(found("cat cats _cat cat-cat"),
            (Pieces{"1:cat", " cats _cat ", "1:cat", "-", "1:cat"}));
  EXPECT_EQ(found("a \u3000é \n b"), (Pieces{"a", "2: \u3000é \n ", "b"}));
  EXPECT_EQ(found("é é"), (Pieces{"2:é ", "2:é"}));
}

#ifdef LAMINA_HAVE_ICU

bool icu_has_our_unicode() {
  return std::string_view(U_UNICODE_VERSION) == "15.0";
}

TEST(UnicodeTables, AreThoseOfIcu) {
  if (!icu_has_our_unicode()) GTEST_SKIP() << "ICU has Unicode " << U_UNICODE_VERSION;
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    const auto icu = static_cast<UChar32>(c);
    const uint32_t general = U_GET_GC_MASK(icu);
    const uint8_t bits = unicode_class(c);
    ASSERT_EQ((bits & kUnicodeLetter) != 0, (general & U_GC_L_MASK) != 0) << c;
    ASSERT_EQ((bits & kUnicodeNumber) != 0, (general & U_GC_N_MASK) != 0) << c;
    ASSERT_EQ((bits & kUnicodeSpace) != 0, u_isUWhiteSpace(icu) != 0) << c;
    const bool word = u_isUAlphabetic(icu) ||
                      (general & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) ||
                      u_hasBinaryProperty(icu, UCHAR_JOIN_CONTROL);
    ASSERT_EQ((bits & kUnicodeWord) != 0, word) << c;
  }
}

class IcuPattern {
 public:
  explicit IcuPattern(const char* regex) {
    UErrorCode status = U_ZERO_ERROR;
    matcher_ = std::make_unique<icu::RegexMatcher>(icu::UnicodeString::fromUTF8(regex), 0, status);
    EXPECT_TRUE(U_SUCCESS(status)) << u_errorName(status);
  }
  Pieces split(std::string_view text) {
    const auto utf16 =
        icu::UnicodeString::fromUTF8({text.data(), static_cast<int32_t>(text.size())});
    matcher_->reset(utf16);
    UErrorCode status = U_ZERO_ERROR;
    Pieces pieces;
    while (matcher_->find(status)) matcher_->group(status).toUTF8String(pieces.emplace_back());
    EXPECT_TRUE(U_SUCCESS(status)) << u_errorName(status);
    return pieces;
  }

 private:
  std::unique_ptr<icu::RegexMatcher> matcher_;
};

// Mixes the characters that the patterns tell apart, all scripts, and characters on the borders.
std::string mixed_text(Random& random) {
  static const std::vector<std::string> kSeeds = {
      " ",      " ",        "  ",      "\n",     "\r",         "\r\n",   "\t",  "\v",
      "\u0085", "\u00A0",   "\u2028",  "\u3000", "'",          "'",      "'s",  "'S",
      "'ſ",     "'t",       "'Re",     "'rE",    "'VE",        "'m",     "'lL", "'d",
      "'l",     "'r",       "s",       "ſ",      "l",          "e",      "K",   "a",
      "Z",      "é",        "e\u0301", "ß",      "ﬁ",          "Я",      "ש",   "م",
      "你",     "日本",     "한",      "ก",      "ั",           "अ",      "ि",   "1",
      "23",     "4567",     "½",       "Ⅷ",      "٣",          "②",      "𝟘",   ".",
      "!?",     "_",        "-",       "(",      "—",          "«",      "€",   "\u200D",
      "🙂",   "👍🏽", "\uFFFD",  "\u0000", "\U0010FFFF", "\uE000", "ʰ",   "ª"};
  std::string text;
  const uint32_t n = random.next_u32() % 24;
  for (uint32_t i = 0; i < n; ++i) {
    const uint32_t choice = random.next_u32();
    uint32_t c = random.next_u32() % (choice % 3 == 0 ? 0x110000 : choice % 3 == 1 ? 0x3000 : 0x80);
    if (c >= 0xD800 && c <= 0xDFFF) c = ' ';
    if (choice % 100 < 70) {
      text += kSeeds[(choice >> 8) % kSeeds.size()];
    } else {
      append_utf8(text, c);
    }
  }
  return text;
}

TEST(SplitPatterns, AgreeWithIcuOnMixedScripts) {
  if (!icu_has_our_unicode()) GTEST_SKIP() << "ICU has Unicode " << U_UNICODE_VERSION;
  Random random(42);
  IcuPattern gpt2(kGpt2), llama3(kLlama3), qwen2(kQwen2);
  for (int round = 0; round < 40000; ++round) {
    const std::string text = mixed_text(random);
    ASSERT_EQ(split(SplitPattern::kGpt2, text), gpt2.split(text)) << text;
    ASSERT_EQ(split(SplitPattern::kLlama3, text), llama3.split(text)) << text;
    ASSERT_EQ(split(SplitPattern::kQwen2, text), qwen2.split(text)) << text;
  }
}

#endif  // LAMINA_HAVE_ICU

}  // namespace
}  // namespace lamina
