// SPDX-License-Identifier: Apache-2.0
// Which states of files were hashed and found right, so that a model is hashed once and not at
// every start. An entry counts only when device, inode, size, both times and the expected hash all
// match; a damaged line matches nothing. One text file, replaced atomically.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "native/platform/files.h"

namespace lamina {

class VerifiedCache {
 public:
  // Reads what is there; a missing or unreadable file is an empty cache.
  explicit VerifiedCache(std::string directory);

  bool contains(const std::string& path, const FileState& state, std::string_view sha256) const;

  // Ignores states younger than two seconds: a later write within the clock's tick would leave the
  // same times behind.
  void add(const std::string& path, const FileState& state, std::string_view sha256);

  Result<void> save();  // does nothing when nothing was added

 private:
  std::string file_;
  std::map<std::string, std::string> lines_;  // path to the rest of its line
  bool changed_ = false;
};

}  // namespace lamina
