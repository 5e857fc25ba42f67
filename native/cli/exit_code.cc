// SPDX-License-Identifier: Apache-2.0
#include "native/cli/exit_code.h"

namespace lamina::cli {

std::span<const ExitCodeText> exit_code_table() {
  static constexpr ExitCodeText kTable[] = {
      {kExitOk, "success"},
      {kExitUnexpected, "something unexpected went wrong: a fault of Lamina's"},
      {kExitUsage, "wrong usage: a flag, a value, a missing prompt"},
      {kExitModel, "the model is invalid, or of a kind that Lamina does not run"},
      {kExitIntegrity, "a size, hash or signature does not match"},
      {kExitIo, "a file is missing or can't be read or written, or the disk is full"},
      {kExitDevice, "the compute device failed, or this build has no such backend"},
      {kExitNetwork, "network (reserved)"},
      {kExitLimit, "a limit was reached: context, memory"},
      {kExitInterrupted, "interrupted"},
  };
  return kTable;
}

ExitCode exit_code_of(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return kExitUsage;
    case Code::kInvalidModel:
      return kExitModel;
    case Code::kIntegrity:
      return kExitIntegrity;
    case Code::kNotFound:
      return kExitIo;
    case Code::kIo:
      return kExitIo;
    case Code::kOutOfMemory:
      return kExitLimit;
    case Code::kUnsupported:
      return kExitDevice;
    case Code::kDevice:
      return kExitDevice;
    case Code::kCancelled:
      return kExitInterrupted;
    case Code::kResourceExhausted:
    case Code::kContextExceeded:
    case Code::kQueueFull:
    case Code::kDraining:
    case Code::kUnloaded:
      return kExitLimit;
  }
  return kExitUnexpected;
}

}  // namespace lamina::cli
