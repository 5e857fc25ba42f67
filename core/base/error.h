// SPDX-License-Identifier: Apache-2.0
// Errors as values. A message names the file or field, its value, and what to do.
#pragma once

#include <string>
#include <string_view>

namespace lamina {

enum class Code {
  kInvalidArgument,     // the caller asked for something impossible (flag, range, unknown name)
  kInvalidModel,        // model files do not mean what they must mean
  kIntegrity,           // size, hash or signature does not match
  kNotFound,            // file, tensor, key is not there
  kIo,                  // the operating system refused a read or write
  kOutOfMemory,         // a large buffer could not be had
  kUnsupported,         // well-formed, but this build or backend cannot do it
  kDevice,              // the compute device failed or was lost
  kCancelled,           // the user stopped it
  kResourceExhausted,   // a limit was reached (memory, pages, budget)
  kContextExceeded,     // a prompt has more tokens than the context: it never fits
  kQueueFull,           // too much waits already: the same may work later
  kDraining,            // the service is leaving and takes nothing new
  kUnloaded,            // the model was unloaded before the work was done
};

std::string_view code_name(Code code);  // "invalid_model", stable, for JSON

struct Error {
  Code code;
  std::string message;
};

// printf-style; GCC and clang check the arguments.
[[nodiscard]] Error make_error(Code code, const char* format, ...)
    __attribute__((format(printf, 2, 3)));

// Text from outside, made safe to print inside a message: control bytes escaped, cut at 80 bytes.
std::string quote(std::string_view text);

}  // namespace lamina
