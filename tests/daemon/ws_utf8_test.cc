// SPDX-License-Identifier: Apache-2.0
// The ideas of the Autobahn test suite's cases 6: text is UTF-8, however it comes, and where it is
// none that is seen as soon as it can be.
#include "tests/daemon/ws_echo.h"

namespace lamina::daemon {
namespace {

using WsUtf8 = WsEcho;

// "kosme", a greeting with umlauts and a last code point of four bytes
constexpr std::string_view kGreek = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
constexpr std::string_view kLong =
    "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!\xf0\x9f\x98\x80";

std::vector<std::string> byte_fragments(std::string_view text) {
  std::vector<std::string> out;
  for (size_t i = 0; i < text.size(); ++i) {
    out.push_back(frame_text(i == 0 ? kText : kContinuation, text.substr(i, 1),
                             {.fin = i + 1 == text.size()}));
  }
  return out;
}

struct Text {
  const char* name;
  std::vector<std::string> texts;
};

// 6.7, 6.9, 6.11, 6.22, 6.23
const std::vector<Text>& good_texts() {
  static const std::vector<Text> texts = {
      {"first of each length",
       {std::string(1, '\0'), "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"}},
      {"last of each length", {"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"}},
      {"around the surrogates", {"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd"}},
      {"no characters",
       {"\xef\xbf\xbe", "\xf0\x9f\xbf\xbe", "\xf0\x9f\xbf\xbf", "\xf0\xaf\xbf\xbe",
        "\xf3\xbf\xbf\xbf", "\xf4\x8f\xbf\xbe"}},
      {"specials",
       {"\xef\xbf\xb9", "\xef\xbf\xba", "\xef\xbf\xbb", "\xef\xbf\xbc", "\xef\xbb\xbf"}},
  };
  return texts;
}

// 6.8, 6.10, 6.12, 6.14 to 6.21
const std::vector<Text>& bad_texts() {
  static const std::vector<Text> texts = {
      {"first of 5 and 6", {"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"}},
      {"last of 4, 5 and 6",
       {"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"}},
      {"above the last", {"\xf4\x90\x80\x80", "\xf5\x80\x80\x80"}},
      {"lonely continuations",
       {"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "a\x80\xbf\x80\xbf\x80"}},
      {"last byte missing",
       {"\xc3", "\xe0\xa0", "\xf0\x90\x80", "\xdf", "\xef\xbf", "\xf3\xbf\xbf", "\xf8\x88\x80\x80",
        "\xfc\x84\x80\x80\x80"}},
      {"several of them", {"\xc3\xe0\xa0\xf0\x90\x80\xdf\xef\xbf\xf3\xbf\xbf"}},
      {"impossible bytes", {"\xfe", "\xff", "\xfe\xfe\xff\xff"}},
      {"a slash too long",
       {"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf",
        "\xfc\x80\x80\x80\x80\xaf"}},
      {"just too long",
       {"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf",
        "\xfc\x83\xbf\xbf\xbf\xbf"}},
      {"a zero too long",
       {"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80",
        "\xfc\x80\x80\x80\x80\x80"}},
      {"lonely surrogates",
       {"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80",
        "\xed\xbe\x80", "\xed\xbf\xbf"}},
      {"paired surrogates",
       {"\xed\xa0\x80\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80"}},
  };
  return texts;
}

// 6.1, 6.2
TEST_F(WsUtf8, FragmentsEndAnywhere) {
  const std::string greek(kGreek), text(kLong);
  expect({
      {"6.1.1", {frame_text(kText, "")}, {"text "}},
      {"6.1.2",
       {part(kText, ""), part(kContinuation, ""), frame_text(kContinuation, "")},
       {"text "}},
      {"6.1.3",
       {part(kText, ""), part(kContinuation, "middle"), frame_text(kContinuation, "")},
       {"text middle"}},
      {"6.2.1", {frame_text(kText, text)}, {"text " + text}},
      {"6.2.2",
       {part(kText, text.substr(0, 12)), frame_text(kContinuation, text.substr(12))},
       {"text " + text}},
      {"6.2.3", byte_fragments(text), {"text " + text}},
      {"6.2.4", byte_fragments(greek), {"text " + greek}},
  });
}

TEST_F(WsUtf8, TakesWhatIsGood) {
  WsClient client(server_);
  for (const Text& group : good_texts()) {
    for (const std::string& text : group.texts) {
      for (const std::vector<std::string>& frames :
           {std::vector{frame_text(kText, text)}, byte_fragments(text)}) {
        send(client, frames, Cut::kNot);
        EXPECT_EQ(client.receive().payload, text) << group.name;
      }
    }
  }
}

TEST_F(WsUtf8, RefusesWhatIsBad) {
  for (const Text& group : bad_texts()) {
    for (const std::string& text : group.texts) {
      const std::string inside = std::string(kGreek) + text + "edited";  // 6.3
      for (const std::string& bytes : {text, inside}) {
        const Case whole{group.name, {frame_text(kText, bytes)}, {"close 1007"}};
        expect(whole, Cut::kNot);
        expect(whole, Cut::kBytes);
        expect({group.name, byte_fragments(bytes), {"close 1007"}}, Cut::kNot);
      }
    }
  }
}

// 6.13: a byte that begins a sequence, and a blank
TEST_F(WsUtf8, RefusesLonelyBeginnings) {
  for (int byte = 0xc0; byte < 0x100; ++byte) {
    const std::string text = {static_cast<char>(byte), ' '};
    EXPECT_EQ(refusal(frame_text(kText, text)), 1007) << byte;
  }
}

// 6.5, 6.6: a text may end between code points alone
TEST_F(WsUtf8, EndsBetweenCodePoints) {
  for (std::string_view text : {kGreek, kLong}) {
    for (size_t end = 1; end <= text.size(); ++end) {
      const bool good = end == text.size() || (text[end] & 0xc0) != 0x80;
      const std::string begun(text.substr(0, end));
      const std::string answer = good ? "text " + begun : "close 1007";
      expect({"6.5", {frame_text(kText, begun)}, {answer}}, Cut::kNot);
      expect({"6.6", byte_fragments(begun), {answer}}, Cut::kNot);
    }
  }
}

// 6.4: neither the message's end nor the frame's is waited for
TEST_F(WsUtf8, SeesBadTextAtOnce) {
  const std::string begun = std::string(kGreek) + "\xf4", bad = "\x90";
  EXPECT_EQ(refusal(part(kText, begun) + part(kContinuation, bad)), 1007);
  EXPECT_EQ(refusal(part(kText, std::string(kGreek)) + part(kContinuation, "\xf4") +
                    part(kContinuation, bad)),
            1007);
  const std::string frame = frame_text(kText, begun + bad + "\x80\x80" + "edited");
  EXPECT_EQ(refusal(frame.substr(0, 6 + begun.size() + 1)), 1007);
  WsClient client(server_);
  client.send(frame.substr(0, 6 + begun.size()));  // good so far
  EXPECT_FALSE(client.socket().receive(0.05));
  client.send(frame.substr(6 + begun.size(), 1));
  EXPECT_EQ(client.refusal(), 1007);
}

}  // namespace
}  // namespace lamina::daemon
