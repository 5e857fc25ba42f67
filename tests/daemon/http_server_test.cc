// SPDX-License-Identifier: Apache-2.0
// What a well-behaved client sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "tests/daemon/http_client.h"

namespace lamina::daemon {
namespace {

using testing::HasSubstr;

using Handle = std::function<void(const HttpRequest&, std::shared_ptr<HttpResponder>)>;

Route route(std::string method, std::string path, Handle handle, size_t max_body = 0) {
  Route out;
  out.method = std::move(method);
  out.path = std::move(path);
  out.max_body = max_body;
  out.handle = std::move(handle);
  return out;
}

void echo(const HttpRequest& request, std::shared_ptr<HttpResponder> responder) {
  responder->respond(
      200, {{"Content-Type", "text/plain"}},
      request.method + " " + request.path + " " + request.query + " " + request.body);
}

struct EchoServer : LiveServer {
  explicit EchoServer(NetOptions options = {}) : LiveServer(options) {
    (*this)->add(route("GET", "/echo", echo));
    (*this)->add(route("POST", "/echo", echo, 1000));
    (*this)->add(route("GET", "/tree/*", echo));
    start();
  }
};

TEST(HttpServer, AnswersRoutes) {
  EchoServer server;
  EXPECT_EQ(server.ask("GET /echo?a=b").body, "GET /echo a=b ");
  EXPECT_EQ(server.ask("GET /tree/a/b").body, "GET /tree/a/b  ");
  EXPECT_EQ(server.ask("POST /echo", "Content-Length: 2\r\n", "hi").body, "POST /echo  hi");
  EXPECT_EQ(server.ask("POST /echo", "Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n").body,
            "POST /echo  hi");
  Answer answer = server.ask("GET /echo");
  EXPECT_EQ(answer.header("Content-Length"), "11");
  EXPECT_THAT(answer.header("Date"), HasSubstr(" GMT"));
  EXPECT_EQ(answer.header("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(answer.header("Cache-Control"), "no-store");
  EXPECT_EQ(answer.header("Connection"), "");
}

TEST(HttpServer, AnswersHeadWithoutBody) {
  EchoServer server;
  RawSocket socket = server.connect();
  socket.send(server.request("HEAD /echo") + server.request("GET /echo"));
  Answer head = read_answer(socket, false);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("Content-Length"), "12");
  EXPECT_EQ(read_answer(socket).body, "GET /echo  ");
}

TEST(HttpServer, KnowsWhatIsNotThere) {
  EchoServer server;
  EXPECT_EQ(server.ask("GET /nothing").status, 404);
  EXPECT_EQ(server.ask("GET /tree").status, 404);
  Answer answer = server.ask("DELETE /echo");
  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(answer.header("Allow"), "GET, HEAD, POST, OPTIONS");
  EXPECT_EQ(server.ask("BREW /echo").status, 501);
  EXPECT_EQ(server.ask("OPTIONS /echo").status, 204);
}

TEST(HttpServer, ChecksBodies) {
  EchoServer server;
  EXPECT_EQ(server.ask("POST /echo").status, 411);
  EXPECT_EQ(server.ask("POST /echo", "Content-Length: 1001\r\n").status, 413);
  EXPECT_EQ(server.ask("POST /echo", "Transfer-Encoding: chunked\r\n", "3e9\r\n").status, 413);
  EXPECT_EQ(server.ask("GET /echo", "Content-Length: 1\r\n", "x").status, 413);
  EXPECT_EQ(server.ask("POST /echo", "Content-Length: 1\r\nExpect: tea\r\n", "x").status, 417);
}

TEST(HttpServer, ContinuesOnlyWhatItWants) {
  EchoServer server;
  RawSocket socket = server.connect();
  socket.send(server.request("POST /echo", "Content-Length: 2\r\nExpect: 100-continue\r\n"));
  EXPECT_EQ(socket.take_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.send("hi");
  EXPECT_EQ(read_answer(socket).body, "POST /echo  hi");
  Answer refused = server.ask("POST /echo", "Content-Length: 9999\r\nExpect: 100-continue\r\n");
  EXPECT_EQ(refused.status, 413);
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  NetOptions options;
  options.requests_per_second = 0;
  LiveServer server(options);
  std::vector<std::shared_ptr<HttpResponder>> held;
  server->add(route("GET", "/late", [&](const HttpRequest& request, auto responder) {
    server->after(0.01, [responder, query = request.query] { responder->respond(200, {}, query); });
  }));
  server.start();
  RawSocket socket = server.connect();
  std::string all;
  for (int i = 0; i < 20; ++i) all += server.request("GET /late?" + std::to_string(i));
  socket.send(all);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(read_answer(socket).body, std::to_string(i));
}

// Thousands of requests for a large answer by a client that reads nothing: memory stays bounded.
TEST(HttpServer, DoesNotAnswerAheadOfTheReader) {
  NetOptions options;
  options.requests_per_second = 0;
  LiveServer server(options);
  std::atomic<int> served = 0;
  server->add(route("GET", "/big", [&](const HttpRequest&, auto responder) {
    ++served;
    responder->respond(200, {}, std::string(1 << 20, 'x'));
  }));
  server.start();
  RawSocket socket = server.connect(4096);
  std::string all;
  for (int i = 0; i < 300; ++i) all += server.request("GET /big");
  socket.send(all);
  ASSERT_TRUE(socket.receive());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(served, 20);
}

TEST(HttpServer, SpeaksHttp10) {
  EchoServer server;
  RawSocket socket = server.connect();
  socket.send("GET /echo HTTP/1.0\r\nHost: " + server.host() + "\r\n\r\n");
  Answer answer = read_answer(socket);
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_EQ(answer.body, "GET /echo  ");
  EXPECT_TRUE(socket.ended());
}

TEST(HttpServer, StreamsInChunks) {
  LiveServer server;
  server->add(route("GET", "/events", [&](const HttpRequest&, auto responder) {
    responder->begin(200, {{"Content-Type", "text/event-stream"}});
    responder->write("data: 1\n\n");
    server->after(0.02, [responder] {
      responder->write("data: 2\n\n");
      responder->end();
    });
  }));
  server.start();
  RawSocket socket = server.connect();
  socket.send(server.request("GET /events") + server.request("GET /events"));
  for (int i = 0; i < 2; ++i) {
    Answer answer = read_answer(socket);
    EXPECT_EQ(answer.header("Transfer-Encoding"), "chunked");
    EXPECT_EQ(answer.body, "data: 1\n\ndata: 2\n\n");
  }
  RawSocket old = server.connect();  // no chunks for HTTP/1.0: the end is the connection's
  old.send("GET /events HTTP/1.0\r\nHost: " + server.host() + "\r\n\r\n");
  std::string all = old.take_rest();
  EXPECT_THAT(all, testing::EndsWith("\r\n\r\ndata: 1\n\ndata: 2\n\n"));
  EXPECT_THAT(all, testing::Not(HasSubstr("chunked")));
  socket.send(server.request("HEAD /events"));
  EXPECT_EQ(read_answer(socket, false).status, 200);
  socket.send(server.request("HEAD /events"));
  EXPECT_THAT(read_answer(socket, false).head, testing::StartsWith("HTTP/1.1 200"));
}

TEST(HttpServer, TellsWhenThePeerLeaves) {
  LiveServer server;
  std::promise<void> asked, left;
  server->add(route("GET", "/wait", [&](const HttpRequest&, auto responder) {
    responder->on_close([&, responder] {
      EXPECT_FALSE(responder->connected());
      responder->respond(200, {}, "too late");
      left.set_value();
    });
    asked.set_value();
  }));
  server.start();
  RawSocket socket = server.connect();
  socket.send(server.request("GET /wait"));
  asked.get_future().wait();
  socket.close();
  EXPECT_EQ(left.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

// A handler may drop its responder, also on another thread, and may throw.
TEST(HttpServer, AnswersForHandlersThatDoNot) {
  LiveServer server;
  std::thread elsewhere;
  server->add(route("GET", "/drop", [](const HttpRequest&, auto) {}));
  server->add(route("GET", "/throw", [](const HttpRequest&, auto) { throw std::bad_alloc(); }));
  server->add(route("GET", "/thread", [&](const HttpRequest&, auto responder) {
    elsewhere = std::thread([kept = std::move(responder)]() mutable { kept.reset(); });
  }));
  server->add(route("GET", "/half", [](const HttpRequest&, auto responder) {
    responder->begin(200, {{"Content-Length", "10"}});
    responder->write("12345");
  }));
  server.start();
  EXPECT_EQ(server.ask("GET /drop").status, 500);
  EXPECT_EQ(server.ask("GET /throw").status, 500);
  EXPECT_EQ(server.ask("GET /thread").status, 500);
  elsewhere.join();
  EXPECT_EQ(server.ask("GET /half").body, "12345");  // and then the connection ends
}

TEST(HttpServer, KeepsToItsContentLength) {
  LiveServer server;
  server->add(route("GET", "/more", [](const HttpRequest&, auto responder) {
    responder->begin(200, {{"Content-Length", "4"}});
    responder->write("12");
    responder->write("3456");
    responder->end();
  }));
  server.start();
  RawSocket socket = server.connect();
  socket.send(server.request("GET /more") + server.request("GET /more"));
  EXPECT_EQ(read_answer(socket).body, "1234");
  EXPECT_EQ(read_answer(socket).body, "1234");
}

TEST(HttpServer, DrainsAndThenGoesOn) {
  LiveServer server;
  std::atomic<int> rounds = 0;
  server->add(route("GET", "/pump", [&](const HttpRequest&, auto responder) {
    responder->begin(200, {});
    auto fill = [&rounds, responder = responder.get()] {
      ++rounds;
      while (responder->unsent() <= (1 << 19) && rounds < 20)
        responder->write(std::string(1 << 16, 'x'));
      if (rounds >= 20) responder->end();
    };
    responder->on_drained([fill, responder] { fill(); });
    fill();
  }));
  server.start();
  Answer answer = server.ask("GET /pump");
  EXPECT_GE(rounds, 20);
  EXPECT_GT(answer.body.size(), size_t{1} << 20);
}

TEST(HttpServer, FinishesAnswersWhenItStops) {
  LiveServer server;
  std::promise<void> asked;
  server->add(route("GET", "/slow", [&](const HttpRequest&, auto responder) {
    server->after(0.2, [responder] { responder->respond(200, {}, "whole"); });
    asked.set_value();
  }));
  server.start();
  RawSocket idle = server.connect(), socket = server.connect();
  socket.send(server.request("GET /slow"));
  asked.get_future().wait();
  server.stop(10.0);
  Answer answer = read_answer(socket);
  EXPECT_EQ(answer.body, "whole");
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_TRUE(idle.ended());
  EXPECT_FALSE(server.connect().is_open());
}

TEST(HttpServer, CutsWhatDoesNotEndInTime) {
  LiveServer server;
  std::promise<void> asked;
  std::shared_ptr<HttpResponder> kept;
  server->add(route("GET", "/never", [&](const HttpRequest&, auto responder) {
    kept = responder;
    asked.set_value();
  }));
  server.start();
  RawSocket socket = server.connect();
  socket.send(server.request("GET /never"));
  asked.get_future().wait();
  server.stop(0.1);
  EXPECT_EQ(socket.take_rest(), "");
}

TEST(HttpServer, RefusesAPortThatIsTaken) {
  EchoServer server;
  NetOptions options;
  options.port = server.port();
  auto second = HttpServer::create(options);
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error().message, HasSubstr("another daemon may run there"));
}

// The old one's connections may still be on their way out.
TEST(HttpServer, TakesItsPortAgain) {
  NetOptions options;
  {
    EchoServer first;
    options.port = first.port();
    RawSocket socket = first.connect();
    socket.send(first.request("GET /echo", "Connection: close\r\n"));  // it closes first
    EXPECT_EQ(read_answer(socket).status, 200);
    EXPECT_TRUE(socket.ended());
  }
  auto second = HttpServer::create(options);
  EXPECT_TRUE(second.has_value()) << second.error().message;
}

// An answer on another thread, a peer that leaves and the server's stop, all at once: whatever
// comes first, on_close() is told at most once and never behind the answer's end.
TEST(HttpServer, RacesToTheEnd) {
  for (int round = 0; round < 30; ++round) {
    std::atomic<int> closes = 0, ends = 0, late = 0;
    std::promise<std::shared_ptr<HttpResponder>> asked;
    LiveServer server;  // ends first: what is posted behind its stop runs then
    server->add(route("GET", "/race", [&](const HttpRequest&, auto responder) {
      responder->on_close([&] {
        ++closes;
        if (ends > 0) ++late;
      });
      asked.set_value(std::move(responder));
    }));
    server.start();
    RawSocket socket = server.connect();
    socket.send(server.request("GET /race"));
    auto held = asked.get_future().get();
    std::thread answering([&, held = std::move(held)]() mutable {
      server->post([&, held] {
        held->begin(200, {});
        held->write("part");
      });
      server->post([&, held = std::move(held)] {
        held->end();
        ++ends;
      });
    });
    std::thread leaving([&] { socket.close(); });
    if (round % 2 == 0) server.stop(0.02);
    answering.join();
    leaving.join();
    server.stop(0.02);
    EXPECT_LE(closes, 1);
    EXPECT_EQ(late, 0);
  }
}

TEST(HttpServer, TellsOfEachAnswer) {
  NetOptions options;
  options.token = "secret-token";
  std::string log;
  options.on_access = [&](const HttpAccess& access) {
    log += std::string(access.method) + " " + std::string(access.path) + " " +
           std::to_string(access.status) + "\n";
  };
  EchoServer server(options);
  server.ask("GET /echo?token=secret-token", "Authorization: Bearer secret-token\r\n");
  server.ask("GET /echo?token=secret-token");
  server.ask("GET /none");
  server.stop();
  EXPECT_EQ(log, "GET /echo 200\nGET /echo 401\nGET /none 404\n");
}

}  // namespace
}  // namespace lamina::daemon
