// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/http_stream.h"

#include <asio/buffer.hpp>
#include <asio/post.hpp>
#include <asio/ssl/stream.hpp>

namespace lamina::daemon {

namespace {

using asio::ip::tcp;

// How asio tells an end: as an error.
bool is_end(const std::error_code& error) {
  return error == asio::error::eof || error == asio::ssl::error::stream_truncated;
}

template <typename Stream>
void read_some(Stream& stream, char* out, size_t most, ByteStream::Done done) {
  stream.async_read_some(asio::buffer(out, most),
                         [done = std::move(done)](std::error_code error, size_t bytes) {
                           done(!error || is_end(error), is_end(error) ? 0 : bytes);
                         });
}

template <typename Stream>
void write_some(Stream& stream, const char* bytes, size_t count, ByteStream::Done done) {
  stream.async_write_some(
      asio::buffer(bytes, count),
      [done = std::move(done)](std::error_code error, size_t written) { done(!error, written); });
}

void close_socket(tcp::socket& socket) {
  std::error_code ignored;
  socket.close(ignored);
}

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(tcp::socket socket) : socket_(std::move(socket)) {}
  void handshake(Done done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done(true, 0); });
  }
  void read(char* out, size_t most, Done done) override {
    read_some(socket_, out, most, std::move(done));
  }
  void write(const char* bytes, size_t count, Done done) override {
    write_some(socket_, bytes, count, std::move(done));
  }
  void shutdown() override {
    std::error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }
  void close() override { close_socket(socket_); }

 private:
  tcp::socket socket_;
};

// The asio stream is shared with what it has under way, which may end after this object.
class TlsStream final : public ByteStream {
 public:
  using Stream = asio::ssl::stream<tcp::socket>;
  TlsStream(tcp::socket socket, asio::ssl::context& context)
      : stream_(std::make_shared<Stream>(std::move(socket), context)) {}

  void handshake(Done done) override {
    stream_->async_handshake(Stream::server, [done = std::move(done), keep = stream_](
                                                 std::error_code error) { done(!error, 0); });
  }
  void read(char* out, size_t most, Done done) override {
    read_some(*stream_, out, most, std::move(done));
  }
  void write(const char* bytes, size_t count, Done done) override {
    write_some(*stream_, bytes, count, std::move(done));
  }
  void shutdown() override {
    stream_->async_shutdown([keep = stream_](std::error_code) {
      std::error_code ignored;
      keep->lowest_layer().shutdown(tcp::socket::shutdown_send, ignored);
    });
  }
  void close() override { close_socket(stream_->next_layer()); }

 private:
  std::shared_ptr<Stream> stream_;
};

}  // namespace

std::unique_ptr<ByteStream> plain_stream(tcp::socket socket) {
  return std::make_unique<PlainStream>(std::move(socket));
}

std::unique_ptr<ByteStream> tls_stream(tcp::socket socket, asio::ssl::context& context) {
  return std::make_unique<TlsStream>(std::move(socket), context);
}

}  // namespace lamina::daemon
