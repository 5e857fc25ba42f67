// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/http_access.h"

#include "native/daemon/auth.h"

namespace lamina::daemon {

AccessRules::AccessRules(const NetOptions& options, uint16_t port)
    : tls_(!options.tls_certificate.empty()), port_(port), token_(options.token) {
  std::string bound = ascii_lower(options.host);
  bool bare_v6 = bound.find(':') != std::string::npos && !bound.starts_with('[');
  hosts_ = {"localhost", "127.0.0.1", "[::1]", bare_v6 ? "[" + bound + "]" : bound};
  for (const std::string& host : options.allowed_hosts) hosts_.insert(ascii_lower(host));
  for (const std::string& origin : options.allowed_origins) {
    std::string text = ascii_lower(origin);
    while (text.ends_with('/')) text.pop_back();
    origins_.insert(std::move(text));
  }
}

bool AccessRules::is_own(const HostPort& host, std::string_view local) const {
  int32_t port = host.port >= 0 ? host.port : tls_ ? 443 : 80;
  if (hosts_.contains(host.host + ":" + std::to_string(port))) return true;
  return port == port_ && (host.host == local || hosts_.contains(host.host));
}

bool AccessRules::host_allowed(const HostPort& host, std::string_view local) const {
  return is_own(host, local);
}

bool AccessRules::origin_allowed(std::string_view origin, std::string_view local) const {
  std::string text = ascii_lower(origin);
  if (origins_.contains(text)) return true;
  std::string_view scheme = tls_ ? "https://" : "http://";
  if (!text.starts_with(scheme)) return false;
  auto host = parse_host(std::string_view(text).substr(scheme.size()));
  return host && is_own(*host, local);
}

bool AccessRules::source_allowed(const RequestHead& head, std::string_view local) const {
  size_t origins = 0;
  for (const auto& [name, value] : head.headers) {
    if (name != "origin") continue;
    if (++origins > 1 || !origin_allowed(value, local)) return false;
  }
  if (origins > 0) return true;
  // Browsers leave Origin out of plain GETs, such as an image's, but say where they come from.
  return head.header("sec-fetch-site") != "cross-site" ||
         head.header("sec-fetch-mode") == "navigate";
}

bool AccessRules::token_allowed(const RequestHead& head) const {
  if (token_.empty()) return true;
  std::string protocols = head.list("sec-websocket-protocol");
  std::string_view given = bearer_token(head.header("authorization"), protocols);
  return equal_in_constant_time(given, token_);
}

}  // namespace lamina::daemon
