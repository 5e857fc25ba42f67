// SPDX-License-Identifier: Apache-2.0
// Text that a verb is given: from a flag, a file or standard input.
#pragma once

#include <optional>
#include <string>

#include "core/base/result.h"
#include "native/cli/console.h"

namespace lamina::cli {

// No prompt is longer; whatever fits no context is refused later, with the number of tokens.
constexpr size_t kMaxInputBytes = size_t{256} << 20;

struct TextFlags {
  std::optional<std::string> prompt;  // -p
  std::optional<std::string> file;    // -f, "-" for standard input
};

// All of standard input. kCancelled when the user interrupts. Says what it waits for, on a terminal
// at once, else when nothing comes within a second.
Result<std::string> read_stdin(Console& console);

// From -p, else -f, else standard input when that's no terminal; nothing when it is one, or when it
// is the null device.
Result<std::optional<std::string>> read_text(Console& console, const TextFlags& flags);

// Valid UTF-8: what is not is replaced by U+FFFD, with a warning that names `what`.
std::string valid_text(Console& console, std::string text, const char* what);

// One newline at the end goes: `echo` and editors put it there.
void drop_final_newline(std::string& text);

}  // namespace lamina::cli
