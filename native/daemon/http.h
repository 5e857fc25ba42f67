// SPDX-License-Identifier: Apache-2.0
// What the network front hands to handlers and takes from them. Everything here happens on the
// event loop's thread; post() is the only way in from another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.h"

namespace lamina::daemon {

struct HttpRequest {
  std::string method;  // "GET" "HEAD" "POST" ...; already one that the route takes
  std::string path;    // decoded, normalised, without the query; begins with '/'
  std::string query;   // raw, without '?'
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case, values trimmed
  std::string body;                                          // whole, within the route's limit
  std::string peer;                                          // "127.0.0.1:51324"
  bool tls = false;

  std::string_view header(std::string_view lower_case_name) const;  // empty where absent
};

// Bytes that an answer in parts may leave unsent and still write on without thought for memory.
constexpr size_t low_water(size_t max_unsent) {
  return max_unsent / 2 < (size_t{128} << 10) ? max_unsent / 2 : size_t{128} << 10;
}

// One answer. Exactly one of respond(), or begin() with write()s and end(). Calls are made on the
// event loop's thread; the last reference may be dropped on any. Dropped without an answer, it
// answers 500. Calls after the peer has gone do nothing.
class HttpResponder {
 public:
  virtual ~HttpResponder() = default;
  using Headers = std::vector<std::pair<std::string, std::string>>;

  virtual void respond(int status, const Headers& headers, std::string body) = 0;

  // A body in parts: chunked, e.g. server-sent events, or of the length that a Content-Length among
  // the headers tells.
  virtual void begin(int status, const Headers& headers) = 0;
  virtual void write(std::string part) = 0;
  virtual void end() = 0;

  virtual size_t unsent() const = 0;  // bytes written and not taken by the network
  virtual bool connected() const = 0;
  virtual void on_close(std::function<void()> closed) = 0;  // the peer went away before the end
  // unsent() was above low_water(max_unsent) and has fallen to it: who paused writes on.
  virtual void on_drained(std::function<void()> drained) = 0;
};

// One WebSocket connection, from the point of view of who speaks on it.
class WebSocketPeer {
 public:
  virtual ~WebSocketPeer() = default;
  virtual void send(std::string text) = 0;
  virtual size_t unsent() const = 0;
  virtual void close(uint16_t code, std::string_view reason) = 0;
};

class WebSocketHandler {
 public:
  virtual ~WebSocketHandler() = default;
  virtual void opened(std::shared_ptr<WebSocketPeer> peer) = 0;
  virtual void message(std::string text) = 0;
  virtual void drained() = 0;  // unsent() has fallen below half of the limit again
  virtual void closed() = 0;   // last call; also after close()
};

struct Route {
  std::string method;   // GET also takes HEAD
  std::string path;     // exact, or a prefix when it ends with "/*"
  size_t max_body = 0;  // bytes; 0: no body taken
  bool needs_token = true;
  bool needs_origin = true;  // Origin, where sent, must be allowed
  std::function<void(const HttpRequest&, std::shared_ptr<HttpResponder>)> handle;
};

// The event loop's clock and door.
class EventLoop {
 public:
  virtual ~EventLoop() = default;
  virtual void post(std::function<void()> task) = 0;  // from any thread
  virtual void after(double seconds, std::function<void()> task) = 0;
};

// One answered request, for logs and metrics. No query, no header: nothing in it is secret.
struct HttpAccess {
  std::string_view peer, method, path;  // path as far as it was understood
  int status = 0;
  double seconds = 0.0;  // from the head's first byte to the head of the answer
};

struct NetStats {
  uint64_t connections = 0, websockets = 0;  // open now
  uint64_t accepted = 0, requests = 0;       // since the start, like all below
  uint64_t refused_host = 0, refused_origin = 0, refused_token = 0, refused_rate = 0;
  uint64_t refused_full = 0;  // connections beyond the caps
  uint64_t malformed = 0, timeouts = 0, slow_readers = 0;
};

struct NetOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8484;                      // 0: any
  std::string tls_certificate, tls_key;      // PEM files; both or neither
  std::vector<std::string> allowed_origins;  // beside the bound address and loopback names
  std::vector<std::string> allowed_hosts;    // likewise, "name" or "name:port"
  std::string token;                         // empty: none is asked for (--insecure-no-auth)
  size_t max_connections = 512;
  size_t max_connections_per_address = 256;
  size_t max_unsent = size_t{1} << 20;  // of one connection; who writes more is cut off
  size_t max_frame = size_t{1} << 20;   // of a WebSocket message
  double handshake_seconds = 5.0;       // TLS and a request's head
  double body_seconds = 60.0;           // a request's body
  double idle_seconds = 120.0;          // between requests; a WebSocket that answers no ping
  double write_seconds = 30.0;          // in which a peer must take 4 KiB, or what there is
  double requests_per_second = 50.0;    // of one address, with a burst of twice as many; 0: any
  std::function<void(const HttpAccess&)> on_access;  // on the event loop's thread
};

// Listens, parses, checks Host, Origin and token, answers from the routes. run() returns after
// stop(). add() and add_websocket() come before run() or on the event loop's thread; stop() from
// any thread.
class HttpServer : public EventLoop {
 public:
  // Listens; nothing is accepted before run(). REQUIRES: check_exposure() (auth.h) found no fault.
  static Result<std::unique_ptr<HttpServer>> create(const NetOptions& options);

  virtual void add(Route route) = 0;
  // The protocol to choose must be offered by the client. `make` gets the upgrade request.
  virtual void add_websocket(
      const std::string& path, const std::string& protocol,
      std::function<std::shared_ptr<WebSocketHandler>(const HttpRequest&)> make) = 0;
  virtual uint16_t port() const = 0;   // that it listens on
  virtual NetStats stats() const = 0;  // on the event loop's thread
  virtual void run() = 0;
  // Runs `task`, which may wait for a disk, on one of the few threads that are kept for that, and
  // then `then` on the event loop's. Neither runs when the server ends first. False: too many wait
  // already.
  virtual bool offload(std::function<void()> task, std::function<void()> then) = 0;
  // Stops listening at once, closes WebSockets (1001) behind what they have been sent, and other
  // connections when their answers are written; what is left after `seconds` is cut.
  virtual void stop(double seconds) = 0;
};

}  // namespace lamina::daemon
