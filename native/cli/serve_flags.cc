// SPDX-License-Identifier: Apache-2.0
#include "native/cli/serve_flags.h"

#include <cstdlib>

#include "native/cli/flags.h"
#include "native/platform/files.h"

namespace lamina::cli {
namespace {

using daemon::SettingInfo;
using Kind = SettingInfo::Kind;

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

}  // namespace

void ServeFlags::add_to(CLI::App& verb) {
  for (const SettingInfo& info : daemon::setting_table()) {
    verb.option_defaults()->group(info.group);
    CLI::Option* option = nullptr;
    switch (info.kind) {
      case Kind::kText:
        option =
            text_flag(verb, info.flags, texts_.emplace_back(info.usual), info.takes, info.help);
        break;
      case Kind::kChoice:
        option = choice_flag(verb, info.flags, texts_.emplace_back(info.usual),
                             split_choices(info.takes), info.help);
        break;
      case Kind::kNumber:
        option =
            int_flag(verb, info.flags, numbers_.emplace_back(std::atoi(info.usual)),
                     static_cast<int32_t>(info.low), static_cast<int32_t>(info.high), info.help);
        break;
      case Kind::kSize:
        option =
            size_flag(verb, info.flags, sizes_.emplace_back(0), static_cast<uint64_t>(info.low),
                      static_cast<uint64_t>(info.high), info.help);
        break;
      case Kind::kSwitch:
        option = switch_flag(verb, info.flags, switches_.emplace_back(false), info.help);
        break;
      case Kind::kList:
        option = list_flag(verb, info.flags, lists_.emplace_back(), info.takes, info.help);
        break;
    }
    flags_.push_back({&info, option});
  }
  verb.option_defaults()->group("Service");
  text_flag(verb, "--config", config_, "FILE", "Configuration file, JSON")
      ->default_str("lamina/config.json in XDG_CONFIG_HOME");
}

Result<daemon::Settings> ServeFlags::settings() const {
  std::map<std::string, daemon::Settings::Values> given;
  for (const Flag& flag : flags_) {
    if (flag.option->count() == 0) continue;
    const bool is_switch = flag.info->kind == Kind::kSwitch;
    given[flag.info->name] = is_switch ? daemon::Settings::Values{"true"} : flag.option->results();
  }
  const std::string path = config_.empty() ? daemon::config_path() : config_;
  if (!config_.empty() && !file_exists(path)) return os_error("read", path, ENOENT);
  LAMINA_ASSIGN(const std::optional<std::string> file, daemon::read_config(path));
  return daemon::Settings::resolve(file, path, environment, given);
}

}  // namespace lamina::cli
