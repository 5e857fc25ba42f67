// SPDX-License-Identifier: Apache-2.0
// WebSocket on one wire, after the upgrade: pings, times, back-pressure and the way to the end.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "native/daemon/http_front.h"
#include "native/daemon/http_wire.h"
#include "native/daemon/ws_codec.h"

namespace lamina::daemon {

class WsConnection final : public WireUser, public std::enable_shared_from_this<WsConnection> {
 public:
  WsConnection(Front& front, std::shared_ptr<Wire> wire, std::shared_ptr<WebSocketHandler> handler);

  // Answers the upgrade. `early` came behind the request's head.
  void open(const std::string& key, const std::string& protocol, std::string_view early);

  void received(std::string_view bytes) override;
  void input_ended() override;
  void written() override;
  void tick(Clock::time_point now) override;
  void going_away() override;
  bool idle_since(Clock::time_point&) const override { return false; }
  void lost() override;

  void send(const std::string& text);
  size_t unsent() const { return over_ ? 0 : wire_->unsent(); }
  void close(uint16_t code, std::string_view reason);

 private:
  void on_message(std::string text);
  void on_ended();
  void tell_closed();
  void count_incoming();
  bool must_wait() const;
  void read_on();

  Front& front_;
  std::shared_ptr<Wire> wire_;
  std::shared_ptr<WebSocketHandler> handler_;
  std::unique_ptr<WsCodec> codec_;
  Clock::time_point heard_, pinged_, close_deadline_;
  double credit_ = 0.0;  // messages that may still come now; below zero reading pauses
  Clock::time_point credit_at_;
  bool above_half_ = false, closing_ = false, over_ = false, told_ = false, paused_ = false;
};

// Whether this is a Sec-WebSocket-Key: base64 of 16 bytes.
bool is_websocket_key(std::string_view text);

}  // namespace lamina::daemon
