// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <memory>

#include "native/daemon/tls.h"
#include "tests/daemon/http_client.h"
#include "tests/support/temp_dir.h"

namespace lamina::daemon {
namespace {

using test::TempDir;

OwnCertificate certificate_in(const std::string& directory, const std::string& host = "127.0.0.1") {
  auto made = self_signed_certificate(host, directory);
  EXPECT_TRUE(made.has_value()) << made.error().message;
  return made.value();
}

NetOptions with_tls(const std::string& path) {
  NetOptions options;
  options.tls_certificate = options.tls_key = path;
  return options;
}

// One request over TLS, blocking; empty when the handshake fails.
class TlsClient {
 public:
  TlsClient(const LiveServer& server, int highest = 0) : socket_(server.connect()) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes also to who has closed
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_NONE, nullptr);
    if (highest != 0) {
      SSL_CTX_set_security_level(context_.get(), 0);
      SSL_CTX_set_max_proto_version(context_.get(), highest);
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket_.fd());
    open_ = SSL_connect(ssl_.get()) == 1;
  }
  bool is_open() const { return open_; }
  std::string version() const { return SSL_get_version(ssl_.get()); }
  X509* certificate() const { return SSL_get0_peer_certificate(ssl_.get()); }
  void send(const std::string& text) {
    SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size()));
  }
  std::string ask(const std::string& request) {
    send(request);
    std::string out;
    char bytes[4096];
    for (int count; (count = SSL_read(ssl_.get(), bytes, sizeof bytes)) > 0;) {
      out.append(bytes, static_cast<size_t>(count));
    }
    return out;
  }
  bool closed_cleanly() const { return SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN; }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  std::unique_ptr<SSL_CTX, Free> context_{SSL_CTX_new(TLS_client_method())};
  RawSocket socket_;
  std::unique_ptr<SSL, Free> ssl_;
  bool open_ = false;
};

struct TlsServer : LiveServer {
  explicit TlsServer(const NetOptions& options) : LiveServer(options) {
    Route route;
    route.method = "GET";
    route.path = "/big";
    route.handle = [](const HttpRequest& request, auto responder) {
      responder->respond(request.tls ? 200 : 500, {}, std::string(300000, 'x'));
    };
    (*this)->add(route);
    start();
  }
};

TEST(Tls, Serves) {
  TempDir dir;
  TlsServer server(with_tls(certificate_in(dir.path()).path));
  TlsClient client(server);
  ASSERT_TRUE(client.is_open());
  EXPECT_EQ(client.version(), "TLSv1.3");
  std::string answer = client.ask(
      server.request("GET /big", "Connection: close\r\nOrigin: https://" + server.host() + "\r\n"));
  EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(answer, testing::EndsWith(std::string(100, 'x')));
  EXPECT_TRUE(client.closed_cleanly());
  TlsClient other(server);
  EXPECT_THAT(other.ask(server.request(
                  "GET /big", "Origin: http://" + server.host() + "\r\nConnection: close\r\n")),
              testing::StartsWith("HTTP/1.1 403"));
}

TEST(Tls, RefusesOldVersions) {
  TempDir dir;
  TlsServer server(with_tls(certificate_in(dir.path()).path));
  EXPECT_FALSE(TlsClient(server, TLS1_1_VERSION).is_open());
  EXPECT_TRUE(TlsClient(server, TLS1_2_VERSION).is_open());
}

TEST(Tls, GivesPlainTextNoAnswer) {
  TempDir dir;
  NetOptions options = with_tls(certificate_in(dir.path()).path);
  options.handshake_seconds = 0.3;
  TlsServer server(options);
  RawSocket plain = server.connect(), silent = server.connect();
  plain.send(server.request("GET /big"));
  EXPECT_THAT(plain.take_rest(), testing::Not(testing::HasSubstr("HTTP")));
  EXPECT_TRUE(silent.ended(5));  // a handshake that never comes
}

// No handshake is made for who has no room.
TEST(Tls, ClosesWhatIsTooMuch) {
  TempDir dir;
  NetOptions options = with_tls(certificate_in(dir.path()).path);
  options.max_connections = 1;
  LiveServer server(options);
  std::promise<std::shared_ptr<HttpResponder>> asked;
  Route route;
  route.method = "GET";
  route.path = "/held";
  route.handle = [&](const HttpRequest&, auto responder) { asked.set_value(responder); };
  server->add(route);
  server.start();
  TlsClient first(server);
  first.send(server.request("GET /held"));
  auto held = asked.get_future().get();
  RawSocket second = server.connect();
  EXPECT_EQ(second.take_rest(), "");
  EXPECT_FALSE(TlsClient(server).is_open());
  EXPECT_EQ(server.stats().refused_full, 2u);
  EXPECT_EQ(server.stats().connections, 1u);
}

TEST(Tls, ManyConnectionsAtOnce) {
  TempDir dir;
  TlsServer server(with_tls(certificate_in(dir.path()).path));
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      TlsClient client(server);
      if (client.ask(server.request("GET /big", "Connection: close\r\n")).size() > 300000) ++good;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 8);
}

TEST(Tls, OwnCertificateIsMadeOnce) {
  TempDir dir;
  OwnCertificate first = certificate_in(dir / "new");
  struct stat facts {};
  ASSERT_EQ(::stat(first.path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  EXPECT_EQ(first.fingerprint.size(), 95u);
  EXPECT_EQ(certificate_in(dir / "new").fingerprint, first.fingerprint);
  EXPECT_NE(certificate_in(dir / "new", "192.168.7.7").fingerprint,
            first.fingerprint);  // not named in it
  std::ofstream(first.path) << "broken";
  EXPECT_NE(certificate_in(dir / "new").fingerprint, first.fingerprint);
}

TEST(Tls, OwnCertificateNamesThisMachine) {
  TempDir dir;
  TlsServer server(with_tls(certificate_in(dir.path(), "box.lan").path));
  TlsClient client(server);
  ASSERT_TRUE(client.is_open());
  for (const char* name : {"localhost", "box.lan"}) {
    EXPECT_EQ(X509_check_host(client.certificate(), name, 0, 0, nullptr), 1) << name;
  }
  for (const char* address : {"127.0.0.1", "::1"}) {
    EXPECT_EQ(X509_check_ip_asc(client.certificate(), address, 0), 1) << address;
  }
  EXPECT_EQ(X509_check_host(client.certificate(), "evil.example", 0, 0, nullptr), 0);
}

TEST(Tls, NamesFilesThatAreNoCertificate) {
  TempDir dir;
  std::ofstream(dir / "bad.pem") << "no";
  auto made = HttpServer::create(with_tls(dir / "bad.pem"));
  ASSERT_FALSE(made.has_value());
  EXPECT_THAT(made.error().message, testing::HasSubstr("bad.pem"));
  NetOptions half;
  half.tls_certificate = dir / "bad.pem";
  EXPECT_FALSE(HttpServer::create(half).has_value());
}

}  // namespace
}  // namespace lamina::daemon
