// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/auth.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include "native/daemon/http_target.h"
#include "native/platform/files.h"
#include "native/platform/paths.h"
#include "native/platform/sha256.h"

namespace lamina::daemon {

namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string base64url(const unsigned char* bytes, size_t count) {
  std::string out;
  uint32_t bits = 0;
  int held = 0;
  for (size_t i = 0; i < count; ++i) {
    bits = (bits << 8) | bytes[i];
    held += 8;
    while (held >= 6) out += kAlphabet[(bits >> (held -= 6)) & 63];
  }
  if (held > 0) out += kAlphabet[(bits << (6 - held)) & 63];
  return out;
}

Result<void> check_private(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return os_error("read", path, errno);
  if ((facts.st_mode & 077) == 0) return {};
  return make_error(Code::kIo,
                    "%s can be read by others: run chmod 600 on it, or delete it for a new one",
                    path.c_str());
}

Result<std::string> read_token(const std::string& path) {
  LAMINA_TRY(check_private(path));
  LAMINA_ASSIGN(std::string text, read_file(path, 4096));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.size() < kTokenLength || text.find_first_not_of(kAlphabet) != std::string::npos) {
    return make_error(Code::kInvalidArgument, "%s holds no token: delete it, and a new one is made",
                      path.c_str());
  }
  return text;
}

}  // namespace

std::string token_path() {
  return join_path(config_directory(), "token");
}

Result<std::string> load_or_create_token(const std::string& given_path) {
  std::string path = given_path.empty() ? token_path() : given_path;
  if (file_exists(path)) return read_token(path);
  unsigned char random[kTokenBytes];
  if (RAND_bytes(random, sizeof random) != 1) {
    return make_error(Code::kIo, "the system gave no random bytes for a token");
  }
  LAMINA_TRY(make_directories(parent_path(path)));
  LAMINA_TRY(write_file_atomic(path, base64url(random, sizeof random) + "\n", 0600));
  return read_token(path);  // another daemon's, should two have started at once
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  std::string first = sha256_hex(a), second = sha256_hex(b);  // equally long whatever the lengths
  return CRYPTO_memcmp(first.data(), second.data(), first.size()) == 0;
}

std::string_view bearer_token(std::string_view authorization, std::string_view protocols) {
  if (authorization.size() > 7 && equals_ignoring_case(authorization.substr(0, 7), "bearer ")) {
    return authorization.substr(7);
  }
  constexpr std::string_view kPrefix = "bearer.";
  while (!protocols.empty()) {
    size_t comma = protocols.find(',');
    std::string_view part = protocols.substr(0, comma);
    size_t first = part.find_first_not_of(" \t");
    if (first != std::string_view::npos && part.substr(first).starts_with(kPrefix)) {
      part.remove_prefix(first + kPrefix.size());
      return part.substr(0, part.find_last_not_of(" \t") + 1);
    }
    if (comma == std::string_view::npos) break;
    protocols.remove_prefix(comma + 1);
  }
  return {};
}

bool is_loopback(std::string_view host) {
  std::string text = ascii_lower(host);
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  if (text == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

Result<void> check_exposure(const NetOptions& options, bool insecure) {
  if (insecure || is_loopback(options.host)) return {};
  bool tls = !options.tls_certificate.empty();
  if (tls && !options.token.empty()) return {};
  return make_error(
      Code::kInvalidArgument,
      "listening on %s lets other machines in, which needs %s%s%s: %s, or listen on "
      "127.0.0.1, or insist with --insecure-no-auth",
      quote(options.host).c_str(), options.token.empty() ? "a token" : "",
      options.token.empty() && !tls ? " and " : "", tls ? "" : "TLS",
      tls ? "configure a token" : "give --tls-cert and --tls-key, or --tls-self-signed");
}

}  // namespace lamina::daemon
