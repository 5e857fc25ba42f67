// SPDX-License-Identifier: Apache-2.0
// A connection's bytes: reads on, queues what is to be written, sees slow readers, closes in order.
// Who makes sense of the bytes (HTTP, later perhaps WebSocket) is its user.
#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "native/daemon/http_stream.h"
#include "native/daemon/rate_limit.h"

namespace lamina::daemon {

class WireUser {
 public:
  virtual ~WireUser() = default;
  virtual void ready() {}  // the handshake is over
  virtual void received(std::string_view bytes) = 0;
  virtual void input_ended() = 0;                               // the peer sends no more
  virtual void written() = 0;                                   // unsent() has fallen
  virtual void tick(Clock::time_point now) = 0;                 // a few times a second
  virtual void going_away() = 0;                                // the server stops
  virtual bool idle_since(Clock::time_point& since) const = 0;  // may be closed for another
  virtual void lost() = 0;                                      // last call; the wire is closed
};

class Wire : public std::enable_shared_from_this<Wire> {
 public:
  Wire(std::unique_ptr<ByteStream> stream, std::string peer, std::string peer_address,
       std::string local_address, double write_seconds);

  const std::string& peer() const { return peer_; }  // "127.0.0.1:51324"
  const std::string& peer_address() const { return peer_address_; }
  const std::string& local_address() const { return local_address_; }  // as in a Host

  void start(std::shared_ptr<WireUser> user);
  void set_user(std::shared_ptr<WireUser> user) { user_ = std::move(user); }
  WireUser* user() const { return user_.get(); }

  void write(std::string bytes);
  size_t unsent() const { return unsent_; }  // queued and not taken by the socket
  void pause(bool paused);                   // stop or go on reading

  // Writes what is queued, ends the sending side and drops what still comes for a moment, so that
  // the peer reads the answer before it sees a reset.
  void finish();
  void abort();  // closes at once
  bool closed() const { return closed_; }
  bool finishing() const { return finishing_; }

  void tick(Clock::time_point now);
  bool slow_reader() const { return slow_reader_; }  // why it was closed
  std::function<void(Wire&)> on_closed;              // once

 private:
  void read_more();
  void on_read(bool ok, size_t bytes);
  void flush();
  void on_written(bool ok, size_t bytes);
  void begin_shutdown();
  void renew_write_deadline();

  std::unique_ptr<ByteStream> stream_;
  std::string peer_, peer_address_, local_address_;
  std::chrono::duration<double> write_seconds_;
  std::shared_ptr<WireUser> user_;
  std::array<char, 8192> input_;
  std::string front_;              // being written, from front_at_
  std::deque<std::string> queue_;  // behind it
  size_t front_at_ = 0;
  size_t unsent_ = 0;
  size_t progress_ = 0;  // bytes taken since the deadline was set
  size_t lingered_ = 0;  // bytes dropped after the end
  Clock::time_point write_deadline_, linger_deadline_;
  bool reading_ = false, writing_ = false, paused_ = false, input_ended_ = false;
  bool finishing_ = false, lingering_ = false, closed_ = false, slow_reader_ = false;
};

}  // namespace lamina::daemon
