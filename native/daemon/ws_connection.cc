// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/ws_connection.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace lamina::daemon {

namespace {

constexpr uint16_t kGoingAway = 1001, kInternalError = 1011;
constexpr double kCloseSeconds = 5.0;  // for the peer's half of the closing handshake

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

class Peer final : public WebSocketPeer {
 public:
  explicit Peer(const std::shared_ptr<WsConnection>& connection) : connection_(connection) {}
  void send(std::string text) override {
    if (auto live = connection_.lock()) live->send(text);
  }
  size_t unsent() const override {
    auto live = connection_.lock();
    return live ? live->unsent() : 0;
  }
  void close(uint16_t code, std::string_view reason) override {
    if (auto live = connection_.lock()) live->close(code, reason);
  }

 private:
  std::weak_ptr<WsConnection> connection_;
};

}  // namespace

bool is_websocket_key(std::string_view text) {
  auto in_alphabet = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
           c == '/';
  };
  return text.size() == 24 && text.ends_with("==") &&
         std::all_of(text.begin(), text.end() - 2, in_alphabet);
}

WsConnection::WsConnection(Front& front, std::shared_ptr<Wire> wire,
                           std::shared_ptr<WebSocketHandler> handler)
    : front_(front),
      wire_(std::move(wire)),
      handler_(std::move(handler)),
      heard_(Clock::now()),
      pinged_(heard_),
      credit_(front.options.requests_per_second * 2.0),
      credit_at_(heard_) {
  ++front_.stats.websockets;
}

void WsConnection::open(const std::string& key, const std::string& protocol,
                        std::string_view early) {
  WsCodec::Events events;  // the codec is ours, so plain `this` lives long enough
  events.write = [this](std::string bytes) { wire_->write(std::move(bytes)); };
  events.message = [this](std::string text) { on_message(std::move(text)); };
  events.pinged = [this] { count_incoming(); };
  events.ponged = [this] {
    heard_ = Clock::now();
    count_incoming();
  };
  events.ended = [this] { on_ended(); };
  codec_ = WsCodec::open(key, protocol, front_.options.max_frame, std::move(events));
  if (over_) return;
  try {
    handler_->opened(std::make_shared<Peer>(shared_from_this()));
  } catch (const std::exception&) {
    close(kInternalError, "the connection could not be set up");
  }
  received(early);
}

void WsConnection::received(std::string_view bytes) {
  auto keep = shared_from_this();
  if (!over_) codec_->received(bytes.data(), bytes.size());
  if (over_ || !must_wait()) return;
  paused_ = true;
  wire_->pause(true);
}

// Too much came in its time, or its answers (pongs too) are not taken.
bool WsConnection::must_wait() const {
  const NetOptions& options = front_.options;
  return (options.requests_per_second > 0.0 && credit_ < 0.0) ||
         wire_->unsent() > options.max_unsent;
}

void WsConnection::read_on() {
  if (!paused_ || must_wait()) return;
  paused_ = false;
  wire_->pause(false);
}

void WsConnection::count_incoming() {
  credit_ -= 1.0;
}

void WsConnection::on_message(std::string text) {
  heard_ = Clock::now();
  count_incoming();
  if (closing_ || over_) return;
  try {
    handler_->message(std::move(text));
  } catch (const std::exception&) {
    close(kInternalError, "the message could not be handled");
  }
}

void WsConnection::send(const std::string& text) {
  if (over_ || closing_) return;
  auto keep = shared_from_this();
  if (wire_->unsent() > front_.options.max_unsent) {
    ++front_.stats.slow_readers;
    return wire_->abort();
  }
  codec_->send(text);
  above_half_ |= unsent() > front_.options.max_unsent / 2;
}

void WsConnection::close(uint16_t code, std::string_view reason) {
  if (over_ || closing_) return;
  auto keep = shared_from_this();
  closing_ = true;
  close_deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                       std::chrono::duration<double>(kCloseSeconds));
  codec_->close(code, std::string(reason));
}

void WsConnection::going_away() {
  close(kGoingAway, "the server stops");
}

void WsConnection::on_ended() {
  over_ = true;
  wire_->finish();
  // Not from inside the codec or the handler, which may have led here.
  front_.post([self = shared_from_this()] { self->tell_closed(); });
}

void WsConnection::input_ended() {
  over_ = true;
  wire_->abort();
}

void WsConnection::lost() {
  over_ = true;
  front_.post([self = shared_from_this()] { self->tell_closed(); });
}

void WsConnection::tell_closed() {
  if (std::exchange(told_, true)) return;
  --front_.stats.websockets;
  auto handler = std::move(handler_);
  handler->closed();
}

void WsConnection::written() {
  if (!over_) read_on();
  if (over_ || !above_half_ || wire_->unsent() > front_.options.max_unsent / 2) return;
  auto keep = shared_from_this();
  above_half_ = false;
  if (!closing_) handler_->drained();
}

void WsConnection::tick(Clock::time_point now) {
  auto keep = shared_from_this();
  const NetOptions& options = front_.options;
  credit_ = std::min(options.requests_per_second * 2.0,
                     credit_ + seconds_between(credit_at_, now) * options.requests_per_second);
  credit_at_ = now;
  read_on();
  if (closing_ && now > close_deadline_) {
    over_ = true;
    return wire_->finish();
  }
  double quiet = seconds_between(std::max(heard_, pinged_), now);
  if (seconds_between(heard_, now) > options.idle_seconds) {
    ++front_.stats.timeouts;
    over_ = true;
    return wire_->abort();
  }
  if (quiet <= options.idle_seconds / 3.0 || closing_) return;
  pinged_ = now;
  codec_->ping();
}

}  // namespace lamina::daemon
