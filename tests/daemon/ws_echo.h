// SPDX-License-Identifier: Apache-2.0
// A server that echoes, and cases for it: what is sent, and all that must come back.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/daemon/ws_client.h"

namespace lamina::daemon {

class Echo : public WebSocketHandler {
 public:
  void opened(std::shared_ptr<WebSocketPeer> peer) override { peer_ = std::move(peer); }
  void message(std::string text) override { peer_->send(std::move(text)); }
  void drained() override {}
  void closed() override {}

 private:
  std::shared_ptr<WebSocketPeer> peer_;
};

class WsEcho : public testing::Test {
 protected:
  // In one piece, frame by frame, byte by byte: what comes back must not depend on it.
  enum class Cut { kNot, kFrames, kBytes };

  struct Case {
    const char* name;  // its number in the suite
    std::vector<std::string> frames;
    std::vector<std::string> answers;  // "text hello", "pong x", "close 1002"
  };

  void SetUp() override {
    server_->add_websocket("/ws", "lamina.v1",
                           [](const HttpRequest&) { return std::make_shared<Echo>(); });
    server_.start();
  }

  static void send_cut(WsClient& client, const std::string& bytes, size_t step) {
    for (size_t at = 0; at < bytes.size(); at += step) client.send(bytes.substr(at, step));
  }
  static void send(WsClient& client, const std::vector<std::string>& frames, Cut cut) {
    std::string all;
    for (const std::string& frame : frames) {
      if (cut == Cut::kFrames) client.send(frame);
      all += frame;
    }
    if (cut != Cut::kFrames) send_cut(client, all, cut == Cut::kBytes ? 1 : all.size());
  }
  static std::string told(const Frame& frame) {
    if (frame.opcode == kText) return "text " + frame.payload;
    if (frame.opcode == kPong) return "pong " + frame.payload;
    if (frame.opcode == kClose) return "close " + std::to_string(frame.close_code());
    return "opcode " + std::to_string(frame.opcode);
  }

  // The answers come in this order, then the end: the server's doing, or ours after a close.
  void expect(const Case& c, Cut cut) {
    SCOPED_TRACE(std::string(c.name) + " cut " + std::to_string(static_cast<int>(cut)));
    WsClient client(server_);
    send(client, c.frames, cut);
    for (const std::string& answer : c.answers) ASSERT_EQ(told(client.receive()), answer);
    const bool closed = !c.answers.empty() && c.answers.back().starts_with("close");
    client.send(close_text(1000));
    if (!closed) {
      EXPECT_EQ(told(client.receive()), "close 1000");
    }
    EXPECT_EQ(client.receive().opcode, -1);  // and nothing after it
  }
  void expect(const std::vector<Case>& cases) {
    for (const Case& c : cases) {
      for (Cut cut : {Cut::kNot, Cut::kFrames, Cut::kBytes}) expect(c, cut);
    }
  }
  // What the server closes with after these bytes.
  int refusal(const std::string& bytes) {
    WsClient client(server_);
    client.send(bytes);
    return client.refusal();
  }
  static NetOptions options() {
    NetOptions options;
    options.requests_per_second = 0;
    return options;
  }
  LiveServer server_{options()};
};

inline std::string part(int opcode, std::string_view payload) {
  return frame_text(opcode, payload, {.fin = false});
}

}  // namespace lamina::daemon
