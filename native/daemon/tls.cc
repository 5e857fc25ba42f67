// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/tls.h"

#include <openssl/ssl.h>

#include <cstring>

namespace lamina::daemon {

namespace {

// HTTP/1.1 is what is spoken here; a client that offers only other protocols gets no choice made.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* offered, unsigned int offered_size, void*) {
  static constexpr char kHttp[] = "http/1.1";
  constexpr unsigned char kSize = sizeof kHttp - 1;
  for (unsigned int at = 0; at < offered_size; at += 1u + offered[at]) {
    if (at + 1u + offered[at] > offered_size) break;
    if (offered[at] == kSize && std::memcmp(offered + at + 1, kHttp, kSize) == 0) {
      *out = offered + at + 1;
      *out_size = kSize;
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

Result<std::unique_ptr<asio::ssl::context>> tls_context(const std::string& certificate,
                                                        const std::string& key) {
  std::error_code error;
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX* raw = context->native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(
      raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);  // an idle connection holds none
  SSL_CTX_set_alpn_select_cb(raw, choose_protocol, nullptr);
  context->use_certificate_chain_file(certificate, error);
  if (error) {
    return make_error(Code::kIo, "TLS certificate %s: %s (it must be a PEM file)",
                      certificate.c_str(), error.message().c_str());
  }
  context->use_private_key_file(key, asio::ssl::context::pem, error);
  if (error) {
    return make_error(Code::kIo, "TLS key %s: %s (it must be the certificate's key as PEM)",
                      key.c_str(), error.message().c_str());
  }
  return context;
}

}  // namespace lamina::daemon
