// SPDX-License-Identifier: Apache-2.0
// HTTP on one wire: requests one after another, each answered before the next is read.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "native/daemon/http_front.h"
#include "native/daemon/http_parse.h"
#include "native/daemon/http_text.h"
#include "native/daemon/http_wire.h"

namespace lamina::daemon {

class HttpConnection final : public WireUser, public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(Front& front, std::shared_ptr<Wire> wire);

  void received(std::string_view bytes) override;
  void input_ended() override;
  void written() override;
  void tick(Clock::time_point now) override;
  void going_away() override;
  bool idle_since(Clock::time_point& since) const override;
  void lost() override;

  // What a responder does, for the request of this number. Nothing when that is over.
  void respond(uint64_t request, int status, const HeaderList& headers, std::string body);
  void begin(uint64_t request, int status, const HeaderList& headers);
  void write_part(uint64_t request, std::string part);
  void end(uint64_t request);
  void abandoned(uint64_t request);  // the responder is gone
  bool answering(uint64_t request) const { return request == request_ && phase_ == Phase::kAnswer; }
  size_t unsent() const { return wire_->unsent(); }
  void set_on_close(uint64_t request, std::function<void()> closed);
  void set_on_drained(uint64_t request, std::function<void()> drained);

 private:
  enum class Phase { kIdle, kHead, kBody, kAnswer, kOver };

  void process();
  bool may_parse() const;
  void enter(Phase phase, double seconds);
  void on_head();
  void on_request();
  int refusal_of_head();
  bool preflight();
  void refuse(int status, HeaderList headers = {});
  HttpRequest take_request();
  HeaderList answer_headers(int status, const HeaderList& given) const;
  std::string begin_head(int status, const HeaderList& headers);
  void finish_answer();
  void tell_access(int status) const;
  bool try_upgrade();
  int upgrade_refusal(const std::string& protocol);

  Front& front_;
  std::shared_ptr<Wire> wire_;
  HttpParser parser_;
  std::string input_;  // came, and not parsed
  Phase phase_ = Phase::kIdle;
  Clock::time_point deadline_, since_, head_began_;
  std::shared_ptr<const Route> route_;
  std::string allow_;
  uint64_t request_ = 0;
  bool processing_ = false;
  bool close_after_ = false;  // this answer is the last
  bool begun_ = false;        // its head has been written
  bool chunked_ = false;      // its body is in chunks
  bool counted_ = false;      // its body has a length, of which left_ bytes are to come
  bool above_low_ = false;
  uint64_t left_ = 0;
  std::function<void()> on_close_, on_drained_;
};

}  // namespace lamina::daemon
