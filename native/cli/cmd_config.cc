// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "core/base/json.h"
#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/cli/serve_flags.h"

namespace lamina::cli {
namespace {

using daemon::Settings;

std::string text_of(const Settings::Values& values) {
  if (values.empty()) return "(nothing)";
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : ", ") + safe_text(value);
  return text;
}

std::string lines_of(const Settings::Setting& setting, bool explain) {
  std::string text =
      format("%-18s %s\n", setting.info->name, text_of(setting.winner().values).c_str());
  if (!explain) return text;
  text += format("%-18s   from %s\n", "", setting.winner().origin.c_str());
  for (size_t i = 1; i < setting.sources.size(); ++i) {
    const Settings::Source& source = setting.sources[i];
    text += format("%-18s   instead of %s from %s\n", "", text_of(source.values).c_str(),
                   source.origin.c_str());
  }
  return text + format("%-18s   set by %s, %s or \"%s\"\n", "", setting.info->flags,
                       setting.info->environment, setting.info->name);
}

void write_source(JsonWriter& json, const Settings::Source& source) {
  json.member("from", source.origin).key("values").begin_array();
  for (const std::string& value : source.values) json.value(value);
  json.end_array();
}

std::string json_of(const Settings& settings) {
  JsonWriter json(2);
  json.begin_object();
  for (const Settings::Setting& setting : settings.all()) {
    json.key(setting.info->name).begin_object();
    write_source(json, setting.winner());
    json.key("overridden").begin_array();
    for (size_t i = 1; i < setting.sources.size(); ++i) {
      json.begin_object();
      write_source(json, setting.sources[i]);
      json.end_object();
    }
    json.end_array().end_object();
  }
  return json.end_object().take() + "\n";
}

}  // namespace

void add_config(Cli& cli) {
  struct Flags {
    ServeFlags serve;
    bool explain = false, json = false;
  };
  CLI::App& verb = cli.verb(
      "config", "Show the settings of `lamina serve` and where each comes from", kGroupProgram,
      "  lamina config --explain\n"
      "  lamina config --explain --port 9000      # what would hold with this flag\n");
  const auto flags = std::make_shared<Flags>();
  flags->serve.add_to(verb);
  verb.option_defaults()->group("Output");
  switch_flag(verb, "--explain", flags->explain,
              "Say where each value is from and what it overrode");
  switch_flag(verb, "--json", flags->json, "Everything as JSON");
  cli.on_run(verb, [&cli, flags]() -> Result<ExitCode> {
    LAMINA_ASSIGN(const Settings settings, flags->serve.settings());
    if (flags->json) {
      LAMINA_TRY(cli.console().write(json_of(settings)));
      return kExitOk;
    }
    for (const Settings::Setting& setting : settings.all()) {
      LAMINA_TRY(cli.console().write(lines_of(setting, flags->explain)));
    }
    return kExitOk;
  });
}

}  // namespace lamina::cli
