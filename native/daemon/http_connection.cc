// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/http_connection.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <exception>
#include <limits>
#include <utility>

#include "native/daemon/ws_connection.h"

namespace lamina::daemon {

namespace {

constexpr size_t kMostWaiting = 16 << 10;       // bytes of later requests, then reading pauses
constexpr size_t kMostUnsentBefore = 64 << 10;  // of earlier answers, before the next request
constexpr double kNever = 1e9;

constexpr std::string_view kKnownMethods[] = {"GET",   "HEAD",   "POST",   "PUT",
                                              "PATCH", "DELETE", "OPTIONS"};

bool is_known(std::string_view method) {
  return std::find(std::begin(kKnownMethods), std::end(kKnownMethods), method) !=
         std::end(kKnownMethods);
}

bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

std::string hex(size_t value) {
  char text[20];
  int size = std::snprintf(text, sizeof text, "%zx", value);
  return std::string(text, static_cast<size_t>(size));
}

// The handler's end of one request. May be dropped on any thread, hence the detour over post.
class Responder final : public HttpResponder {
 public:
  Responder(std::shared_ptr<HttpConnection> connection, uint64_t request,
            std::function<void(std::function<void()>)> post)
      : connection_(connection), request_(request), post_(std::move(post)) {}
  ~Responder() override {
    if (over_) return;
    post_([connection = connection_, request = request_] {
      if (auto live = connection.lock()) live->abandoned(request);
    });
  }

  void respond(int status, const Headers& headers, std::string body) override {
    over_ = true;
    if (auto live = connection_.lock()) live->respond(request_, status, headers, std::move(body));
  }
  void begin(int status, const Headers& headers) override {
    if (auto live = connection_.lock()) live->begin(request_, status, headers);
  }
  void write(std::string part) override {
    if (auto live = connection_.lock()) live->write_part(request_, std::move(part));
  }
  void end() override {
    over_ = true;
    if (auto live = connection_.lock()) live->end(request_);
  }
  size_t unsent() const override {
    auto live = connection_.lock();
    return live && live->answering(request_) ? live->unsent() : 0;
  }
  bool connected() const override {
    auto live = connection_.lock();
    return live && live->answering(request_);
  }
  void on_close(std::function<void()> closed) override {
    auto live = connection_.lock();
    if (live && live->answering(request_)) return live->set_on_close(request_, std::move(closed));
    if (!over_) post_(std::move(closed));
  }
  void on_drained(std::function<void()> drained) override {
    if (auto live = connection_.lock()) live->set_on_drained(request_, std::move(drained));
  }

