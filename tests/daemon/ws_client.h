// SPDX-License-Identifier: Apache-2.0
// WebSocket frames by hand, so that they can be wrong.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/daemon/http_client.h"

namespace lamina::daemon {

enum Opcode : uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10
};

struct Frame {
  int opcode = -1;  // -1: the connection ended
  bool fin = false;
  std::string payload;
  int close_code() const {
    if (payload.size() < 2) return opcode == kClose ? 1005 : -1;
    return static_cast<unsigned char>(payload[0]) * 256 + static_cast<unsigned char>(payload[1]);
  }
};

struct FrameShape {
  bool fin = true, masked = true;
  int rsv = 0;  // 4: RSV1
};

inline std::string frame_text(int opcode, std::string_view payload, FrameShape shape = {}) {
  std::string out;
  out += static_cast<char>((shape.fin ? 0x80 : 0) | (shape.rsv << 4) | opcode);
  const int mask_bit = shape.masked ? 0x80 : 0;
  size_t size = payload.size();
  int width = size < 126 ? 0 : size < 65536 ? 2 : 8;
  out += static_cast<char>(mask_bit | (width == 0   ? static_cast<int>(size)
                                       : width == 2 ? 126
                                                    : 127));
  for (int i = width - 1; i >= 0; --i) out += static_cast<char>((size >> (8 * i)) & 0xff);
  if (!shape.masked) return out.append(payload);
  const char mask[4] = {0x12, 0x34, 0x56, 0x78};
  out.append(mask, 4);
  for (size_t i = 0; i < size; ++i) out += static_cast<char>(payload[i] ^ mask[i % 4]);
  return out;
}

inline std::string close_text(int code, std::string_view reason = {}) {
  std::string payload = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  return frame_text(kClose, payload.append(reason));
}

constexpr const char* kUpgradeHeaders =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: lamina.v1\r\n";

class WsClient {
 public:
  explicit WsClient(const LiveServer& server, int receive_buffer = 0)
      : socket_(server.connect(receive_buffer)) {
    socket_.send(server.request("GET /ws", kUpgradeHeaders));
    answer_ = read_answer(socket_, false);
  }
  const Answer& answer() const { return answer_; }
  RawSocket& socket() { return socket_; }
  void send(std::string_view bytes) { socket_.send(bytes); }
  void text(std::string_view payload) { send(frame_text(kText, payload)); }

  Frame receive() {
    Frame frame;
    std::string head = socket_.take(2);
    if (head.size() < 2) return frame;
    frame.fin = (head[0] & 0x80) != 0;
    frame.opcode = head[0] & 0x0f;
    EXPECT_EQ(head[0] & 0x70, 0);
    EXPECT_EQ(head[1] & 0x80, 0) << "a server does not mask";
    size_t size = head[1] & 0x7f;
    if (size >= 126) {
      std::string more = socket_.take(size == 126 ? 2 : 8);
      size = 0;
      for (char c : more) size = size * 256 + static_cast<unsigned char>(c);
    }
    frame.payload = socket_.take(size);
    return frame;
  }
  // The close code that comes next, and the end of the connection after it.
  int refusal() {
    Frame frame = receive();
    while (frame.opcode == kText || frame.opcode == kPong) frame = receive();
    if (frame.opcode != kClose) return -1;
    send(frame_text(kClose, frame.payload));
    return socket_.ended() ? frame.close_code() : -2;
  }

 private:
  RawSocket socket_;
  Answer answer_;
};

}  // namespace lamina::daemon
