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

}  // namespace lamina::cli
