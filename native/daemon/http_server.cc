// SPDX-License-Identifier: Apache-2.0
// Accepts, keeps the table of connections, ticks their timers, stops.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>

#include "native/daemon/http.h"
#include "native/daemon/http_connection.h"
#include "native/daemon/http_front.h"
#include "native/daemon/http_stream.h"
#include "native/daemon/http_text.h"
#include "native/daemon/http_wire.h"
#include "native/daemon/tls.h"

namespace lamina::daemon {

namespace {

using asio::ip::tcp;

constexpr size_t kMostTurnedAway = 64;  // connections that are told so, at a time
constexpr size_t kHelpers = 2;          // threads that may wait for a disk
constexpr size_t kMostOffloaded = 1024;

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(std::min(seconds, 1e9) * 1000.0));
}

// As a Host header writes it, IPv4 plainly also when it came through an IPv6 socket.
std::string host_text(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  asio::ip::address_v6 v6 = address.to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string();
  v6.scope_id(0);
  return "[" + v6.to_string() + "]";
}

std::string bare(const std::string& host) {
  return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

class Server final : public HttpServer {
 public:
  explicit Server(const NetOptions& options)
      : io_(std::make_shared<asio::io_context>(1)), acceptor_(*io_), ticker_(*io_), ender_(*io_) {
    front_.options = options;
    front_.limiter = RateLimiter(options.requests_per_second);
    front_.post = [io = io_](std::function<void()> task) { asio::post(*io, std::move(task)); };
  }

  ~Server() override {
    closing_ = true;
    close_all();
    std::error_code ignored;
    acceptor_.close(ignored);
    helpers_ = nullptr;                                 // waits for what they are at
    for (const auto& timer : timers_) timer->cancel();  // their tasks may hold what holds the loop
    io_->restart();
    io_->poll();  // what was under way ends here, while its owners live
  }

  Result<void> listen();

  void post(std::function<void()> task) override { asio::post(*io_, std::move(task)); }
  void after(double seconds, std::function<void()> task) override;
  void add(Route route) override { front_.router.add(std::move(route)); }
  void add_websocket(
      const std::string& path, const std::string& protocol,
      std::function<std::shared_ptr<WebSocketHandler>(const HttpRequest&)> make) override {
    front_.websockets[path] = WebSocketRoute{protocol, std::move(make)};
  }
  uint16_t port() const override { return port_; }
  NetStats stats() const override { return front_.stats; }
  void run() override;
  bool offload(std::function<void()> task, std::function<void()> then) override;
  void stop(double seconds) override;

 private:
  void accept();
  void welcome(tcp::socket socket);
  bool make_room(const std::string& address);
  std::shared_ptr<Wire> make_wire(tcp::socket socket, const tcp::endpoint& local,
                                  const tcp::endpoint& remote);
  void turn_away(std::shared_ptr<Wire> wire);
  void begin_ticking();
  void on_tick();
  void begin_stop(double seconds);
  void end_if_empty();
  void close_all();
  std::vector<std::shared_ptr<Wire>> all() const {
    std::vector<std::shared_ptr<Wire>> out(wires_.begin(), wires_.end());
    out.insert(out.end(), turned_away_.begin(), turned_away_.end());
    return out;
  }

  std::shared_ptr<asio::io_context> io_;  // shared with responders, which may outlive the server
  std::unique_ptr<asio::ssl::context> tls_;
  tcp::acceptor acceptor_;
  asio::steady_timer ticker_, ender_;
  std::set<std::shared_ptr<Wire>> wires_, turned_away_;
  std::set<std::shared_ptr<asio::steady_timer>> timers_;  // of after()
  std::unique_ptr<asio::thread_pool> helpers_;            // from the first use on
  size_t offloaded_ = 0;
  bool closing_ = false;
  std::map<std::string, size_t> per_address_;
  Front front_;
  uint16_t port_ = 0;
  bool ticking_ = false, ended_ = false;
};

Error listen_error(const NetOptions& options, const std::error_code& error) {
  bool taken = error == asio::error::address_in_use;
  return make_error(
      Code::kIo, "listen on %s port %u: %s%s", quote(options.host).c_str(), options.port,
      error.message().c_str(),
      taken ? "; another daemon may run there: stop it, or choose another --port" : "");
}

Result<void> Server::listen() {
  NetOptions& options = front_.options;
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return make_error(Code::kInvalidArgument, "TLS needs both a certificate and its key");
  }
  if (!options.tls_certificate.empty()) {
    LAMINA_ASSIGN(tls_, tls_context(options.tls_certificate, options.tls_key));
  }
  std::error_code error;
  tcp::resolver resolver(*io_);
  auto found = resolver.resolve(bare(options.host), std::to_string(options.port),
                                tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty()) return listen_error(options, error);
  tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return listen_error(options, error);
  port_ = acceptor_.local_endpoint().port();
  front_.rules = AccessRules(options, port_);
  accept();
  return {};
}

void Server::after(double seconds, std::function<void()> task) {
  post([this, seconds, task = std::move(task)]() mutable {
    if (closing_) return;
    auto timer = std::make_shared<asio::steady_timer>(*io_, milliseconds(seconds));
    timers_.insert(timer);
    timer->async_wait([this, timer, task = std::move(task)](std::error_code error) {
      timers_.erase(timer);
      if (!error) task();
    });
  });
}

void Server::accept() {
  acceptor_.async_accept([this](std::error_code error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (!error) {
      welcome(std::move(socket));
    } else if (error != asio::error::connection_aborted) {  // no descriptors left, most likely
      return after(0.1, [this] {
        if (acceptor_.is_open()) accept();
      });
    }
    accept();
  });
}

