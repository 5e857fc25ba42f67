// SPDX-License-Identifier: Apache-2.0
// What all connections of a server share. Used on the event loop's thread alone.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "native/daemon/http_access.h"
#include "native/daemon/http_router.h"
#include "native/daemon/rate_limit.h"

namespace lamina::daemon {

class Wire;

struct WebSocketRoute {
  std::string protocol;
  std::function<std::shared_ptr<WebSocketHandler>(const HttpRequest&)> make;
};

struct Front {
  NetOptions options;
  AccessRules rules;
  Router router;
  std::map<std::string, WebSocketRoute> websockets;  // by path
  RateLimiter limiter;
  NetStats stats;
  std::function<void(std::function<void()>)> post;  // from any thread, also when the server is gone
  bool stopping = false;
};

}  // namespace lamina::daemon