 private:
  std::weak_ptr<HttpConnection> connection_;
  uint64_t request_;
  std::function<void(std::function<void()>)> post_;
  bool over_ = false;
};

}  // namespace

HttpConnection::HttpConnection(Front& front, std::shared_ptr<Wire> wire)
    : front_(front), wire_(std::move(wire)) {
  enter(Phase::kIdle, front_.options.handshake_seconds);
}

void HttpConnection::enter(Phase phase, double seconds) {
  phase_ = phase;
  since_ = Clock::now();
  deadline_ = since_ + std::chrono::duration_cast<Clock::duration>(
                           std::chrono::duration<double>(std::min(seconds, kNever)));
}

bool HttpConnection::may_parse() const {
  return phase_ != Phase::kAnswer && phase_ != Phase::kOver && !input_.empty() &&
         wire_->unsent() <= kMostUnsentBefore;
}

void HttpConnection::received(std::string_view bytes) {
  input_.append(bytes);
  process();
  if (phase_ == Phase::kOver) return;
  wire_->pause(phase_ == Phase::kAnswer ? input_.size() >= kMostWaiting : !input_.empty());
}

void HttpConnection::written() {
  auto keep = shared_from_this();
  if (above_low_ && wire_->unsent() <= low_water(front_.options.max_unsent)) {
    above_low_ = false;
    if (auto drained = on_drained_) drained();
  }
  if (phase_ == Phase::kAnswer || phase_ == Phase::kOver) return;
  process();
  if (phase_ != Phase::kOver) wire_->pause(!input_.empty() && phase_ != Phase::kAnswer);
}

// Parses as long as there is a request to begin or to go on with.
void HttpConnection::process() {
  if (processing_) return;
  processing_ = true;
  auto keep = shared_from_this();
  while (may_parse()) {
    if (phase_ == Phase::kIdle) {
      head_began_ = Clock::now();
      // The first head's time began with the connection.
      if (request_ > 0) {
        enter(Phase::kHead, front_.options.handshake_seconds);
      } else {
        phase_ = Phase::kHead;
      }
    }
    input_.erase(0, parser_.feed(input_));
    if (parser_.state() == HttpParser::State::kHeadDone) on_head();
    if (phase_ == Phase::kOver) break;
    if (parser_.state() == HttpParser::State::kFailed) {
      ++front_.stats.malformed;
      refuse(parser_.status());
    } else if (parser_.state() == HttpParser::State::kDone) {
      on_request();
    }
  }
  processing_ = false;
}

void HttpConnection::input_ended() {
  if (phase_ == Phase::kAnswer) return wire_->abort();  // nobody waits for this answer any more
  phase_ = Phase::kOver;
  wire_->finish();
}

void HttpConnection::tick(Clock::time_point now) {
  if (phase_ == Phase::kAnswer || phase_ == Phase::kOver || now < deadline_) return;
  bool silent = phase_ == Phase::kIdle || !parser_.started();
  if (!silent || request_ == 0) ++front_.stats.timeouts;
  if (!silent) return refuse(408);
  phase_ = Phase::kOver;
  wire_->finish();
}

void HttpConnection::going_away() {
  close_after_ = true;
  if (phase_ != Phase::kIdle) return;
  phase_ = Phase::kOver;
  wire_->finish();
}

bool HttpConnection::idle_since(Clock::time_point& since) const {
  since = since_;
  return phase_ == Phase::kIdle || phase_ == Phase::kHead;
}

void HttpConnection::lost() {
  bool answering = phase_ == Phase::kAnswer;
  phase_ = Phase::kOver;
  on_drained_ = nullptr;
  auto closed = std::exchange(on_close_, nullptr);
  if (answering && closed) closed();
}

void HttpConnection::refuse(int status, HeaderList headers) {
  close_after_ |=
      parser_.state() == HttpParser::State::kFailed || parser_.head().has_body() || status == 408;
  phase_ = Phase::kAnswer;
  ++request_;
  headers.emplace_back("Content-Type", "application/json");
  respond(request_, status, headers, refusal_body(status));
}

HttpRequest HttpConnection::take_request() {
  RequestHead& head = parser_.head();
  HttpRequest request;
  request.method = head.method;
  request.path = head.target.path;
  request.query = head.target.query;
  request.headers = head.headers;  // the answer still looks at some
  request.body = std::move(parser_.body());
  request.peer = wire_->peer();
  request.tls = !front_.options.tls_certificate.empty();
  return request;
}

// Everything that is decided without the body. 0: the request may go on.
int HttpConnection::refusal_of_head() {
  const RequestHead& head = parser_.head();
  const std::string& local = wire_->local_address();
  if (!front_.rules.host_allowed(head.host, local)) return ++front_.stats.refused_host, 421;
  bool socket = front_.websockets.contains(head.target.path);
  Router::Match match = front_.router.find(head.method, head.target.path);
  route_ = match.route;
  allow_ = socket ? "GET" : match.allow;
  bool origin_needed = !route_ || route_->needs_origin;
  if (origin_needed && !front_.rules.source_allowed(head, local)) {
    return ++front_.stats.refused_origin, 403;
  }
  if (!is_known(head.method)) return 501;
  if (head.method == "OPTIONS" && !route_ && !allow_.empty()) return 0;
  bool token_needed = route_ ? route_->needs_token : socket;
  if (token_needed && !front_.rules.token_allowed(head)) return ++front_.stats.refused_token, 401;
  if (socket) return head.method == "GET" ? 0 : 405;
  if (!route_) return allow_.empty() ? 404 : 405;
  if (head.header("expect").size() && !head.expects_continue) return 417;
  bool sends = head.method == "POST" || head.method == "PUT" || head.method == "PATCH";
  if (sends && route_->max_body > 0 && !head.has_length && !head.chunked) return 411;
  return 0;
}

void HttpConnection::on_head() {
  const RequestHead& head = parser_.head();
  ++front_.stats.requests;
  close_after_ = close_after_ || !head.keep_alive || front_.stopping;
  double wait = front_.limiter.take(wire_->peer_address(), Clock::now());
  if (wait > 0.0) {
    ++front_.stats.refused_rate;
    return refuse(429, {{"Retry-After", std::to_string(static_cast<int>(std::ceil(wait)))}});
  }
  if (int status = refusal_of_head(); status != 0) {
    HeaderList headers;
    if (status == 405) headers.emplace_back("Allow", allow_);
    if (status == 401) headers.emplace_back("WWW-Authenticate", "Bearer");
    return refuse(status, std::move(headers));
  }
  if (preflight() || try_upgrade()) return;
  parser_.take_body(route_->max_body);
  if (parser_.state() != HttpParser::State::kBody) return;
  enter(Phase::kBody, front_.options.body_seconds);
  if (head.expects_continue && input_.empty()) wire_->write("HTTP/1.1 100 Continue\r\n\r\n");
}

// What is wrong with an upgrade, 0 for nothing.
int HttpConnection::upgrade_refusal(const std::string& protocol) {
  const RequestHead& head = parser_.head();
  if (!list_has(head.list("upgrade"), "websocket") ||
      !list_has(head.list("connection"), "upgrade") ||
      head.header("sec-websocket-version") != "13") {
    return 426;
  }
  bool keyed = is_websocket_key(head.list("sec-websocket-key"));
  bool offered = list_has(head.list("sec-websocket-protocol"), protocol);
  return keyed && offered && !head.has_body() && head.minor_version == 1 ? 0 : 400;
}

// True when the path is a WebSocket's: from here on it has the wire, or the request is refused.
bool HttpConnection::try_upgrade() {
  auto found = front_.websockets.find(parser_.head().target.path);
  if (found == front_.websockets.end()) return false;
  const WebSocketRoute& socket = found->second;
  int status = upgrade_refusal(socket.protocol);
  std::shared_ptr<WebSocketHandler> handler;
  if (status == 0) {
    handler = socket.make(take_request());
    if (!handler) status = 503;
  }
  if (status != 0) {
    HeaderList headers;
    if (status == 426) headers = {{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}};
    if (status == 503) headers = {{"Retry-After", "1"}};
    refuse(status, std::move(headers));
    return true;
  }
  tell_access(101);
  phase_ = Phase::kOver;
  auto upgraded = std::make_shared<WsConnection>(front_, wire_, std::move(handler));
  wire_->set_user(upgraded);
  upgraded->open(std::string(parser_.head().header("sec-websocket-key")), socket.protocol,
                 std::exchange(input_, {}));
  return true;
}

// OPTIONS, which no route takes: a browser asks whether an allowed origin may send a request.
bool HttpConnection::preflight() {
  const RequestHead& head = parser_.head();
  if (head.method != "OPTIONS" || route_) return false;
  HeaderList headers = {{"Allow", allow_}};
  if (!head.header("origin").empty()) {
    headers.emplace_back("Access-Control-Allow-Methods", allow_);
    headers.emplace_back("Access-Control-Allow-Headers",
                         "authorization, content-type, range, if-none-match, if-range");
    headers.emplace_back("Access-Control-Max-Age", "600");
    if (head.header("access-control-request-private-network") == "true") {
      headers.emplace_back("Access-Control-Allow-Private-Network", "true");
    }
  }
  close_after_ |= head.has_body();
  phase_ = Phase::kAnswer;
  ++request_;
  respond(request_, 204, headers, {});
  return true;
}

void HttpConnection::on_request() {
  enter(Phase::kAnswer, kNever);
  uint64_t number = ++request_;
  HttpRequest request = take_request();
  auto route = route_;
  auto responder = std::make_shared<Responder>(shared_from_this(), number, front_.post);
  try {
    route->handle(request, responder);
  } catch (const std::exception&) {
    abandoned(number);
  }
}

void HttpConnection::abandoned(uint64_t request) {
  if (!answering(request)) return;
  if (begun_) return wire_->abort();  // the peer must not take a part for the whole
  respond(request, 500, {{"Content-Type", "application/json"}}, refusal_body(500));
}

HeaderList HttpConnection::answer_headers(int status, const HeaderList& given) const {
  HeaderList headers = {{"Date", http_date(std::time(nullptr))},
                        {"X-Content-Type-Options", "nosniff"},
                        {"Referrer-Policy", "no-referrer"},
                        {"Cross-Origin-Resource-Policy", "same-origin"}};
  headers.insert(headers.end(), given.begin(), given.end());
  if (!find_header(given, "Cache-Control")) headers.emplace_back("Cache-Control", "no-store");
  if (!find_header(given, "Content-Security-Policy")) {
    headers.emplace_back("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  }
  bool parsed = parser_.state() != HttpParser::State::kFailed;
  std::string_view origin = parsed ? parser_.head().header("origin") : std::string_view();
  if (!origin.empty() && front_.rules.origin_allowed(origin, wire_->local_address())) {
    headers.emplace_back("Access-Control-Allow-Origin", origin);
    headers.emplace_back("Access-Control-Expose-Headers", "ETag, Content-Range, Retry-After");
    headers.emplace_back("Vary", "Origin");
  }
  if (close_after_ && status >= 200) {
    headers.emplace_back("Connection", "close");
  } else if (parsed && parser_.head().minor_version == 0) {
    headers.emplace_back("Connection", "keep-alive");
  }
  return headers;
}

void HttpConnection::tell_access(int status) const {
  if (!front_.options.on_access) return;
  HttpAccess access;
  access.peer = wire_->peer();
  access.method = parser_.head().method;
  access.path = parser_.head().target.path;
  access.status = status;
  access.seconds = std::chrono::duration<double>(Clock::now() - head_began_).count();
  front_.options.on_access(access);
}

std::string HttpConnection::begin_head(int status, const HeaderList& headers) {
  begun_ = true;
  tell_access(status);
  return head_text(status, answer_headers(status, headers));
}

void HttpConnection::respond(uint64_t request, int status, const HeaderList& headers,
                             std::string body) {
  if (!answering(request) || begun_) return;
  auto keep = shared_from_this();
  HeaderList all = headers;
  std::erase_if(all, [](const auto& field) {
    return equals_ignoring_case(field.first, "Content-Length") ||
           equals_ignoring_case(field.first, "Transfer-Encoding");
  });
  if (!has_no_body(status)) all.emplace_back("Content-Length", std::to_string(body.size()));
  std::string text = begin_head(status, all);
  if (!has_no_body(status) && parser_.head().method != "HEAD") text += body;
  wire_->write(std::move(text));
  finish_answer();
}

void HttpConnection::begin(uint64_t request, int status, const HeaderList& headers) {
  if (!answering(request) || begun_) return;
  const std::string* length = find_header(headers, "Content-Length");
  HeaderList all = headers;
  counted_ = length != nullptr;
  if (counted_) left_ = std::strtoull(length->c_str(), nullptr, 10);
  bool bodyless = has_no_body(status) || parser_.head().method == "HEAD";
  if (bodyless) counted_ = true, left_ = 0;
  if (!length && !has_no_body(status)) {
    chunked_ = parser_.head().minor_version == 1;
    if (chunked_) all.emplace_back("Transfer-Encoding", "chunked");
    close_after_ |= !chunked_;  // the end of the connection ends the body
  }
  wire_->write(begin_head(status, all));
  if (bodyless) chunked_ = false;
}

void HttpConnection::write_part(uint64_t request, std::string part) {
  if (!answering(request) || !begun_ || part.empty()) return;
  auto keep = shared_from_this();
  if (wire_->unsent() > front_.options.max_unsent) {
    ++front_.stats.slow_readers;
    return wire_->abort();
  }
  if (counted_) {
    if (left_ == 0) return;  // HEAD, or more than was told
    if (part.size() > left_) part.resize(static_cast<size_t>(left_));
    left_ -= part.size();
  }
  if (chunked_) part = hex(part.size()) + "\r\n" + part + "\r\n";
  wire_->write(std::move(part));
  above_low_ |= wire_->unsent() > low_water(front_.options.max_unsent);
}

void HttpConnection::end(uint64_t request) {
  if (!answering(request)) return;
  auto keep = shared_from_this();
  if (!begun_ || (counted_ && left_ > 0)) return wire_->abort();
  if (chunked_) wire_->write("0\r\n\r\n");
  finish_answer();
}

void HttpConnection::finish_answer() {
  on_close_ = nullptr;
  on_drained_ = nullptr;
  begun_ = chunked_ = counted_ = above_low_ = false;
  route_ = nullptr;
  if (close_after_) {
    phase_ = Phase::kOver;
    return wire_->finish();
  }
  parser_.reset();
  enter(Phase::kIdle, front_.options.idle_seconds);
  if (processing_) return;
  process();
  if (phase_ != Phase::kOver) wire_->pause(!input_.empty() && phase_ != Phase::kAnswer);
}

void HttpConnection::set_on_close(uint64_t request, std::function<void()> closed) {
  if (answering(request)) on_close_ = std::move(closed);
}

void HttpConnection::set_on_drained(uint64_t request, std::function<void()> drained) {
  if (answering(request)) on_drained_ = std::move(drained);
}

}  // namespace lamina::daemon
