// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "native/daemon/http_parse.h"
#include "native/daemon/http_text.h"

namespace lamina::daemon {
namespace {

using State = HttpParser::State;

// Feeds in steps of `step` bytes; the result must not depend on them.
HttpParser parsed(std::string_view text, size_t step = 1 << 20, size_t most = 1024) {
  HttpParser parser;
  while (!text.empty()) {
    size_t used = parser.feed(text.substr(0, step));
    text.remove_prefix(used);
    if (parser.state() == State::kHeadDone) parser.take_body(most);
    if (parser.state() == State::kDone || parser.state() == State::kFailed) break;
  }
  return parser;
}

int status_of(std::string_view text) {
  HttpParser whole = parsed(text), bytes = parsed(text, 1);
  EXPECT_EQ(whole.state(), bytes.state()) << text;
  EXPECT_EQ(whole.status(), bytes.status()) << text;
  return whole.state() == State::kDone ? 200 : whole.state() == State::kFailed ? whole.status() : 0;
}

int status_of_fields(const std::string& fields, const std::string& body = {}) {
  return status_of("POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body);
}

TEST(HttpParse, ReadsARequest) {
  for (size_t step : {1, 2, 7, 1000}) {
    HttpParser parser = parsed(
        "POST /v1/a%20b?x=1 HTTP/1.1\r\nHost: LocalHost:8484\r\nContent-Length:5\r\nA:  b c \t\r\n"
        "\r\nhello",
        step);
    ASSERT_EQ(parser.state(), State::kDone);
    EXPECT_EQ(parser.head().method, "POST");
    EXPECT_EQ(parser.head().target.path, "/v1/a b");
    EXPECT_EQ(parser.head().target.query, "x=1");
    EXPECT_EQ(parser.head().host, (HostPort{"localhost", 8484}));
    EXPECT_EQ(parser.head().header("a"), "b c");
    EXPECT_EQ(parser.body(), "hello");
    EXPECT_TRUE(parser.head().keep_alive);
  }
}

TEST(HttpParse, ReadsChunks) {
  for (size_t step : {1, 3, 1000}) {
    HttpParser parser = parsed(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
        "5;name=value\r\nhello\r\n00000B\r\n, wide worl\r\n1\r\nd\r\n0\r\nTrailer: x\r\n\r\n",
        step);
    ASSERT_EQ(parser.state(), State::kDone);
    EXPECT_EQ(parser.body(), "hello, wide world");
    EXPECT_EQ(parser.head().header("trailer"), "");  // trailers become no headers
  }
}

TEST(HttpParse, StopsBehindTheRequest) {
  HttpParser parser;
  std::string two = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(parser.feed(two), two.size() / 2);
  EXPECT_EQ(parser.state(), State::kHeadDone);
  parser.take_body(0);
  EXPECT_EQ(parser.state(), State::kDone);
  EXPECT_EQ(parser.feed("x"), 0u);
}

TEST(HttpParse, KeepsAlive) {
  auto keeps = [](const std::string& version, const std::string& field) {
    return parsed("GET / HTTP/" + version + "\r\nHost: a\r\n" + field + "\r\n").head().keep_alive;
  };
  EXPECT_TRUE(keeps("1.1", ""));
  EXPECT_FALSE(keeps("1.1", "Connection: Close\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: keep-alive, close\r\n"));
  EXPECT_FALSE(keeps("1.0", ""));
  EXPECT_TRUE(keeps("1.0", "Connection: keep-alive\r\n"));
}

// The request that smuggling hides is the one that two servers see in different places.
TEST(HttpParse, RefusesTwoReadings) {
  EXPECT_EQ(status_of_fields("Content-Length: 3\r\n", "abc"), 200);
  EXPECT_EQ(status_of_fields("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400);
  EXPECT_EQ(status_of_fields("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"), 400);
  EXPECT_EQ(status_of_fields("Content-Length: 3, 3\r\n", "abc"), 400);
  EXPECT_EQ(status_of_fields("Content-Length: +3\r\n", "abc"), 400);
  EXPECT_EQ(status_of_fields("Content-Length: 0x3\r\n", "abc"), 400);
  EXPECT_EQ(status_of_fields("Content-Length: -1\r\n", "abc"), 400);
  EXPECT_EQ(status_of_fields("Content-Length:\r\n", "abc"), 400);
  EXPECT_EQ(status_of_fields("Content-Length: 3 3\r\n", "abc"), 400);
  EXPECT_EQ(status_of_fields("Content-Length: 99999999999999999999\r\n"), 400);
  EXPECT_EQ(status_of_fields("Content-Length: 999999999999999999\r\n"), 413);
  EXPECT_EQ(status_of_fields("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"),
            400);
  EXPECT_EQ(status_of_fields("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            400);
  EXPECT_EQ(status_of_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400);
  EXPECT_EQ(status_of_fields("Transfer-Encoding: gzip, chunked\r\n"), 501);
  EXPECT_EQ(status_of_fields("Transfer-Encoding: xchunked\r\n"), 501);
  EXPECT_EQ(status_of_fields("Transfer-Encoding: identity\r\n"), 501);
  EXPECT_EQ(status_of_fields("Transfer-Encoding : chunked\r\n"), 400);
  EXPECT_EQ(status_of_fields("Transfer-Encoding:\r\n chunked\r\n"), 400);
  EXPECT_EQ(status_of_fields("Transfer-Encoding: \x0b"
                             "chunked\r\n"),
            400);
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(HttpParse, RefusesBrokenChunks) {
  auto chunks = [](const std::string& body) {
    return status_of_fields("Transfer-Encoding: chunked\r\n", body);
  };
  EXPECT_EQ(chunks("0\r\n\r\n"), 200);
  EXPECT_EQ(chunks("g\r\n"), 400);
  EXPECT_EQ(chunks("0x5\r\nhello\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(chunks(" 5\r\nhello\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(chunks("-1\r\n"), 400);
  EXPECT_EQ(chunks("5\nhello\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(chunks("5;a\nb\r\nhello\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(chunks("5\r\nhelloX\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(chunks("5\r\nhello\n0\r\n\r\n"), 400);
  EXPECT_EQ(chunks("FFFFFFFF\r\n"), 413);
  EXPECT_EQ(chunks("100000000\r\n"), 400);
  EXPECT_EQ(chunks("401\r\n"), 413);
  EXPECT_EQ(chunks("5;" + std::string(300, 'x') + "\r\n"), 400);
  EXPECT_EQ(chunks("0\r\nbad trailer\r\n\r\n"), 400);
  EXPECT_EQ(chunks("0\r\n" + std::string(9000, 'x')), 431);
  std::string many;  // tiny chunks may not add up to more than the limit
  for (int i = 0; i < 1025; ++i) many += "1\r\nx\r\n";
  EXPECT_EQ(chunks(many), 413);
}

TEST(HttpParse, RefusesBrokenLines) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\n\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(status_of("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("G(T / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(status_of("GET / http/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(status_of("\x16\x03\x01\x02\x01\x01\r\n"), 400);
  EXPECT_EQ(status_of("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
  EXPECT_EQ(status_of("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of_fields("A: b\r\n c\r\n"), 400);  // obs-fold
  EXPECT_EQ(status_of_fields("A : b\r\n"), 400);
  EXPECT_EQ(status_of_fields(": b\r\n"), 400);
  EXPECT_EQ(status_of_fields("no colon\r\n"), 400);
  EXPECT_EQ(status_of_fields(std::string("A: b\0c\r\n", 8)), 400);
  EXPECT_EQ(status_of_fields("A: b\rc\r\n"), 400);
  EXPECT_EQ(status_of_fields("A: b\x7f\r\n"), 400);
  EXPECT_EQ(status_of_fields(std::string("A\0: b\r\n", 7)), 400);
}

TEST(HttpParse, WantsOneGoodHost) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  for (const char* bad : {"", "a b", "a,b", "user@a", "a:", "a:x", "a:99999", "a:80:80", "[::1",
                          "[]", "a/b", "[g::1]", "a\"b"}) {
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: " + std::string(bad) + "\r\n\r\n"), 400) << bad;
  }
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: [::1]:8484\r\n\r\n"), 200);
  EXPECT_EQ(status_of("GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
  EXPECT_EQ(status_of("GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

TEST(HttpParse, HasLimits) {
  std::string long_path(9000, 'a');
  EXPECT_EQ(status_of("GET /" + long_path + " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
  EXPECT_EQ(status_of(long_path), 414);  // no line end needed to see it
  EXPECT_EQ(status_of_fields("A: " + long_path + "\r\n"), 431);
  std::string three;
  for (int i = 0; i < 3; ++i) three += "A: " + std::string(6000, 'a') + "\r\n";
  EXPECT_EQ(status_of_fields(three), 431);
  std::string many;
  for (int i = 0; i < 63; ++i) many += "A: b\r\n";
  EXPECT_EQ(status_of_fields(many), 200);  // and Host
  EXPECT_EQ(status_of_fields(many + "A: b\r\n"), 431);
  EXPECT_EQ(status_of_fields("Content-Length: 1025\r\n"), 413);
}

TEST(HttpTarget, DecodesOnceAndStaysInside) {
  auto path = [](std::string_view text) {
    auto target = parse_target(text);
    return target ? target->path : std::string("refused");
  };
  EXPECT_EQ(path("/"), "/");
  EXPECT_EQ(path("/a/b"), "/a/b");
  EXPECT_EQ(path("/a/./b/../c"), "/a/c");
  EXPECT_EQ(path("/a/.."), "/");
  EXPECT_EQ(path("/a/b/.."), "/a/");
  EXPECT_EQ(path("/%61%2e%2e/b"), "/a../b");
  EXPECT_EQ(path("/a/%2e%2e/b"), "/b");  // decoded before dots are resolved
  EXPECT_EQ(path("/%252e%252e/b"), "/%2e%2e/b");
  EXPECT_EQ(path("/a//b"), "/a//b");
  EXPECT_EQ(path("/%c3%a9"), "/\xc3\xa9");
  EXPECT_EQ(path("http://h?q"), "/");
  for (const char* bad :
       {"",       "a",     "/..",  "/../x",     "/a/../../x", "/%2e%2e/x", "/a%2fb", "/a%2Fb",
        "/a%5cb", "/a\\b", "/%00", "/a%0d%0ab", "/%7f",       "/%",        "/%4",    "/%zz",
        "/a b",   "/a#b",  "/%c3", "/%ff",      "/\xc3\xa9",  "*"}) {
    EXPECT_EQ(path(bad), "refused") << bad;
  }
}

TEST(HttpText, LeavesOutHeadersThatWouldEndEarly) {
  std::string head =
      head_text(200, {{"A", "b\r\nEvil: 1"}, {"B\r\nEvil", "1"}, {"C", "d"}, {"D E", "f"}});
  EXPECT_EQ(head, "HTTP/1.1 200 OK\r\nC: d\r\n\r\n");
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST(HttpText, ListsKnowTheirElements) {
  EXPECT_TRUE(list_has("keep-alive, Upgrade", "upgrade"));
  EXPECT_FALSE(list_has("upgraded", "upgrade"));
  EXPECT_FALSE(list_has("", "upgrade"));
}

}  // namespace
}  // namespace lamina::daemon
