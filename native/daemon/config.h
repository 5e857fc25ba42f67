// SPDX-License-Identifier: Apache-2.0
// The daemon's settings out of four sources, of which a later one wins: built-in defaults, the
// configuration file, the environment, flags. One table tells of every setting what it is called in
// each.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace lamina::daemon {

struct SettingInfo {
  enum class Kind : uint8_t { kText, kChoice, kNumber, kSize, kSwitch, kList };
  const char* name;   // in the file
  const char* flags;  // as CLI11 writes them
  const char* environment;
  Kind kind;
  const char* takes;  // "DIR", "a|b|c"
  const char* usual;  // the default as text; empty: nothing
  double low, high;   // of numbers
  const char* group;  // in help
  const char* help;
};

std::span<const SettingInfo> setting_table();

class Settings {
 public:
  using Values = std::vector<std::string>;
  struct Source {
    std::string origin;  // "default" "FILE" "LAMINA_PORT" "--port"
    Values values;
  };
  struct Setting {
    const SettingInfo* info = nullptr;
    std::vector<Source> sources;  // the winner first
    const Source& winner() const { return sources.front(); }
  };

  // `file`: the text of the configuration file, none when there is none; `file_path` names it.
  // `environment` gives a variable's value or nothing. `flags`: by name of setting.
  static Result<Settings> resolve(
      const std::optional<std::string>& file, const std::string& file_path,
      const std::function<std::optional<std::string>(const char*)>& environment,
      const std::map<std::string, Values>& flags);

  // REQUIRES: a setting of that name and kind.
  std::string text(std::string_view name) const;  // also a choice; "" where nothing is set
  int64_t number(std::string_view name) const;
  uint64_t size(std::string_view name) const;
  bool flag(std::string_view name) const;
  const Values& list(std::string_view name) const;

  std::span<const Setting> all() const { return settings_; }

 private:
  const Setting& at(std::string_view name) const;
  std::vector<Setting> settings_;
};

std::string config_path();  // $XDG_CONFIG_HOME/lamina/config.json
// nullopt when there is none.
Result<std::optional<std::string>> read_config(const std::string& path);

}  // namespace lamina::daemon
