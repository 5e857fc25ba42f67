// SPDX-License-Identifier: Apache-2.0
// The upgrade, its refusals, times and back-pressure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>

#include "native/daemon/rate_limit.h"
#include "tests/daemon/ws_client.h"

namespace lamina::daemon {
namespace {

// Does what the test says, on the event loop's thread.
class Scripted : public WebSocketHandler {
 public:
  using Peer = std::shared_ptr<WebSocketPeer>;
  std::function<void(Peer)> on_opened = [](Peer) {};
  std::function<void(Peer, std::string)> on_message = [](Peer, std::string) {};
  std::function<void(Peer)> on_drained = [](Peer) {};
  std::promise<void> was_closed;

  void opened(Peer peer) override { on_opened(peer_ = std::move(peer)); }
  void message(std::string text) override { on_message(peer_, std::move(text)); }
  void drained() override { on_drained(peer_); }
  void closed() override { was_closed.set_value(); }  // throws when told twice

 private:
  Peer peer_;
};

struct ScriptedServer : LiveServer {
  explicit ScriptedServer(NetOptions options = {}) : LiveServer(options) {
    (*this)->add_websocket("/ws", "lamina.v1", [this](const HttpRequest&) { return handler; });
    start();
  }
  bool closed() {
    return handler->was_closed.get_future().wait_for(std::chrono::seconds(10)) ==
           std::future_status::ready;
  }
  std::shared_ptr<Scripted> handler = std::make_shared<Scripted>();
};

TEST(WebSocket, Upgrades) {
  ScriptedServer server;
  WsClient client(server);
  EXPECT_EQ(client.answer().status, 101);
  EXPECT_EQ(client.answer().header("Sec-WebSocket-Accept"),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");  // RFC 6455, 1.3
  EXPECT_EQ(client.answer().header("Sec-WebSocket-Protocol"), "lamina.v1");
  EXPECT_EQ(client.answer().header("Sec-WebSocket-Extensions"), "");
  EXPECT_EQ(server.stats().websockets, 1u);
  client.send(close_text(1000));
  EXPECT_EQ(client.receive().close_code(), 1000);
  EXPECT_TRUE(server.closed());
  EXPECT_EQ(server.stats().websockets, 0u);
}

TEST(WebSocket, TakesFramesThatCameWithTheUpgrade) {
  ScriptedServer server;
  server.handler->on_message = [](auto peer, std::string text) { peer->send("got " + text); };
  RawSocket socket = server.connect();
  socket.send(server.request("GET /ws", kUpgradeHeaders) + frame_text(kText, "early"));
  read_answer(socket, false);
  EXPECT_EQ(socket.take(11).substr(2), "got early");
}

std::string without(std::string headers, const std::string& line) {
  size_t at = headers.find(line);
  EXPECT_NE(at, std::string::npos);
  return headers.erase(at, headers.find("\r\n", at) + 2 - at);
}

TEST(WebSocket, RefusesBadUpgrades) {
  ScriptedServer server;
  const std::string good = kUpgradeHeaders;
  auto status = [&](const std::string& headers, const char* line = "GET /ws") {
    return server.ask(line, headers).status;
  };
  EXPECT_EQ(status(""), 426);
  EXPECT_EQ(status(without(good, "Upgrade: websocket")), 426);
  EXPECT_EQ(status(without(good, "Connection")), 426);
  EXPECT_EQ(status(without(good, "Sec-WebSocket-Version") + "Sec-WebSocket-Version: 8\r\n"), 426);
  EXPECT_EQ(status(without(good, "Sec-WebSocket-Key")), 400);
  EXPECT_EQ(status(without(good, "Sec-WebSocket-Key") + "Sec-WebSocket-Key: short\r\n"), 400);
  EXPECT_EQ(status(good + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400);
  EXPECT_EQ(status(without(good, "Sec-WebSocket-Protocol")), 400);
  EXPECT_EQ(
      status(without(good, "Sec-WebSocket-Protocol") + "Sec-WebSocket-Protocol: lamina.v2\r\n"),
      400);
  EXPECT_EQ(status(good + "Content-Length: 1\r\n"), 400);
  EXPECT_EQ(status(good + "Content-Length: 0\r\n", "POST /ws"), 405);
  EXPECT_EQ(status(good, "GET /other"), 404);
  EXPECT_EQ(server.stats().websockets, 0u);
}

TEST(WebSocket, RefusesOtherSites) {
  ScriptedServer server;
  for (const char* origin : {"https://evil.example", "null", "http://localhost"}) {
    EXPECT_EQ(
        server.ask("GET /ws", kUpgradeHeaders + ("Origin: " + std::string(origin)) + "\r\n").status,
        403);
  }
  RawSocket own = server.connect();
  own.send(
      server.request("GET /ws", kUpgradeHeaders + ("Origin: http://" + server.host()) + "\r\n"));
  EXPECT_EQ(read_answer(own, false).status, 101);
  RawSocket rebound = server.connect();
  rebound.send(std::string("GET /ws HTTP/1.1\r\nHost: evil.example\r\n") + kUpgradeHeaders +
               "\r\n");
  EXPECT_EQ(read_answer(rebound).status, 421);
  EXPECT_EQ(server.stats().refused_origin, 3u);
}

TEST(WebSocket, WantsTheToken) {
  NetOptions options;
  options.token = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
  ScriptedServer server(options);
  const std::string bare = without(kUpgradeHeaders, "Sec-WebSocket-Protocol");
  EXPECT_EQ(server.ask("GET /ws", kUpgradeHeaders).status, 401);
  EXPECT_EQ(server.ask("GET /ws?token=" + options.token, kUpgradeHeaders).status, 401);
  EXPECT_EQ(
      server.ask("GET /ws", bare + "Sec-WebSocket-Protocol: lamina.v1, bearer.wrong\r\n").status,
      401);
  for (const std::string& way :
       {"Sec-WebSocket-Protocol: lamina.v1, bearer." + options.token + "\r\n",
        "Sec-WebSocket-Protocol: lamina.v1\r\nAuthorization: Bearer " + options.token + "\r\n",
        "Sec-WebSocket-Protocol: lamina.v1\r\nSec-WebSocket-Protocol: bearer." + options.token +
            "\r\n"}) {
    RawSocket socket = server.connect();
    socket.send(server.request("GET /ws", bare + way));
    Answer answer = read_answer(socket, false);
    EXPECT_EQ(answer.status, 101);
    EXPECT_EQ(answer.header("Sec-WebSocket-Protocol"), "lamina.v1");  // never the token
    EXPECT_EQ(answer.head.find(options.token), std::string::npos);
    server.handler = std::make_shared<Scripted>();
  }
}

TEST(WebSocket, PingsAndGivesUp) {
  NetOptions options;
  options.idle_seconds = 0.6;
  ScriptedServer server(options);
  WsClient client(server);
  for (int i = 0; i < 6; ++i) {  // longer than idle_seconds in all
    Frame frame = client.receive();
    ASSERT_EQ(frame.opcode, kPing);
    client.send(frame_text(kPong, frame.payload));
  }
  while (client.receive().opcode == kPing) {
  }  // no answers any more
  EXPECT_TRUE(server.closed());
  EXPECT_EQ(server.stats().timeouts, 1u);
}

TEST(WebSocket, ASlowFrameIsNoSignOfLife) {
  NetOptions options;
  options.idle_seconds = 0.4;
  ScriptedServer server(options);
  WsClient client(server);
  std::string frame = frame_text(kText, std::string(1000, 'x'));
  auto begun = Clock::now();
  for (size_t i = 0; i < 200 && client.socket().send({&frame[i], 1}); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(server.closed());
  EXPECT_LT(Clock::now() - begun, std::chrono::seconds(10));
}

TEST(WebSocket, PausesAndGoesOnForASlowReader) {
  ScriptedServer server;
  std::atomic<int> sent = 0, drained = 0;
  auto fill = [&](Scripted::Peer peer) {
    for (; peer->unsent() <= (1 << 19) && sent < 200; ++sent) peer->send(std::string(1 << 16, 'x'));
  };
  server.handler->on_message = [&](Scripted::Peer peer, std::string) { fill(peer); };
  server.handler->on_drained = [&](Scripted::Peer peer) {
    ++drained;
    fill(peer);
  };
  WsClient client(server, 4096);
  client.text("go");
  for (int i = 0; i < 200; ++i) ASSERT_EQ(client.receive().payload.size(), size_t{1} << 16) << i;
  EXPECT_GT(drained, 2);
}

TEST(WebSocket, CutsOffWhoIsSentTooMuch) {
  ScriptedServer server;
  server.handler->on_message = [](Scripted::Peer peer, std::string) {
    for (int i = 0; i < 1000; ++i) peer->send(std::string(1 << 16, 'x'));
  };
  WsClient client(server, 4096);
  client.text("go");
  EXPECT_TRUE(server.closed());
  EXPECT_EQ(server.stats().slow_readers, 1u);
}

TEST(WebSocket, SlowsDownFloods) {
  NetOptions options;
  options.requests_per_second = 20;
  ScriptedServer server(options);
  std::atomic<int> heard = 0;
  server.handler->on_message = [&](Scripted::Peer, std::string) { ++heard; };
  WsClient client(server);
  std::string flood;
  for (int i = 0; i < 20000; ++i) flood += frame_text(kText, "x");
  std::thread sender([&] { client.send(flood); });
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LT(heard, 10000);
  EXPECT_GT(heard, 0);
  server.stop();
  sender.join();
}

// No rate stops these pings; what is unsent does, and then the time in which it must be taken.
TEST(WebSocket, PingsThatNobodyReadsTheAnswersOf) {
  NetOptions options;
  options.requests_per_second = 0;
  options.write_seconds = 0.3;
  ScriptedServer server(options);
  WsClient client(server, 4096);
  std::string flood;
  for (int i = 0; i < 1000; ++i) flood += frame_text(kPing, std::string(125, 'p'));
  const size_t before = resident_bytes();
  int sent = 0;
  while (sent < 2000 && client.socket().send(flood)) ++sent;
  EXPECT_LT(sent, 2000);
  EXPECT_TRUE(server.closed());
  EXPECT_EQ(server.stats().slow_readers, 1u);
  EXPECT_LT(resident_bytes(), before + (size_t{32} << 20));
}

TEST(WebSocket, IdleConnectionsAreCheap) {
  NetOptions options;
  options.requests_per_second = 0;
  LiveServer server(options);
  server->add_websocket("/ws", "lamina.v1",
                        [](const HttpRequest&) { return std::make_shared<Scripted>(); });
  server.start();
  { WsClient first(server); }
  size_t before = resident_bytes();
  std::vector<WsClient> clients;
  for (int i = 0; i < 200; ++i) clients.emplace_back(server);
  EXPECT_EQ(server.stats().websockets, 200u);
  size_t grown = resident_bytes() - before;
  RecordProperty("bytes_per_connection", static_cast<int>(grown / 200));
  EXPECT_LT(grown, size_t{20} << 20);
}

TEST(WebSocket, ClosesFromBothSides) {
  ScriptedServer server;
  server.handler->on_message = [](Scripted::Peer peer, std::string) {
    peer->close(4001, "done");
    peer->send("nothing after that");
    peer->close(4002, "again");
  };
  WsClient client(server);
  client.text("close");
  Frame frame = client.receive();
  EXPECT_EQ(frame.close_code(), 4001);
  EXPECT_EQ(frame.payload.substr(2), "done");
  client.send(close_text(4001));
  EXPECT_TRUE(client.socket().ended());
  EXPECT_TRUE(server.closed());
}

TEST(WebSocket, AHandlerThatThrowsLosesOnlyItsConnection) {
  ScriptedServer server;
  server.handler->on_message = [](Scripted::Peer, std::string) { throw std::bad_alloc(); };
  WsClient client(server);
  client.text("x");
  EXPECT_EQ(client.refusal(), 1011);
  EXPECT_TRUE(server.closed());
}

TEST(WebSocket, TellsThatTheServerStops) {
  ScriptedServer server;
  WsClient client(server);
  std::thread stopping([&] { server.stop(10.0); });
  EXPECT_EQ(client.refusal(), 1001);
  stopping.join();
  EXPECT_TRUE(server.closed());
}

// Stop, close by the peer and sends from a task at the same time: one closed(), no crash.
TEST(WebSocket, RacesToTheEnd) {
  for (int round = 0; round < 20; ++round) {
    Scripted::Peer kept;
    std::promise<void> opened;
    ScriptedServer server;  // ends first: what is posted behind its stop runs then
    server.handler->on_opened = [&](Scripted::Peer peer) {
      kept = peer;
      opened.set_value();
    };
    WsClient client(server);
    opened.get_future().wait();
    std::thread sending([&] {
      for (int i = 0; i < 100; ++i) server->post([&] { kept->send("x"); });
    });
    client.send(close_text(1000));
    server->post([&] { kept->close(1000, ""); });
    sending.join();
    server.stop(0.05);
    EXPECT_TRUE(server.closed());
  }
}

}  // namespace
}  // namespace lamina::daemon
