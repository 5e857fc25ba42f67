// SPDX-License-Identifier: Apache-2.0
// Bytes to and from one peer, plain or encrypted. Callbacks come later on the event loop's thread,
// never from inside the call; after close() they come with ok = false, or not at all.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include <asio/ip/tcp.hpp>
#include <asio/ssl/context.hpp>

namespace lamina::daemon {

class ByteStream {
 public:
  using Done = std::function<void(bool ok, size_t bytes)>;
  virtual ~ByteStream() = default;

  virtual void handshake(Done done) = 0;
  // Some bytes; ok with 0 bytes is the end. One at a time.
  virtual void read(char* out, size_t most, Done done) = 0;
  // Some of the bytes, which stay in place until then. One at a time.
  virtual void write(const char* bytes, size_t count, Done done) = 0;
  virtual void shutdown() = 0;  // nothing more is sent; REQUIRES: no write under way
  virtual void close() = 0;
};

std::unique_ptr<ByteStream> plain_stream(asio::ip::tcp::socket socket);
std::unique_ptr<ByteStream> tls_stream(asio::ip::tcp::socket socket, asio::ssl::context& context);

}  // namespace lamina::daemon
