// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/ws_codec.h"

#include <utility>

#include <websocketpp/config/core.hpp>
#include <websocketpp/logger/stub.hpp>
#include <websocketpp/server.hpp>

#include "core/base/utf8.h"

namespace lamina::daemon {

namespace {

namespace ws = websocketpp;

// No compression: its inflater has no limit of output. No log: it would tell of tokens.
struct Config : ws::config::core {
  using elog_type = ws::log::stub;
  using alog_type = ws::log::stub;
  struct transport_config : ws::config::core::transport_config {
    using elog_type = ws::log::stub;
    using alog_type = ws::log::stub;
  };
  using transport_type = ws::transport::iostream::endpoint<transport_config>;
  static const size_t connection_read_buffer_size = 4096;
};

using Endpoint = ws::server<Config>;
using Connection = Endpoint::connection_ptr;

class Codec final : public WsCodec {
 public:
  Codec(const std::string& protocol, size_t max_message, Events events)
      : events_(std::move(events)) {
    endpoint_.set_user_agent("");
    connection_ = endpoint_.get_connection();
    connection_->set_max_message_size(max_message);
    connection_->set_validate_handler([this, protocol](ws::connection_hdl) {
      ws::lib::error_code error;
      connection_->select_subprotocol(protocol, error);
      return !error;
    });
    listen_for_output();
    listen_for_input();
  }

  void start(const std::string& key, const std::string& protocol) {
    connection_->start();
    // The head was checked before; this is all of it that framing needs.
    const std::string head =
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
        key + "\r\nSec-WebSocket-Protocol: " + protocol + "\r\n\r\n";
    received(head.data(), head.size());
  }

  bool is_open() const override {
    return !ended_ && connection_->get_state() == ws::session::state::open;
  }

  void received(const char* bytes, size_t count) override {
    while (count > 0 && !ended_) {
      const size_t used = connection_->read_some(bytes, count);
      if (used == 0) return end();  // after a violation it reads no more
      bytes += used;
      count -= used;
    }
  }

  void send(const std::string& text) override {
    if (is_open()) ended_on(connection_->send(text, ws::frame::opcode::text));
  }
  void ping() override {
    ws::lib::error_code error;
    if (is_open()) connection_->ping("", error);
    ended_on(error);
  }
  void close(uint16_t code, const std::string& reason) override {
    ws::lib::error_code error;
    if (is_open()) connection_->close(code, reason.substr(0, 120), error);
    ended_on(error);
  }

 private:
  void listen_for_output() {
    connection_->set_write_handler([this](ws::connection_hdl, const char* bytes, size_t count) {
      events_.write(std::string(bytes, count));
      return ws::lib::error_code();
    });
    connection_->set_vector_write_handler(
        [this](ws::connection_hdl, const std::vector<ws::transport::buffer>& parts) {
          std::string whole;
          for (const auto& part : parts) whole.append(part.buf, part.len);
          events_.write(std::move(whole));
          return ws::lib::error_code();
        });
    connection_->set_shutdown_handler([this](ws::connection_hdl) {
      end();
      return ws::lib::error_code();
    });
  }

  void listen_for_input() {
    connection_->set_message_handler([this](ws::connection_hdl, Endpoint::message_ptr message) {
      if (message->get_opcode() != ws::frame::opcode::text) {
        return close(ws::close::status::unsupported_data, "text messages only");
      }
      // websocketpp 0.8.2 overlooks a code point that the last of several fragments leaves
      // unfinished.
      if (!is_valid_utf8(message->get_payload())) {
        return close(ws::close::status::invalid_payload, "invalid UTF-8");
      }
      events_.message(std::move(message->get_raw_payload()));
    });
    connection_->set_ping_handler([this](ws::connection_hdl, const std::string&) {
      events_.pinged();
      return true;
    });
    connection_->set_pong_handler(
        [this](ws::connection_hdl, const std::string&) { events_.ponged(); });
  }

  void ended_on(const ws::lib::error_code& error) {
    if (error) end();
  }
  void end() {
    if (!std::exchange(ended_, true)) events_.ended();
  }

  Endpoint endpoint_;
  Connection connection_;
  Events events_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<WsCodec> WsCodec::open(const std::string& key, const std::string& protocol,
                                       size_t max_message, Events events) {
  auto codec = std::make_unique<Codec>(protocol, max_message, std::move(events));
  codec->start(key, protocol);
  return codec;
}

}  // namespace lamina::daemon
