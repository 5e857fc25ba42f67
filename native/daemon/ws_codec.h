// SPDX-License-Identifier: Apache-2.0
// WebSocket framing (RFC 6455, server side) by websocketpp, without a socket. This header is plain
// C++17: websocketpp 0.8.2 does not compile as C++20, so its one source file doesn't either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace lamina::daemon {

class WsCodec {
 public:
  // Called from inside received(), send(), ping() and close(). Must not destroy the codec.
  struct Events {
    std::function<void(std::string)> write;    // bytes for the peer
    std::function<void(std::string)> message;  // a whole text message, valid UTF-8
    std::function<void()> pinged, ponged;
    std::function<void()> ended;  // once: nothing more is written or understood
  };

  // The answer to an upgrade with this Sec-WebSocket-Key is written at once.
  static std::unique_ptr<WsCodec> open(const std::string& key, const std::string& protocol,
                                       size_t max_message, Events events);
  virtual ~WsCodec() = default;

  virtual bool is_open() const = 0;
  virtual void received(const char* bytes, size_t count) = 0;
  virtual void send(const std::string& text) = 0;
  virtual void ping() = 0;
  virtual void close(uint16_t code, const std::string& reason) = 0;
};

}  // namespace lamina::daemon
