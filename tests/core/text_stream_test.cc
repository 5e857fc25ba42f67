// SPDX-License-Identifier: Apache-2.0
#include "core/engine/text_stream.h"

#include <gtest/gtest.h>

#include "core/base/numeric.h"
#include "core/base/utf8.h"

namespace lamina {
namespace {

struct Outcome {
  std::string text;
  int stop;
  bool operator==(const Outcome&) const = default;
};

Outcome streamed(const std::string& bytes, const std::vector<std::string>& stops,
                 const std::vector<size_t>& cuts) {
  TextStream stream = *TextStream::create(stops);
  Outcome outcome;
  size_t at = 0;
  for (size_t cut : cuts) {
    const std::string piece = stream.push(std::string_view(bytes).substr(at, cut - at));
    EXPECT_TRUE(is_valid_utf8(piece));
    outcome.text += piece;
    at = cut;
  }
  outcome.text += stream.push(std::string_view(bytes).substr(at));
  outcome.text += stream.flush();
  outcome.stop = stream.stop_index();
  return outcome;
}

TEST(TextStream, HoldsBackHalfACodePoint) {
  TextStream s = *TextStream::create({});
  EXPECT_EQ(s.push("a\xF0\x9F"), "a");
  EXPECT_EQ(s.push("\x99"), "");
  EXPECT_EQ(s.push("\x82!"), "\xF0\x9F\x99\x82!");
  EXPECT_EQ(s.push("\xE2\x82"), "");
  EXPECT_EQ(s.flush(), "\uFFFD");
}

TEST(TextStream, StopsAcrossTokensAndSwallowsNothingElse) {
  TextStream s = *TextStream::create({"</s>", "User:"});
  EXPECT_EQ(s.push("one <"), "one ");
  EXPECT_EQ(s.push("/"), "");
  EXPECT_EQ(s.push("b> Us"), "</b> ");
  EXPECT_EQ(s.push("er: hi"), "");
  EXPECT_TRUE(s.stopped());
  EXPECT_EQ(s.stop_index(), 1);
  EXPECT_EQ(s.push("more"), "");
  EXPECT_EQ(s.flush(), "");
}

TEST(TextStream, FirstCompletedStopWins) {
  EXPECT_EQ(streamed("zxabc", {"xabc", "ab"}, {}), (Outcome{"zx", 1}));
  EXPECT_EQ(streamed("zxab", {"ab", "xab"}, {}), (Outcome{"z", 1}));
}

TEST(TextStream, AnySplitGivesTheSameText) {
  const std::vector<std::string> stops = {"aab", "ba\xC3\xA9", "\xF0\x9F\x99\x82\xF0\x9F\x99\x82", "bbbbbb"};
  const std::vector<std::string> pieces = {"a", "b", "aa", "\xC3\xA9", "\xF0\x9F\x99\x82", "\x80", "\xE2\x82", "c"};
  Random rng(1);
  for (int round = 0; round < 400; ++round) {
    std::string bytes;
    const uint32_t n = 1 + rng.next_u32() % 40;
    for (uint32_t i = 0; i < n; ++i) bytes += pieces[rng.next_u32() % pieces.size()];
    const Outcome whole = streamed(bytes, stops, {});
    std::vector<size_t> every, some;
    for (size_t i = 1; i < bytes.size(); ++i) {
      every.push_back(i);
      if (rng.next_u32() % 3 == 0) some.push_back(i);
    }
    EXPECT_EQ(streamed(bytes, stops, every), whole) << quote(bytes);
    EXPECT_EQ(streamed(bytes, stops, some), whole) << quote(bytes);
    // The oracle: repair everything, cut at the stop that ends first.
    const std::string repaired = repaired_utf8(bytes);
    size_t end = std::string::npos, begin = repaired.size();
    for (const auto& stop : stops) {
      const size_t at = repaired.find(stop);
      if (at == std::string::npos) continue;
      if (at + stop.size() < end || (at + stop.size() == end && at < begin)) {
        end = at + stop.size();
        begin = at;
      }
    }
    EXPECT_EQ(whole.text, repaired.substr(0, begin));
  }
}

TEST(TextStream, RefusesBadStops) {
  EXPECT_FALSE(TextStream::create({""}));
  EXPECT_FALSE(TextStream::create({std::string(257, 'x')}));
  EXPECT_FALSE(TextStream::create({"\xFF"}));
  EXPECT_FALSE(TextStream::create(std::vector<std::string>(17, "x")));
  EXPECT_TRUE(TextStream::create(std::vector<std::string>(16, "x")));
}

}  // namespace
}  // namespace lamina
