// SPDX-License-Identifier: Apache-2.0
// A server on a free port and raw sockets to it, for tests: bytes go out exactly as written.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "native/daemon/http.h"

namespace lamina::daemon {

class RawSocket {
 public:
  explicit RawSocket(uint16_t port, int receive_buffer = 0, const char* from = "127.0.0.1") {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    const int yes = 1;  // bytes go out as they are written, also one by one
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    sockaddr_in own{};
    own.sin_family = AF_INET;
    ::inet_pton(AF_INET, from, &own.sin_addr);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&own), sizeof own), 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) close();
  }
  RawSocket(RawSocket&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), held_(std::move(other.held_)) {}
  ~RawSocket() { close(); }

  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void end_input() { ::shutdown(fd_, SHUT_WR); }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
    return true;
  }

  // More bytes into held(); false at the end, at a reset or when nothing comes.
  bool receive(double seconds = 10.0) {
    pollfd wait{fd_, POLLIN, 0};
    if (::poll(&wait, 1, static_cast<int>(seconds * 1000)) <= 0) return false;
    char bytes[65536];
    ssize_t count = ::recv(fd_, bytes, sizeof bytes, 0);
    if (count > 0) held_.append(bytes, static_cast<size_t>(count));
    return count > 0;
  }

  std::string take(size_t count) {
    while (held_.size() < count && receive()) {
    }
    std::string out = held_.substr(0, count);
    held_.erase(0, out.size());
    return out;
  }
  std::string take_until(std::string_view mark) {
    size_t at;
    while ((at = held_.find(mark)) == std::string::npos && receive()) {
    }
    return take(at == std::string::npos ? held_.size() : at + mark.size());
  }
  std::string take_rest() {
    while (receive()) {
    }
    return std::exchange(held_, {});
  }
  // Whether the server has closed, with whatever came before.
  bool ended(double seconds = 10.0) {
    pollfd wait{fd_, POLLIN, 0};
    char bytes[65536];
    while (::poll(&wait, 1, static_cast<int>(seconds * 1000)) > 0) {
      if (::recv(fd_, bytes, sizeof bytes, 0) <= 0) return true;
    }
    return false;
  }

 private:
  int fd_ = -1;
  std::string held_;
};

struct Answer {
  int status = 0;
  std::string head, body;

  std::string header(std::string_view name) const {
    std::string mark = "\r\n" + std::string(name) + ": ";
    size_t at = head.find(mark);
    if (at == std::string::npos) return {};
    at += mark.size();
    return head.substr(at, head.find("\r\n", at) - at);
  }
};

// The next answer on the socket, its body by Content-Length or chunks.
inline Answer read_answer(RawSocket& socket, bool with_body = true) {
  Answer answer;
  answer.head = socket.take_until("\r\n\r\n");
  if (answer.head.size() < 12) return answer;
  answer.status = std::atoi(answer.head.c_str() + 9);
  if (!with_body) return answer;
  if (answer.header("Transfer-Encoding") == "chunked") {
    while (true) {
      size_t size = std::strtoul(socket.take_until("\r\n").c_str(), nullptr, 16);
      answer.body += socket.take(size);
      socket.take(2);
      if (size == 0) return answer;
    }
  }
  answer.body = socket.take(std::strtoul(answer.header("Content-Length").c_str(), nullptr, 10));
  return answer;
}

inline size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

// A server that runs while this lives.
class LiveServer {
 public:
  explicit LiveServer(NetOptions options = {}) {
    options.port = 0;
    auto made = HttpServer::create(options);
    EXPECT_TRUE(made.has_value()) << made.error().message;
    server_ = std::move(made).value();
  }
  ~LiveServer() { stop(); }

  HttpServer& operator*() { return *server_; }
  HttpServer* operator->() { return server_.get(); }
  void start() {
    thread_ = std::thread([this] { server_->run(); });
  }
  void stop(double seconds = 0.0) {
    if (!thread_.joinable()) return;
    server_->stop(seconds);
    thread_.join();
  }
  uint16_t port() const { return server_->port(); }
  std::string host() const { return "127.0.0.1:" + std::to_string(port()); }
  RawSocket connect(int receive_buffer = 0) const { return RawSocket(port(), receive_buffer); }

  // "METHOD PATH HTTP/1.1", Host, the further header lines, the body as it stands.
  std::string request(std::string_view line, std::string_view more = {},
                      std::string_view body = {}) const {
    std::string out(line);
    out += " HTTP/1.1\r\nHost: " + host() + "\r\n";
    return out.append(more).append("\r\n").append(body);
  }
  // On a connection of its own.
  Answer ask(std::string_view line, std::string_view more = {}, std::string_view body = {}) const {
    RawSocket socket = connect();
    socket.send(request(line, more, body));
    return read_answer(socket, !line.starts_with("HEAD"));
  }
  NetStats stats() {
    std::promise<NetStats> promise;
    server_->post([&] { promise.set_value(server_->stats()); });
    return promise.get_future().get();
  }

 private:
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

}  // namespace lamina::daemon
