// SPDX-License-Identifier: Apache-2.0
#include "native/platform/paths.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

#include "native/platform/files.h"

namespace lamina {

namespace {

std::string home() {
  const char* set = std::getenv("HOME");
  if (set != nullptr && set[0] == '/') return set;
  const passwd* user = ::getpwuid(::getuid());
  return user != nullptr && user->pw_dir != nullptr ? user->pw_dir : "/";
}

// The specification tells to ignore values that are not absolute.
std::string directory(const char* variable, const char* below_home) {
  const char* set = std::getenv(variable);
  if (set != nullptr && set[0] == '/') return join_path(set, "lamina");
  return join_path(join_path(home(), below_home), "lamina");
}

}  // namespace

std::string config_directory() { return directory("XDG_CONFIG_HOME", ".config"); }
std::string cache_directory() { return directory("XDG_CACHE_HOME", ".cache"); }
std::string data_directory() { return directory("XDG_DATA_HOME", ".local/share"); }
std::string state_directory() { return directory("XDG_STATE_HOME", ".local/state"); }

}  // namespace lamina
