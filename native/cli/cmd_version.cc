// SPDX-License-Identifier: Apache-2.0
#include "native/cli/cli.h"
#include "native/cli/tree.h"

namespace lamina::cli {

void add_version(Cli& cli) {
  CLI::App& verb = cli.verb("version", "Print the version", kGroupProgram);
  cli.on_run(verb, [&cli]() -> Result<ExitCode> {
    LAMINA_TRY(cli.console().write("lamina " LAMINA_VERSION "\n"));
    return kExitOk;
  });
}

// Known, so that who asks for it learns that it isn't there rather than of a typing mistake.
void add_serve(Cli& cli) {
  CLI::App& verb = cli.verb("serve", "Serve models to browsers and programs", kHidden);
  cli.on_run(verb, []() -> Result<ExitCode> {
    return make_error(Code::kUnsupported,
                      "lamina serve is not in this version; use lamina run or lamina chat");
  });
}

}  // namespace lamina::cli
