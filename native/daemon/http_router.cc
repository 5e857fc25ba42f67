// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/http_router.h"

#include "core/base/check.h"

namespace lamina::daemon {

void Router::add(Route route) {
  bool prefix = route.path.ends_with("/*");
  if (prefix) route.path.pop_back();
  Routes& routes = (prefix ? prefixes_ : exact_)[route.path];
  for (const auto& other : routes) LAMINA_CHECK(other->method != route.method);
  routes.push_back(std::make_shared<const Route>(std::move(route)));
}

// The exact path's routes, else those of the longest prefix.
const Router::Routes* Router::at(const std::string& path) const {
  if (auto found = exact_.find(path); found != exact_.end()) return &found->second;
  for (size_t slash = path.rfind('/'); slash != std::string::npos;
       slash = path.rfind('/', slash - 1)) {
    if (auto found = prefixes_.find(path.substr(0, slash + 1)); found != prefixes_.end()) {
      return &found->second;
    }
    if (slash == 0) break;
  }
  return nullptr;
}

Router::Match Router::find(std::string_view method, const std::string& path) const {
  Match match;
  const Routes* routes = at(path);
  if (!routes) return match;
  for (const auto& route : *routes) {
    if (route->method == method || (route->method == "GET" && method == "HEAD"))
      match.route = route;
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += route->method == "GET" ? "GET, HEAD" : route->method;
  }
  if (!match.allow.empty()) match.allow += ", OPTIONS";
  return match;
}

}  // namespace lamina::daemon
