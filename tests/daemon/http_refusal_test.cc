// SPDX-License-Identifier: Apache-2.0
// What an attacker sees: other sites, other names, no token, floods, slowness.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "native/daemon/rate_limit.h"
#include "tests/daemon/http_client.h"

namespace lamina::daemon {
namespace {

struct GuardedServer : LiveServer {
  explicit GuardedServer(NetOptions options = {}) : LiveServer(options) {
    Route api;
    api.method = "GET";
    api.path = "/api";
    api.handle = [](const HttpRequest&, auto responder) { responder->respond(200, {}, "secret"); };
    (*this)->add(api);
    Route post = api;
    post.method = "POST";
    post.max_body = 1 << 20;
    (*this)->add(post);
    Route health = api;
    health.path = "/health";
    health.needs_token = health.needs_origin = false;
    (*this)->add(health);
    Route endless = api;
    endless.path = "/endless";
    endless.handle = [](const HttpRequest&, auto responder) {
      responder->begin(200, {});
      auto* raw = responder.get();
      auto fill = [raw] {
        while (raw->connected() && raw->unsent() <= (1 << 19))
          raw->write(std::string(1 << 16, 'x'));
      };
      responder->on_drained([fill, responder] { fill(); });
      fill();
    };
    (*this)->add(endless);
    start();
  }
};

NetOptions with_token() {
  NetOptions options;
  options.token = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
  return options;
}

int status_for_host(const LiveServer& server, const std::string& host) {
  RawSocket socket = server.connect();
  socket.send("GET /api HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
  return read_answer(socket).status;
}

TEST(HttpRefusal, OtherHosts) {
  NetOptions options;
  options.allowed_hosts = {"Box.lan", "proxy.example:443"};
  GuardedServer server(options);
  std::string port = ":" + std::to_string(server.port());
  for (const std::string& good :
       std::vector<std::string>{"localhost", "127.0.0.1", "[::1]", "LOCALHOST", "box.lan"}) {
    EXPECT_EQ(status_for_host(server, good + port), 200) << good;
  }
  EXPECT_EQ(status_for_host(server, "proxy.example:443"), 200);
  for (const std::string& bad : std::vector<std::string>{
           "evil.example" + port, std::string("localhost"), std::string("localhost:1"),
           "localhost.evil.example" + port, "127.0.0.1.evil.example" + port, "localhost." + port,
           "0.0.0.0" + port, "proxy.example" + port}) {
    EXPECT_EQ(status_for_host(server, bad), 421) << bad;
  }
  EXPECT_EQ(server.stats().refused_host, 8u);
}

TEST(HttpRefusal, OtherOrigins) {
  NetOptions options;
  options.allowed_origins = {"https://app.example/"};
  GuardedServer server(options);
  auto ask = [&](const std::string& origin, const std::string& more = "") {
    return server.ask("GET /api", "Origin: " + origin + "\r\n" + more);
  };
  Answer own = ask("http://" + server.host());
  EXPECT_EQ(own.status, 200);
  EXPECT_EQ(own.header("Access-Control-Allow-Origin"), "http://" + server.host());
  EXPECT_EQ(ask("https://app.example").header("Access-Control-Allow-Origin"),
            "https://app.example");
  for (const std::string& bad : std::vector<std::string>{
           "null", "", "https://evil.example", "http://localhost", "https://" + server.host(),
           "http://" + server.host() + ".evil.example", "http://localhost:1",
           "https://app.example.evil", "http://app.example", "file://",
           "http://u@localhost:" + std::to_string(server.port())}) {
    Answer answer = ask(bad);
    EXPECT_EQ(answer.status, 403) << bad;
    EXPECT_EQ(answer.header("Access-Control-Allow-Origin"), "") << bad;
    EXPECT_THAT(answer.body, testing::Not(testing::HasSubstr("secret")));
  }
  EXPECT_EQ(ask("https://app.example", "Origin: https://evil.example\r\n").status, 403);
  EXPECT_EQ(server.ask("GET /nothing", "Origin: https://evil.example\r\n").status, 403);
  EXPECT_EQ(server.ask("GET /health", "Origin: https://evil.example\r\n").status, 200);
  // An image on another site's page sends no Origin.
  EXPECT_EQ(
      server.ask("GET /api", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n").status,
      403);
  EXPECT_EQ(server.ask("GET /api", "Sec-Fetch-Site: same-origin\r\n").status, 200);
}

TEST(HttpRefusal, PreflightsOfOtherOrigins) {
  NetOptions options = with_token();
  options.allowed_origins = {"https://app.example"};
  GuardedServer server(options);
  std::string wish = "Access-Control-Request-Method: POST\r\n";
  Answer good = server.ask("OPTIONS /api", "Origin: https://app.example\r\n" + wish);
  EXPECT_EQ(good.status, 204);
  EXPECT_EQ(good.header("Access-Control-Allow-Origin"), "https://app.example");
  EXPECT_THAT(good.header("Access-Control-Allow-Headers"), testing::HasSubstr("authorization"));
  EXPECT_EQ(server.ask("OPTIONS /api", "Origin: https://evil.example\r\n" + wish).status, 403);
}

TEST(HttpRefusal, WrongTokens) {
  NetOptions options = with_token();
  GuardedServer server(options);
  EXPECT_EQ(server.ask("GET /api", "Authorization: Bearer " + options.token + "\r\n").body,
            "secret");
  EXPECT_EQ(server.ask("GET /api", "authorization: bearer " + options.token + "\r\n").status, 200);
  EXPECT_EQ(server.ask("GET /health").status, 200);
  for (const std::string& bad : std::vector<std::string>{
           std::string(), "Bearer ", std::string("Bearer x"), "Bearer " + options.token + "x",
           "Basic " + options.token, "Bearer " + options.token.substr(1), options.token}) {
    Answer answer = server.ask("GET /api", "Authorization: " + bad + "\r\n");
    EXPECT_EQ(answer.status, 401) << bad;
    EXPECT_EQ(answer.header("WWW-Authenticate"), "Bearer");
  }
  EXPECT_EQ(server.ask("GET /api?token=" + options.token).status, 401);
  EXPECT_EQ(server.ask("GET /api").body,
            server.ask("GET /api", "Authorization: Bearer x\r\n").body);
}

TEST(HttpRefusal, Floods) {
  NetOptions options;
  options.requests_per_second = 5;
  GuardedServer server(options);
  RawSocket socket = server.connect();
  int refused = 0;
  std::string wait;
  for (int i = 0; i < 20; ++i) {
    socket.send(server.request("GET /api"));
    Answer answer = read_answer(socket);
    if (answer.status != 429) continue;
    ++refused;
    wait = answer.header("Retry-After");
  }
  EXPECT_GE(refused, 5);
  EXPECT_LE(refused, 10);
  EXPECT_EQ(wait, "1");
}

TEST(HttpRefusal, SmuggledRequests) {
  GuardedServer server;
  for (const std::string& framing : std::vector<std::string>{
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
           "Content-Length: 0\r\nContent-Length: 40\r\n", "Content-Length: 4\n\n"}) {
    RawSocket socket = server.connect();
    socket.send(server.request(
        "POST /api", framing, "0\r\n\r\nGET /api HTTP/1.1\r\nHost: " + server.host() + "\r\n\r\n"));
    std::string all = socket.take_rest();
    EXPECT_THAT(all, testing::StartsWith("HTTP/1.1 400 ")) << framing;
    EXPECT_THAT(all, testing::Not(testing::HasSubstr("secret"))) << framing;
    EXPECT_EQ(all.find("HTTP/1.1", 10), std::string::npos) << framing;
  }
}

// A refused request whose body is still to come ends the connection, and its answer arrives.
TEST(HttpRefusal, BodiesOfRefusedRequests) {
  GuardedServer server(with_token());
  RawSocket socket = server.connect();
  std::string body = server.request("GET /health");
  socket.send(
      server.request("POST /api", "Content-Length: " + std::to_string(body.size()) + "\r\n", body));
  std::string all = socket.take_rest();
  EXPECT_THAT(all, testing::StartsWith("HTTP/1.1 401 "));
  EXPECT_EQ(all.find("HTTP/1.1", 10), std::string::npos);
}

TEST(HttpRefusal, SlowHeadsAndBodies) {
  NetOptions options;
  options.handshake_seconds = options.body_seconds = 0.3;
  options.idle_seconds = 0.3;
  GuardedServer server(options);
  RawSocket silent = server.connect(), head = server.connect(), body = server.connect(),
            second = server.connect(), other = server.connect();
  head.send("GET /api HTTP/1.1\r\nHost:");
  body.send(server.request("POST /api", "Content-Length: 10\r\n", "1"));
  second.send(server.request("GET /api"));
  EXPECT_EQ(read_answer(second).status, 200);
  second.send("GET /a");
  EXPECT_EQ(server.ask("GET /api").body, "secret");  // nobody else waits for them
  for (int i = 0; i < 10; ++i) {                     // a byte now and then is no progress
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    head.send("a");
    body.send("a");
  }
  EXPECT_EQ(read_answer(head).status, 408);
  EXPECT_EQ(read_answer(second).status, 408);
  EXPECT_TRUE(silent.ended(2));
  EXPECT_TRUE(head.ended(5));
  EXPECT_GE(server.stats().timeouts, 3u);
}

TEST(HttpRefusal, HeadsMayNotTakeLongByDefault) {
  EXPECT_LE(NetOptions().handshake_seconds, 5.0);
  static_assert(Clock::is_steady, "a clock that is set ends no connection");
}

TEST(HttpRefusal, HeadsWithoutEnd) {
  GuardedServer server;
  std::string many;
  for (int i = 0; i < 10000; ++i) many += "X-" + std::to_string(i) + ": 1\r\n";
  for (const std::string& fields : {many, "X: " + std::string(1 << 20, 'x')}) {
    RawSocket socket = server.connect();
    socket.send(server.request("GET /api", fields + "\r\n"));
    std::string all = socket.take_rest();
    EXPECT_THAT(all, testing::StartsWith("HTTP/1.1 431 "));
    EXPECT_THAT(all, testing::HasSubstr("Connection: close"));
    EXPECT_EQ(all.find("HTTP/1.1", 10), std::string::npos);
  }
  EXPECT_EQ(server.stats().malformed, 2u);
}

TEST(HttpRefusal, IdleConnectionsEnd) {
  NetOptions options;
  options.idle_seconds = 0.2;
  GuardedServer server(options);
  RawSocket socket = server.connect();
  socket.send(server.request("GET /api"));
  EXPECT_EQ(read_answer(socket).status, 200);
  EXPECT_TRUE(socket.ended(5));
}

TEST(HttpRefusal, SlowReaders) {
  NetOptions options;
  options.write_seconds = 0.3;
  GuardedServer server(options);
  RawSocket socket = server.connect(4096);
  socket.send(server.request("GET /endless"));
  ASSERT_TRUE(socket.receive());
  for (int i = 0; i < 200 && server.stats().slow_readers == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(server.stats().slow_readers, 1u);
  EXPECT_EQ(server.ask("GET /api").status, 200);
}

TEST(HttpRefusal, WritersWhoIgnoreTheLimitAreCut) {
  LiveServer server;
  std::promise<bool> cut;
  Route route;
  route.method = "GET";
  route.path = "/flood";
  route.handle = [&](const HttpRequest&, auto responder) {
    responder->on_close([&] { cut.set_value(true); });
    responder->begin(200, {});
    for (int i = 0; i < 1000; ++i) responder->write(std::string(1 << 16, 'x'));
  };
  server->add(route);
  server.start();
  RawSocket socket = server.connect(4096);
  socket.send(server.request("GET /flood"));
  EXPECT_EQ(cut.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

TEST(HttpRefusal, TooManyConnections) {
  NetOptions options;
  options.max_connections = 20;
  GuardedServer server(options);
  std::vector<RawSocket> sockets;
  for (int i = 0; i < 60; ++i) sockets.push_back(server.connect());
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));
  EXPECT_LE(server.stats().connections, 20u);
  EXPECT_GE(server.stats().refused_full, 40u);
  // Who has said nothing for a while makes room for who asks.
  EXPECT_EQ(server.ask("GET /api").body, "secret");
}

// Answers under way take all the room.
TEST(HttpRefusal, SaysThatThereIsNoRoom) {
  NetOptions options;
  options.max_connections = 2;
  options.requests_per_second = 0;
  GuardedServer server(options);
  {
    RawSocket first = server.connect(4096), second = server.connect(4096);
    for (RawSocket* busy : {&first, &second}) {
      busy->send(server.request("GET /endless"));
      ASSERT_TRUE(busy->receive());
    }
    RawSocket third = server.connect();
    third.send(server.request("GET /api"));
    Answer answer = read_answer(third);
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.header("Retry-After"), "1");
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_THAT(answer.body, testing::HasSubstr("\"overloaded\""));
    EXPECT_TRUE(third.ended());
    std::vector<RawSocket> more;  // who stays is not waited for, and most are still told
    for (int i = 0; i < 100; ++i) more.push_back(server.connect());
    int told = 0;
    for (RawSocket& socket : more) told += socket.take_rest().starts_with("HTTP/1.1 503 ");
    EXPECT_GE(told, 60);
    EXPECT_EQ(server.stats().connections, 2u);
    EXPECT_EQ(server.stats().refused_full, 101u);
  }
  for (int i = 0; i < 500 && server.stats().connections > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(server.ask("GET /api").body, "secret");
}

// An address that has its share pushes out its own, not others', who came by another address.
TEST(HttpRefusal, OneAddressDoesNotPushOutOthers) {
  NetOptions options;
  options.max_connections = 3;
  options.max_connections_per_address = 2;
  GuardedServer server(options);
  RawSocket other(server.port(), 0, "127.0.0.2"), first = server.connect();
  RawSocket second = server.connect();
  while (server.stats().connections < 3) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // all may be pushed out now
  for (int i = 0; i < 4; ++i) server.connect();
  other.send(server.request("GET /api"));
  EXPECT_EQ(read_answer(other).body, "secret");
}

TEST(HttpRefusal, IdleConnectionsAreCheap) {
  NetOptions options;
  options.max_connections_per_address = 512;
  GuardedServer server(options);
  server.ask("GET /api");
  size_t before = resident_bytes();
  std::vector<RawSocket> sockets;
  for (int i = 0; i < 200; ++i) sockets.push_back(server.connect());
  for (auto& socket : sockets) {
    socket.send("GET /api HTTP/1.1\r\n");
  }
  while (server.stats().connections < 200) std::this_thread::yield();
  size_t grown = resident_bytes() - before;
  RecordProperty("bytes_per_connection", static_cast<int>(grown / 200));
  EXPECT_LT(grown, size_t{20} << 20);
}

TEST(HttpRefusal, RateIsPerAddressAndBounded) {
  RateLimiter limiter(1.0);
  Clock::time_point now = Clock::now();
  EXPECT_EQ(limiter.take("1.2.3.4", now), 0.0);
  EXPECT_EQ(limiter.take("1.2.3.4", now), 0.0);
  EXPECT_GT(limiter.take("1.2.3.4", now), 0.5);
  EXPECT_EQ(limiter.take("1.2.3.5", now), 0.0);
  EXPECT_EQ(limiter.take("1.2.3.4", now + std::chrono::seconds(1)), 0.0);
  for (int i = 0; i < 20000; ++i) limiter.take("10." + std::to_string(i), now);
  EXPECT_LE(limiter.addresses(), RateLimiter::kMaxAddresses + 1);
  limiter.take("fresh", now + std::chrono::seconds(10));
  EXPECT_LE(limiter.addresses(), 2u);
  EXPECT_EQ(rate_key("2001:db8::1"), rate_key("2001:db8::ffff:1"));
  EXPECT_NE(rate_key("2001:db8::1"), rate_key("2001:db8:0:1::1"));
  EXPECT_EQ(rate_key("::ffff:1.2.3.4"), "1.2.3.4");
}

}  // namespace
}  // namespace lamina::daemon
