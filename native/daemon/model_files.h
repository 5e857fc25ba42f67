// SPDX-License-Identifier: Apache-2.0
// Model folders for engines in browsers, at /models/NAME/FILE. A table made from the manifest says
// what there is; the manifest's hashes are the ETags.
//
// FILE?sha256=HEX asks for these very bytes: 404 when the folder holds others. A page should ask
// so: files are cached as immutable, and a converted-again model has the same names.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/base/result.h"
#include "native/daemon/http.h"

namespace lamina::daemon {

struct Content;

class ModelFiles : public std::enable_shared_from_this<ModelFiles> {
 public:
  explicit ModelFiles(const NetOptions& options) : max_unsent_(options.max_unsent) {}

  // Opens every file of the folder and checks its size; replaces a model of this name. From any
  // thread.
  Result<void> add(const std::string& name, const std::string& directory);
  void remove(const std::string& name);

  void serve(HttpServer& server);  // adds the route

 private:
  using Folder = std::map<std::string, std::shared_ptr<const Content>>;
  void answer(HttpServer& server, const HttpRequest& request,
              std::shared_ptr<HttpResponder> responder) const;
  std::shared_ptr<const Content> find(std::string_view path) const;

  size_t max_unsent_;
  mutable std::mutex mutex_;
  std::map<std::string, Folder, std::less<>> folders_;
};

}  // namespace lamina::daemon
