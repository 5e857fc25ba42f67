// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <memory>

#include "native/cli/cli.h"
#include "native/cli/model_choice.h"
#include "native/cli/serve_flags.h"
#include "native/daemon/app.h"

namespace lamina::cli {
namespace {

// Given ones, LAMINA_MODEL's, or the demo model; each a model folder.
Result<void> choose_models(daemon::ServeConfig& config) {
  if (config.models.empty()) config.models.emplace_back();
  for (std::string& directory : config.models) {
    ModelFlags flags;
    flags.model = directory;
    LAMINA_ASSIGN(const ModelChoice choice, choose_model(flags));
    directory = choice.directory;
  }
  return {};
}

daemon::Log make_log(const daemon::Settings& settings) {
  using Format = daemon::Log::Format;
  return daemon::Log(settings.text("log_format") == "json" ? Format::kJson : Format::kText,
                     settings.text("log_level"));
}

// The address on standard output, for people and programs; the token with it unless that is the
// system's journal, where others may read: the log names its file.
Result<void> announce(Console& console, const daemon::ServeConfig& config,
                      const daemon::ServeFacts& facts) {
  const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
  std::string url = facts.url;
  if (!config.net.token.empty() && !journal) url += "#token=" + config.net.token;
  LAMINA_TRY(console.write(url + "\n"));
  LAMINA_TRY(console.flush());
  return {};
}

Result<ExitCode> serve(Console& console, const ServeFlags& flags) {
  LAMINA_ASSIGN(const daemon::Settings settings, flags.settings());
  LAMINA_ASSIGN(daemon::ServeConfig config, daemon::serve_config(settings, LAMINA_VERSION));
  LAMINA_TRY(choose_models(config));
  daemon::Log log = make_log(settings);
  Result<void> announced;
  LAMINA_TRY(daemon::serve(config, log, [&](const daemon::ServeFacts& facts) {
    announced = announce(console, config, facts);
  }));
  LAMINA_TRY(announced);
  return kExitOk;
}

}  // namespace

void add_serve(Cli& cli) {
  CLI::App& verb = cli.verb(
      "serve", "Serve models to browsers and programs", kGroupUse,
      "  lamina serve                             # the demo model, at http://127.0.0.1:8484/\n"
      "  lamina serve -m ~/llama-1b --port 9000   # prints an address with the token to open\n"
      "  lamina serve --host 0.0.0.0 --tls-self-signed   # for the local network\n");
  const auto flags = std::make_shared<ServeFlags>();
  flags->add_to(verb);
  cli.on_run(verb, [&cli, flags] { return serve(cli.console(), *flags); });
}

}  // namespace lamina::cli
