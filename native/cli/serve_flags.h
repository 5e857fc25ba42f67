// SPDX-License-Identifier: Apache-2.0
// The daemon's settings as flags: made of its table, so that none is forgotten.
#pragma once

#include <CLI/CLI.hpp>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "native/daemon/config.h"

namespace lamina::cli {

class ServeFlags {
 public:
  void add_to(CLI::App& verb);
  // Those that were given, with the environment and the configuration file.
  Result<daemon::Settings> settings() const;

 private:
  struct Flag {
    const daemon::SettingInfo* info;
    CLI::Option* option;
  };
  std::vector<Flag> flags_;
  std::list<std::string> texts_;  // what CLI11 writes to; addresses stay
  std::list<std::vector<std::string>> lists_;
  std::list<int32_t> numbers_;
  std::list<uint64_t> sizes_;
  std::list<bool> switches_;
  std::string config_;
};

}  // namespace lamina::cli
