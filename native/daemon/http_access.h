// SPDX-License-Identifier: Apache-2.0
// Which Hosts and Origins are ours. A page of another site can make a browser send requests here,
// and a hostile DNS name can point here (rebinding); what they can't do is lie in these two
// headers.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "native/daemon/http.h"
#include "native/daemon/http_parse.h"

namespace lamina::daemon {

class AccessRules {
 public:
  AccessRules() = default;
  AccessRules(const NetOptions& options, uint16_t port);

  // `local` is the address that the connection came in on, "192.168.0.7" or "[fe80::1]": an address
  // can't be rebound, so it is always a good Host.
  bool host_allowed(const HostPort& host, std::string_view local) const;
  bool origin_allowed(std::string_view origin, std::string_view local) const;

  // The request's Origin is allowed, or it has none and is no other site's doing.
  bool source_allowed(const RequestHead& head, std::string_view local) const;

  bool token_allowed(const RequestHead& head) const;

 private:
  bool is_own(const HostPort& host, std::string_view local) const;

  bool tls_ = false;
  uint16_t port_ = 0;
  std::string token_;
  std::set<std::string> hosts_;    // "name" or "name:port"
  std::set<std::string> origins_;  // beside our own
};

}  // namespace lamina::daemon
