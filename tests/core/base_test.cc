// SPDX-License-Identifier: Apache-2.0
// halves, exp, random numbers, UTF-8, quoting, results
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "core/base/half.h"
#include "core/base/numeric.h"
#include "core/base/result.h"
#include "core/base/utf8.h"

namespace lamina {
namespace {

TEST(Half, EveryF16SurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    const uint16_t back = f32_to_f16(value);
    if (std::isnan(value)) {
      EXPECT_EQ(back & 0x7C00, 0x7C00);
      EXPECT_NE(back & 0x3FF, 0);
    } else {
      EXPECT_EQ(back, bits);
    }
  }
}

TEST(Half, RoundsToNearestEven) {
  // Between two neighbours a < b of a pair: the middle goes to the even one, anything off the
  // middle to the nearer.
  for (uint32_t bits = 0; bits < 0x7BFF; ++bits) {
    const float a = f16_to_f32(static_cast<uint16_t>(bits));
    const float b = f16_to_f32(static_cast<uint16_t>(bits + 1));
    const float middle = (a + b) / 2;  // exact: one more bit
    const auto even = static_cast<uint16_t>(bits % 2 == 0 ? bits : bits + 1);
    EXPECT_EQ(f32_to_f16(middle), even) << bits;
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, a)), bits) << bits;
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, b)), bits + 1) << bits;
    EXPECT_EQ(f32_to_f16(-middle), even | 0x8000) << bits;
  }
  EXPECT_EQ(f32_to_f16(65519.99f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::max()), 0x7C00);
  EXPECT_EQ(f32_to_f16(1e-30f), 0);
}

TEST(Half, Bf16) {
  EXPECT_EQ(bf16_to_f32(0x3F80), 1.0f);
  EXPECT_EQ(f32_to_bf16(1.0f), 0x3F80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F808000u)), 0x3F80);  // half way, even below
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F818000u)), 0x3F82);  // half way, even above
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::nanf("")))));
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
}

TEST(Numeric, ExpIsWithinTwoUlpsOfLibm) {
  for (float x = -87.0f; x < 88.0f; x += 0.00137f) {
    const double want = std::exp(static_cast<double>(x));
    EXPECT_NEAR(exp_f32(x) / want, 1.0, 2.4e-7) << x;
  }
  EXPECT_EQ(exp_f32(0.0f), 1.0f);
  EXPECT_EQ(exp_f32(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(exp_f32(1000.0f), std::numeric_limits<float>::max());
  EXPECT_TRUE(std::isnan(exp_f32(std::nanf(""))));
}

TEST(Numeric, RandomIsPcg32) {
  // First outputs for seed 42, stream 54, as published with the reference implementation.
  Random rng(42, 54);
  for (uint32_t want : {0xa15c02b7u, 0x7b47f409u, 0xba1d3330u, 0x83d2f293u, 0xbfa4784bu, 0xcbed606eu}) {
    EXPECT_EQ(rng.next_u32(), want);
  }
  for (int i = 0; i < 1000; ++i) {
    const float unit = rng.next_unit();
    EXPECT_GE(unit, 0.0f);
    EXPECT_LT(unit, 1.0f);
  }
}

TEST(Numeric, CheckedArithmeticSeesOverflow) {
  EXPECT_EQ(checked_mul(1ull << 32, 1ull << 31), 1ull << 63);
  EXPECT_FALSE(checked_mul(1ull << 32, 1ull << 32));
  EXPECT_EQ(checked_mul(0, ~0ull), 0u);
  EXPECT_FALSE(checked_add(~0ull, 1));
}

TEST(Utf8, RefusesWhatUnicodeRefuses) {
  for (const char* bad : {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xFF", "\xE2\x82"}) {
    EXPECT_FALSE(is_valid_utf8(bad)) << quote(bad);
  }
  EXPECT_TRUE(is_valid_utf8("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x99\x82"));
}

TEST(Utf8, EveryCodePointSurvivesTheRoundTrip) {
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    const CodePoint back = decode_utf8(text, 0);
    ASSERT_TRUE(back.valid);
    ASSERT_EQ(back.value, c);
    ASSERT_EQ(back.bytes, text.size());
  }
}

TEST(Utf8, RepairsLikeBrowsers) {
  // The example of Unicode 15, table 3-8: one U+FFFD per maximal subpart.
  EXPECT_EQ(repaired_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), "\uFFFD\uFFFD\uFFFD\uFFFD\x41");
  EXPECT_EQ(repaired_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41");
}

TEST(Utf8, IncompleteTail) {
  const std::string smile = "\xF0\x9F\x99\x82";
  for (size_t n = 1; n < 4; ++n) EXPECT_EQ(incomplete_utf8_tail("ab" + smile.substr(0, n)), n);
  EXPECT_EQ(incomplete_utf8_tail("ab" + smile), 0u);
  EXPECT_EQ(incomplete_utf8_tail("ab\x80"), 0u);
  EXPECT_EQ(incomplete_utf8_tail("\xED\xA0"), 0u);  // can't become valid: no reason to wait
  EXPECT_EQ(incomplete_utf8_tail(""), 0u);
}

TEST(Error, QuoteIsSafeToPrint) {
  EXPECT_EQ(quote("a\x1b[31mb\n"), "'a\\x1b[31mb\\x0a'");
  const std::string cut = quote(std::string(79, 'x') + "\xE2\x82\xAC tail");
  EXPECT_TRUE(is_valid_utf8(cut)) << cut;
  EXPECT_LT(cut.size(), 100u);
}

Result<int> half_of(int n) {
  if (n % 2) return make_error(Code::kInvalidArgument, "%d is odd", n);
  return n / 2;
}

Result<int> quarter_of(int n) {
  LAMINA_ASSIGN(const int half, half_of(n));
  LAMINA_TRY(half_of(half));
  return half / 2;
}

TEST(Result, CarriesTheFirstError) {
  EXPECT_EQ(*quarter_of(12), 3);
  EXPECT_EQ(quarter_of(7).error().message, "7 is odd");
  EXPECT_EQ(quarter_of(6).error().message, "3 is odd");
  EXPECT_EQ(code_name(quarter_of(6).error().code), "invalid_argument");
}

}  // namespace
}  // namespace lamina
