// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "native/cli/console.h"
#include "native/cli/exit_code.h"
#include "native/cli/flags.h"
#include "native/cli/suggest.h"

namespace lamina::cli {
namespace {

TEST(SafeText, KeepsTextAndEscapesWhatMovesTheCursor) {
  EXPECT_EQ(safe_text("a\tb\nc é 日本"), "a\tb\nc é 日本");
  EXPECT_EQ(safe_text("\x1b[31mred\x07"), "\\x1b[31mred\\x07");
  EXPECT_EQ(safe_text("\xc2\x9b"
                      "2J"),
            "\\x9b2J");  // the C1 form of the same
  EXPECT_EQ(safe_text("a\r\nb"), "a\nb");
  EXPECT_EQ(safe_text("over\rwritten"), "over\\rwritten");
  EXPECT_EQ(safe_text("\x7f"), "\\x7f");
  EXPECT_EQ(safe_text("bad \xff"), "bad \xef\xbf\xbd");
}

TEST(SafeText, ChunksMakeNoDifference) {
  const std::string text = "one\r\ntwo\rthree\x1b[0m\r";
  SafeText whole;
  std::string want = whole.push(text);
  want += whole.finish();
  SafeText parts;
  std::string got;
  for (char c : text) got += parts.push(std::string(1, c));
  got += parts.finish();
  EXPECT_EQ(got, want);
}

TEST(Suggest, NearWordsOnly) {
  const std::vector<std::string> words = {"run", "chat", "convert", "--temp", "--threads"};
  EXPECT_EQ(closest("rnu", words), "run");
  EXPECT_EQ(closest("conver", words), "convert");
  EXPECT_EQ(closest("--tmep", words), "--temp");
  EXPECT_EQ(closest("--temperature", words), "--temp");
  EXPECT_EQ(closest("fly", words), "");
  EXPECT_EQ(closest("-t", words), "");
  EXPECT_EQ(closest(std::string(100000, 'x'), words), "");
}

TEST(Numbers, WholeStringsOnly) {
  EXPECT_EQ(parse_int("42"), 42);
  EXPECT_EQ(parse_int("-1"), -1);
  for (const char* bad : {"", " 1", "1 ", "0x10", "1e3", "9223372036854775808"}) {
    EXPECT_FALSE(parse_int(bad)) << bad;
  }
  EXPECT_EQ(parse_double("0.5"), 0.5);
  for (const char* bad : {"", "nan", "inf", "1e999", "0.5x"})
    EXPECT_FALSE(parse_double(bad)) << bad;
  EXPECT_EQ(parse_size("64M"), uint64_t{64} << 20);
  EXPECT_EQ(parse_size("4096"), 4096u);
  for (const char* bad : {"", "M", "-1", "99999999999G"}) EXPECT_FALSE(parse_size(bad)) << bad;
}

TEST(Numbers, TokenIds) {
  const std::vector<int32_t> want = {1, 2, 3};
  for (const char* text : {"1,2,3", "1 2 3", "[1, 2, 3]\n"})
    EXPECT_EQ(*parse_ids(text), want) << text;
  EXPECT_TRUE(parse_ids("")->empty());
  for (const char* bad : {"1,x", "-1", "99999999999"}) EXPECT_FALSE(parse_ids(bad)) << bad;
}

TEST(ExitCode, EveryCodeHasOne) {
  EXPECT_EQ(exit_code_of(Code::kInvalidArgument), 2);
  EXPECT_EQ(exit_code_of(Code::kInvalidModel), 3);
  EXPECT_EQ(exit_code_of(Code::kIntegrity), 4);
  EXPECT_EQ(exit_code_of(Code::kIo), 5);
  EXPECT_EQ(exit_code_of(Code::kNotFound), 5);
  EXPECT_EQ(exit_code_of(Code::kDevice), 6);
  EXPECT_EQ(exit_code_of(Code::kUnsupported), 6);
  EXPECT_EQ(exit_code_of(Code::kResourceExhausted), 8);
  EXPECT_EQ(exit_code_of(Code::kContextExceeded), 8);
  EXPECT_EQ(exit_code_of(Code::kQueueFull), 8);
  EXPECT_EQ(exit_code_of(Code::kDraining), 8);
  EXPECT_EQ(exit_code_of(Code::kUnloaded), 8);
  EXPECT_EQ(exit_code_of(Code::kOutOfMemory), 8);
  EXPECT_EQ(exit_code_of(Code::kCancelled), 130);
}

TEST(Human, Units) {
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(7100000), "7.1 MB");
  EXPECT_EQ(human_seconds(0.0042), "0.004 s");
  EXPECT_EQ(human_seconds(125), "2 min 5 s");
}

}  // namespace
}  // namespace lamina::cli
