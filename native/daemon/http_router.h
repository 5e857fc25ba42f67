// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "native/daemon/http.h"

namespace lamina::daemon {

class Router {
 public:
  struct Match {
    std::shared_ptr<const Route> route;  // none: look at `allow`
    std::string allow;                   // the methods of this path, empty where nothing is
  };

  // REQUIRES: no route of this method and path yet.
  void add(Route route);
  Match find(std::string_view method, const std::string& path) const;

 private:
  using Routes = std::vector<std::shared_ptr<const Route>>;
  const Routes* at(const std::string& path) const;

  std::map<std::string, Routes> exact_;
  std::map<std::string, Routes> prefixes_;  // without the star
};

}  // namespace lamina::daemon
