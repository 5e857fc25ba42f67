// SPDX-License-Identifier: Apache-2.0
// Which model folders clients may name: those given at the start, and those below one folder.
// Clients choose among names; no path is ever made of what they say.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"

namespace lamina::daemon {

class Catalogue {
 public:
  struct Model {
    std::string name, directory;
  };

  // Adds a folder under its own name; kInvalidArgument when another has that name.
  Result<std::string> add(const std::string& directory);
  // Folders in here that hold a manifest.json are listed too, as they are when asked.
  void set_root(const std::string& directory) { root_ = directory; }

  std::vector<Model> list()
      const;  // those that were added first, in order, then the root's by name
  std::optional<std::string> directory_of(const std::string& name) const;

 private:
  std::vector<Model> added_;
  std::string root_;
};

}  // namespace lamina::daemon
