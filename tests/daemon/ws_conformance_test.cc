// SPDX-License-Identifier: Apache-2.0
// The ideas of the Autobahn test suite's cases but its UTF-8, by raw frames. Numbers name its
// cases.
#include "tests/daemon/ws_echo.h"

namespace lamina::daemon {
namespace {

using WsConformance = WsEcho;

constexpr size_t kLengths[] = {0, 125, 126, 127, 128, 65535, 65536};

std::vector<std::string> ten_pings() {
  std::vector<std::string> out;
  for (int i = 0; i < 10; ++i) out.push_back(frame_text(kPing, "ping " + std::to_string(i)));
  return out;
}

std::vector<std::string> ten_pongs() {
  std::vector<std::string> out;
  for (int i = 0; i < 10; ++i) out.push_back("pong ping " + std::to_string(i));
  return out;
}

// 1.1: text by all encodings of its length, whole and in chops of 997 bytes
TEST_F(WsConformance, Text) {
  WsClient client(server_);
  for (size_t size : kLengths) {
    for (size_t step : {size + 14, size_t{997}}) {
      send_cut(client, frame_text(kText, std::string(size, '*')), step);
      Frame frame = client.receive();
      EXPECT_EQ(frame.opcode, kText);
      EXPECT_TRUE(frame.fin);
      EXPECT_EQ(frame.payload, std::string(size, '*'));
    }
  }
  send_cut(client, frame_text(kText, std::string(200, '*')), 1);
  EXPECT_EQ(client.receive().payload.size(), 200u);
}

// 1.2: bytes, which this protocol has no use for
TEST_F(WsConformance, Binary) {
  for (size_t size : kLengths) {
    EXPECT_EQ(refusal(frame_text(kBinary, std::string(size, '\xfe'))), 1003) << size;
  }
}

// 2: pings and pongs
TEST_F(WsConformance, Pings) {
  const std::string binary("\x00\xff\xfe\xfd\xfc\xfb\x00\xff", 8), most(125, '\xfe');
  expect({
      {"2.1", {frame_text(kPing, "")}, {"pong "}},
      {"2.2", {frame_text(kPing, "Hello, world!")}, {"pong Hello, world!"}},
      {"2.3", {frame_text(kPing, binary)}, {"pong " + binary}},
      {"2.4, 2.6", {frame_text(kPing, most)}, {"pong " + most}},
      {"2.5", {frame_text(kPing, most + '\xfe')}, {"close 1002"}},
      {"2.7", {frame_text(kPong, "")}, {}},
      {"2.8", {frame_text(kPong, "unasked")}, {}},
      {"2.9", {frame_text(kPong, "unasked"), frame_text(kPing, "asked")}, {"pong asked"}},
      {"2.10, 2.11", ten_pings(), ten_pongs()},
      {"pong of 126", {frame_text(kPong, most + '\xfe')}, {"close 1002"}},
  });
}

// 3: reserved bits
TEST_F(WsConformance, ReservedBits) {
  const std::string first = frame_text(kText, "first"), ping = frame_text(kPing, "late");
  for (int rsv = 1; rsv < 8; ++rsv) {
    auto odd = [&](int opcode) { return frame_text(opcode, "hi", {.rsv = rsv}); };
    expect({
        {"3.1", {odd(kText)}, {"close 1002"}},
        {"3.2 to 3.4", {first, odd(kText), ping}, {"text first", "close 1002"}},
        {"3.5", {odd(kBinary)}, {"close 1002"}},
        {"3.6", {odd(kPing)}, {"close 1002"}},
        {"3.7", {frame_text(kClose, "", {.rsv = rsv})}, {"close 1002"}},
        {"in a fragment", {part(kText, "one"), odd(kContinuation)}, {"close 1002"}},
    });
  }
}

// 4: reserved opcodes
TEST_F(WsConformance, ReservedOpcodes) {
  const std::string first = frame_text(kText, "first"), ping = frame_text(kPing, "late");
  for (int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    expect({
        {"4.1", {frame_text(opcode, "")}, {"close 1002"}},
        {"4.2", {frame_text(opcode, "reserved")}, {"close 1002"}},
        {"4.3", {first, frame_text(opcode, ""), ping}, {"text first", "close 1002"}},
        {"4.4, 4.5", {first, frame_text(opcode, "hi"), ping}, {"text first", "close 1002"}},
    });
  }
}

// 5: fragments
TEST_F(WsConformance, Fragments) {
  const std::string one = part(kText, "one "), two = frame_text(kContinuation, "two");
  const std::string more = part(kContinuation, "more "), ping = frame_text(kPing, "between");
  const std::string text = frame_text(kText, "whole");
  expect({
      {"5.1", {part(kPing, "hi"), frame_text(kContinuation, "two")}, {"close 1002"}},
      {"5.2", {part(kPong, "hi"), frame_text(kContinuation, "two")}, {"close 1002"}},
      {"a close in parts", {part(kClose, "")}, {"close 1002"}},
      {"5.3 to 5.5", {one, two}, {"text one two"}},
      {"5.6 to 5.8", {one, ping, two}, {"pong between", "text one two"}},
      {"5.9 to 5.11", {two, text}, {"close 1002"}},
      {"5.12 to 5.14", {more, text}, {"close 1002"}},
      {"5.15", {one, two, more, text}, {"text one two", "close 1002"}},
      {"5.16", {more, one, two, more, one, two}, {"close 1002"}},
      {"5.17", {two, one, two, two, one, two}, {"close 1002"}},
      {"5.18", {one, text}, {"close 1002"}},
      {"5.19, 5.20",
       {one, more, ping, more, more, ping, two},
       {"pong between", "pong between", "text one more more more two"}},
      {"text behind a message", {text, two}, {"text whole", "close 1002"}},
      {"empty ones", {part(kText, ""), part(kContinuation, ""), two}, {"text two"}},
      {"of bytes", {part(kBinary, "one"), two}, {"close 1003"}},
  });
}

// 7.1: what comes after a close
TEST_F(WsConformance, NothingAfterAClose) {
  const std::string text = frame_text(kText, "hello"), bye = close_text(1000);
  const std::string large = frame_text(kText, std::string(256 << 10, '*'));
  expect({
      {"7.1.1", {text, bye}, {"text hello", "close 1000"}},
      {"7.1.2", {bye, close_text(1000, "again")}, {"close 1000"}},
      {"7.1.3", {bye, frame_text(kPing, "late")}, {"close 1000"}},
      {"7.1.4", {bye, text}, {"close 1000"}},
      {"7.1.5", {part(kText, "one"), bye, frame_text(kContinuation, "two")}, {"close 1000"}},
  });
  const std::string echoed = "text " + std::string(256 << 10, '*');
  expect({"7.1.6", {large, bye, frame_text(kPing, "late")}, {echoed, "close 1000"}}, Cut::kNot);
}

// 7.3 to 7.13: what a close may say
TEST_F(WsConformance, Closing) {
  expect({
      {"7.3.1", {frame_text(kClose, "")}, {"close 1000"}},
      {"7.3.2", {frame_text(kClose, "x")}, {"close 1002"}},
      {"7.3.3", {close_text(1000)}, {"close 1000"}},
      {"7.3.4", {close_text(1000, "bye")}, {"close 1000"}},
      {"7.3.5", {close_text(1000, std::string(123, '*'))}, {"close 1000"}},
      {"7.3.6", {close_text(1000, std::string(124, '*'))}, {"close 1002"}},
      // The suite takes 1007 too.
      {"7.5.1", {close_text(1000, "\xce\xba\xed\xa0\x80")}, {"close 1002"}},
  });
  for (int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999}) {
    EXPECT_EQ(refusal(close_text(code)), code);  // 7.7
    EXPECT_EQ(refusal(close_text(code, "bye")), code);
  }
  for (int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
    EXPECT_EQ(refusal(close_text(code)), 1002) << code;  // 7.9, 7.13
    EXPECT_EQ(refusal(close_text(code, "bye")), 1002) << code;
  }
}

// 9.1, 9.5: large messages, whole and in chops
TEST_F(WsConformance, LargeMessages) {
  WsClient client(server_);
  for (size_t size : {64 << 10, 256 << 10, 1 << 20}) {
    client.text(std::string(size, '*'));
    EXPECT_EQ(client.receive().payload, std::string(size, '*'));
  }
  for (size_t step : {64, 128, 256, 512, 1024, 2048}) {
    send_cut(client, frame_text(kText, std::string(1 << 20, '*')), step);
    EXPECT_EQ(client.receive().payload.size(), size_t{1} << 20) << step;
  }
}

// 9.3: large messages in fragments
TEST_F(WsConformance, ManyFragments) {
  WsClient client(server_);
  constexpr size_t kSize = 1 << 20;
  for (size_t step : {64, 256, 1024, 4096, 16384, 65536, 262144, 1048576}) {
    std::string frames;
    for (size_t at = 0; at < kSize; at += step) {
      const bool last = at + step >= kSize;
      frames += frame_text(at == 0 ? kText : kContinuation, std::string(step, '*'), {.fin = last});
    }
    client.send(frames);
    EXPECT_EQ(client.receive().payload, std::string(kSize, '*')) << step;
  }
}

// 9.7: many messages there and back
TEST_F(WsConformance, ManyMessages) {
  WsClient client(server_);
  for (size_t size : {0, 16, 64, 256, 1024, 4096}) {
    for (int i = 0; i < 200; ++i) {
      client.text(std::string(size, '*'));
      ASSERT_EQ(client.receive().payload.size(), size);
    }
  }
}

// Beyond the limit: refused by the head of the frame, however much of it comes.
TEST_F(WsConformance, Limits) {
  const std::string over(((1 << 20) + 1), '*'), half(600 << 10, '*');
  EXPECT_EQ(refusal(frame_text(kText, over)), 1009);
  EXPECT_EQ(refusal(frame_text(kText, over).substr(0, 100)), 1009);
  EXPECT_EQ(refusal(part(kText, half) + frame_text(kContinuation, half)), 1009);
  EXPECT_EQ(refusal(part(kText, half) + part(kContinuation, half).substr(0, 20)), 1009);
  std::string huge = "\x81\xff";  // 2^63 bytes
  huge += std::string("\x80\0\0\0\0\0\0\0\1\2\3\4", 12);
  int code = refusal(huge);
  EXPECT_TRUE(code == 1009 || code == 1002) << code;
}

// Small fragments without end are a message beyond the limit, and cost no more than it.
TEST_F(WsConformance, EndlessFragments) {
  WsClient client(server_);
  client.send(part(kText, "*"));
  const std::string some = part(kContinuation, std::string(16, '*'));
  std::string many;
  for (int i = 0; i < 1024; ++i) many += some;
  const size_t before = resident_bytes();
  for (int i = 0; i < 65; ++i) client.send(many);
  EXPECT_EQ(client.refusal(), 1009);
  EXPECT_LT(resident_bytes(), before + (size_t{16} << 20));
  WsClient empty(server_);
  std::string nothing = part(kText, "");
  for (int i = 0; i < 100000; ++i) nothing += part(kContinuation, "");
  empty.send(nothing + frame_text(kContinuation, "end"));
  EXPECT_EQ(empty.receive().payload, "end");
  EXPECT_LT(resident_bytes(), before + (size_t{32} << 20));
}

TEST_F(WsConformance, Masks) {
  EXPECT_EQ(refusal(frame_text(kText, "hi", {.masked = false})), 1002);
  EXPECT_EQ(refusal(frame_text(kPing, "", {.masked = false})), 1002);
  EXPECT_EQ(refusal(frame_text(kClose, "", {.masked = false})), 1002);
}

TEST_F(WsConformance, LengthsInTheShortestForm) {
  std::string padded = "\x81\xfe";
  padded += std::string("\0\5\0\0\0\0hello", 11);
  EXPECT_EQ(refusal(padded), 1011);  // RFC 6455 names no code for it
  std::string wider = "\x81\xff";
  wider += std::string("\0\0\0\0\0\0\0\5\0\0\0\0hello", 17);
  EXPECT_EQ(refusal(wider), 1011);
}

// One connection's violation is nobody else's.
TEST_F(WsConformance, OthersGoOn) {
  WsClient other(server_);
  for (int i = 0; i < 20; ++i) refusal(frame_text(3, "x"));
  other.text("still here");
  EXPECT_EQ(other.receive().payload, "still here");
}

}  // namespace
}  // namespace lamina::daemon