// Closes the connection that has said nothing for longest, when there are too many.
bool Server::make_room(const std::string& address) {
  bool full = wires_.size() >= front_.options.max_connections;
  auto count = per_address_.find(address);
  bool crowded =
      count != per_address_.end() && count->second >= front_.options.max_connections_per_address;
  if (!full && !crowded) return true;
  ++front_.stats.refused_full;
  std::shared_ptr<Wire> oldest;
  Clock::time_point since, oldest_since = Clock::now() - std::chrono::seconds(1);
  for (const auto& wire : wires_) {
    bool candidate = !crowded || wire->peer_address() == address;
    if (!candidate || !wire->user() || !wire->user()->idle_since(since)) continue;
    if (since < oldest_since) oldest = wire, oldest_since = since;
  }
  if (!oldest) return false;
  oldest->abort();
  return true;
}

std::shared_ptr<Wire> Server::make_wire(tcp::socket socket, const tcp::endpoint& local,
                                        const tcp::endpoint& remote) {
  std::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  std::string host = host_text(remote.address());
  auto stream = tls_ ? tls_stream(std::move(socket), *tls_) : plain_stream(std::move(socket));
  return std::make_shared<Wire>(std::move(stream), host + ":" + std::to_string(remote.port()),
                                bare(host), host_text(local.address()),
                                front_.options.write_seconds);
}

// Told that there is no room, without being heard.
void Server::turn_away(std::shared_ptr<Wire> wire) {
  wire->on_closed = [this](Wire& closed) { turned_away_.erase(closed.shared_from_this()); };
  turned_away_.insert(wire);
  std::string body = refusal_body(503);
  wire->write(head_text(503, {{"Content-Type", "application/json"},
                              {"Content-Length", std::to_string(body.size())},
                              {"Cache-Control", "no-store"},
                              {"Retry-After", "1"},
                              {"Connection", "close"}}) +
              body);
  wire->finish();
  begin_ticking();
}

void Server::welcome(tcp::socket socket) {
  std::error_code error;
  tcp::endpoint remote = socket.remote_endpoint(error);
  if (error) return;
  tcp::endpoint local = socket.local_endpoint(error);
  if (error) return;
  ++front_.stats.accepted;
  std::string address = bare(host_text(remote.address()));
  bool room = make_room(address);
  if (!room && (tls_ || turned_away_.size() >= kMostTurnedAway)) return;  // closed unheard
  auto wire = make_wire(std::move(socket), local, remote);
  if (!room) return turn_away(std::move(wire));
  wire->on_closed = [this](Wire& closed) {
    if (closed.slow_reader()) ++front_.stats.slow_readers;
    auto count = per_address_.find(closed.peer_address());
    if (--count->second == 0) per_address_.erase(count);
    wires_.erase(closed.shared_from_this());
    front_.stats.connections = wires_.size();
    end_if_empty();
  };
  wires_.insert(wire);
  ++per_address_[address];
  front_.stats.connections = wires_.size();
  wire->start(std::make_shared<HttpConnection>(front_, wire));
  begin_ticking();
}

void Server::begin_ticking() {
  if (ticking_) return;
  ticking_ = true;
  const NetOptions& options = front_.options;
  double shortest = std::min({options.handshake_seconds, options.body_seconds, options.idle_seconds,
                              options.write_seconds});
  ticker_.expires_after(milliseconds(std::clamp(shortest / 8.0, 0.02, 0.5)));
  ticker_.async_wait([this](std::error_code error) {
    ticking_ = false;
    if (!error) on_tick();
  });
}

void Server::on_tick() {
  Clock::time_point now = Clock::now();
  for (const auto& wire : all()) wire->tick(now);
  if (!wires_.empty() || !turned_away_.empty()) begin_ticking();
}

bool Server::offload(std::function<void()> task, std::function<void()> then) {
  if (closing_ || offloaded_ >= kMostOffloaded) return false;
  if (!helpers_) helpers_ = std::make_unique<asio::thread_pool>(kHelpers);
  asio::post(*helpers_, [this, task = std::move(task), then = std::move(then)]() mutable {
    try {
      task();
    } catch (const std::exception&) {  // out of memory: `then` finds nothing done
    }
    asio::post(*io_, [this, then = std::move(then)] {
      --offloaded_;
      then();
    });
  });
  ++offloaded_;
  return true;
}

void Server::run() {
  auto work = asio::make_work_guard(*io_);
  while (!ended_) {
    try {
      io_->run();
    } catch (
        const std::exception&) {  // out of memory in a task: the task is lost, the loop goes on
      continue;
    }
  }
  close_all();
  io_->restart();
  io_->poll();  // the last closed() and on_close()
}

void Server::stop(double seconds) {
  post([this, seconds] { begin_stop(seconds); });
}

void Server::begin_stop(double seconds) {
  if (front_.stopping) return;
  front_.stopping = true;
  std::error_code ignored;
  acceptor_.close(ignored);
  for (const auto& wire : all()) {
    if (auto* user = wire->user(); user && !wire->finishing()) user->going_away();
  }
  ender_.expires_after(milliseconds(seconds));
  ender_.async_wait([this](std::error_code) { close_all(); });
  end_if_empty();
}

void Server::end_if_empty() {
  if (!front_.stopping || ended_ || !wires_.empty()) return;
  ended_ = true;
  io_->stop();
}

void Server::close_all() {
  for (const auto& wire : all()) wire->abort();
  end_if_empty();
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::create(const NetOptions& options) {
  auto server = std::make_unique<Server>(options);
  LAMINA_TRY(server->listen());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace lamina::daemon
