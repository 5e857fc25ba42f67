// SPDX-License-Identifier: Apache-2.0
// The ideas of the Autobahn test suite's cases, by raw frames. Numbers name its sections.
#include <gtest/gtest.h>

#include "tests/daemon/ws_client.h"

namespace lamina::daemon {
namespace {

class Echo : public WebSocketHandler {
 public:
  void opened(std::shared_ptr<WebSocketPeer> peer) override { peer_ = std::move(peer); }
  void message(std::string text) override { peer_->send(std::move(text)); }
  void drained() override {}
  void closed() override {}

 private:
  std::shared_ptr<WebSocketPeer> peer_;
};

class WsConformance : public testing::Test {
 protected:
  static NetOptions options() {
    NetOptions options;
    options.requests_per_second = 0;
    return options;
  }
  void SetUp() override {
    server_->add_websocket("/ws", "lamina.v1",
                           [](const HttpRequest&) { return std::make_shared<Echo>(); });
    server_.start();
  }
  // What the server closes with after these bytes.
  int refusal(const std::string& bytes) {
    WsClient client(server_);
    client.send(bytes);
    return client.refusal();
  }
  LiveServer server_{options()};
};

// 1: text of all length encodings, whole and byte by byte
TEST_F(WsConformance, Text) {
  WsClient client(server_);
  for (size_t size : {0, 1, 125, 126, 127, 128, 65535, 65536, 100000}) {
    client.text(std::string(size, '*'));
    Frame frame = client.receive();
    EXPECT_EQ(frame.opcode, kText);
    EXPECT_TRUE(frame.fin);
    EXPECT_EQ(frame.payload, std::string(size, '*'));
  }
  for (char byte : frame_text(kText, std::string(200, '*'))) client.send({&byte, 1});
  EXPECT_EQ(client.receive().payload.size(), 200u);
}

// 2: pings and pongs
TEST_F(WsConformance, Pings) {
  WsClient client(server_);
  for (const std::string& payload :
       {std::string(), std::string("hi"), std::string("\x00\xff\xfe", 3), std::string(125, '*')}) {
    client.send(frame_text(kPing, payload));
    Frame frame = client.receive();
    EXPECT_EQ(frame.opcode, kPong);
    EXPECT_EQ(frame.payload, payload);
  }
  client.send(frame_text(kPong, "unasked"));
  for (int i = 0; i < 10; ++i) client.send(frame_text(kPing, std::to_string(i)));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(client.receive().payload, std::to_string(i));
  EXPECT_EQ(refusal(frame_text(kPing, std::string(126, '*'))), 1002);
}

// 3: reserved bits
TEST_F(WsConformance, ReservedBits) {
  for (int rsv = 1; rsv < 8; ++rsv) {
    EXPECT_EQ(refusal(frame_text(kText, "hi", {.rsv = rsv})), 1002) << rsv;
    EXPECT_EQ(refusal(frame_text(kPing, "hi", {.rsv = rsv})), 1002) << rsv;
  }
}

// 4: reserved opcodes
TEST_F(WsConformance, ReservedOpcodes) {
  for (int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    EXPECT_EQ(refusal(frame_text(opcode, "")), 1002) << opcode;
    EXPECT_EQ(refusal(frame_text(kText, "first") + frame_text(opcode, "hi")), 1002) << opcode;
  }
}

// 5: fragments
TEST_F(WsConformance, Fragments) {
  WsClient client(server_);
  client.send(frame_text(kText, "one ", {.fin = false}) +
              frame_text(kContinuation, "", {.fin = false}) + frame_text(kPing, "between") +
              frame_text(kContinuation, "two"));
  EXPECT_EQ(client.receive().payload, "between");
  EXPECT_EQ(client.receive().payload, "one two");
  EXPECT_EQ(refusal(frame_text(kPing, "hi", {.fin = false})), 1002);
  EXPECT_EQ(refusal(frame_text(kPong, "hi", {.fin = false})), 1002);
  EXPECT_EQ(refusal(frame_text(kClose, "", {.fin = false})), 1002);
  EXPECT_EQ(refusal(frame_text(kContinuation, "hi")), 1002);
  EXPECT_EQ(refusal(frame_text(kContinuation, "hi", {.fin = false})), 1002);
  EXPECT_EQ(refusal(frame_text(kText, "hi", {.fin = false}) + frame_text(kText, "hi")), 1002);
  EXPECT_EQ(refusal(frame_text(kText, "hi") + frame_text(kContinuation, "hi")), 1002);
}

// 6: UTF-8
TEST_F(WsConformance, Utf8) {
  WsClient client(server_);
  const std::string good =
      "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf";
  client.text(good);
  EXPECT_EQ(client.receive().payload, good);
  for (size_t i = 0; i + 1 < good.size(); ++i) {  // a fragment may end inside a code point
    client.send(frame_text(i == 0 ? kText : kContinuation, good.substr(i, 1), {.fin = false}));
  }
  client.send(frame_text(kContinuation, good.substr(good.size() - 1)));
  EXPECT_EQ(client.receive().payload, good);
  for (const char* bad :
       {"\x80", "\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xce",
        "\xf8\x88\x80\x80\x80", "ok \xed\xa0\x80 end"}) {
    EXPECT_EQ(refusal(frame_text(kText, bad)), 1007) << bad;
  }
  EXPECT_EQ(refusal(frame_text(kText, "a\xee", {.fin = false}) + frame_text(kContinuation, "\xba")),
            1007);
  // Seen at once, not at the end of the message.
  EXPECT_EQ(refusal(frame_text(kText, "\xce\xba\xed\xa0\x80", {.fin = false})), 1007);
}

// 7: closing
TEST_F(WsConformance, Closing) {
  for (int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999}) {
    EXPECT_EQ(refusal(close_text(code, "bye")), code);
  }
  EXPECT_EQ(refusal(frame_text(kClose, "")), 1000);
  EXPECT_EQ(refusal(frame_text(kClose, "x")), 1002);
  EXPECT_EQ(refusal(close_text(1000, std::string(123, '*'))), 1000);
  EXPECT_EQ(refusal(close_text(1000, std::string(124, '*'))), 1002);
  EXPECT_EQ(refusal(close_text(1000, "\xce\xba\xed\xa0\x80")), 1002);  // the suite takes 1007 too
  for (int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
    EXPECT_EQ(refusal(close_text(code)), 1002) << code;
  }
  WsClient client(server_);  // nothing is answered after a close
  client.send(close_text(1000) + frame_text(kPing, "") + frame_text(kText, "late"));
  EXPECT_EQ(client.receive().opcode, kClose);
  EXPECT_EQ(client.receive().opcode, -1);
}

// 9: limits
TEST_F(WsConformance, Limits) {
  WsClient client(server_);
  client.text(std::string(1 << 20, '*'));
  EXPECT_EQ(client.receive().payload.size(), size_t{1} << 20);
  EXPECT_EQ(refusal(frame_text(kText, std::string((1 << 20) + 1, '*')).substr(0, 100)), 1009);
  const std::string half(600 << 10, '*');
  EXPECT_EQ(refusal(frame_text(kText, half, {.fin = false}) + frame_text(kContinuation, half)),
            1009);
  std::string huge = "\x81\xff";  // 2^63 bytes
  huge += std::string("\x80\0\0\0\0\0\0\0\1\2\3\4", 12);
  int code = refusal(huge);
  EXPECT_TRUE(code == 1009 || code == 1002) << code;
}

TEST_F(WsConformance, Masks) {
  EXPECT_EQ(refusal(frame_text(kText, "hi", {.masked = false})), 1002);
  EXPECT_EQ(refusal(frame_text(kPing, "", {.masked = false})), 1002);
}

TEST_F(WsConformance, LengthsInTheShortestForm) {
  std::string padded = "\x81\xfe";
  padded += std::string("\0\5\0\0\0\0hello", 11);
  EXPECT_EQ(refusal(padded), 1011);  // RFC 6455 names no code for it
}

TEST_F(WsConformance, TextOnly) {
  EXPECT_EQ(refusal(frame_text(kBinary, "hi")), 1003);
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
