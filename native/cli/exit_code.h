// SPDX-License-Identifier: Apache-2.0
// What the program tells its caller. The table here is the one that --help and the man page print.
#pragma once

#include <span>
#include <string_view>

#include "core/base/error.h"

namespace lamina::cli {

enum ExitCode : int {
  kExitOk = 0,
  kExitUnexpected = 1,
  kExitUsage = 2,
  kExitModel = 3,
  kExitIntegrity = 4,
  kExitIo = 5,
  kExitDevice = 6,
  kExitNetwork = 7,
  kExitLimit = 8,
  kExitInterrupted = 130,
};

struct ExitCodeText {
  ExitCode code;
  std::string_view meaning;
};
std::span<const ExitCodeText> exit_code_table();

ExitCode exit_code_of(Code code);

}  // namespace lamina::cli
