// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/cli/tree.h"

namespace lamina::cli {

void add_completion(Cli& cli) {
  CLI::App& verb =
      cli.verb("completion", "Print a completion script for a shell", kGroupProgram,
               "  lamina completion bash > ~/.local/share/bash-completion/completions/lamina\n"
               "  lamina completion zsh > ~/.zfunc/_lamina       # a folder in your $fpath\n"
               "  lamina completion fish > ~/.config/fish/completions/lamina.fish\n");
  auto shell = std::make_shared<std::string>();
  positional(verb, "SHELL", *shell, "bash|zsh|fish", "The shell")->required();
  cli.on_run(verb, [&cli, shell]() -> Result<ExitCode> {
    LAMINA_TRY(cli.console().write(completion_script(cli.app(), *shell)));
    return kExitOk;
  });
}

// For the build: the man page that is installed.
void add_man(Cli& cli) {
  CLI::App& verb = cli.verb("man", "Print the man page's source", kHidden);
  cli.on_run(verb, [&cli]() -> Result<ExitCode> {
    LAMINA_TRY(cli.console().write(man_page(cli.app(), LAMINA_VERSION)));
    return kExitOk;
  });
}

}  // namespace lamina::cli
