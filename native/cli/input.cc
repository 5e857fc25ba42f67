// SPDX-License-Identifier: Apache-2.0
#include "native/cli/input.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/utf8.h"
#include "native/platform/files.h"
#include "native/platform/signals.h"

namespace lamina::cli {
namespace {

// A device that is no terminal: /dev/null gives no prompt rather than an empty one.
bool stdin_is_null() {
  struct stat status {};
  return ::fstat(STDIN_FILENO, &status) != 0 || S_ISCHR(status.st_mode);
}

}  // namespace

Result<std::string> read_stdin(Console& console) {
  if (console.stdin_is_terminal()) {
    console.note("Type the text; Ctrl-D on a line of its own ends it.");
  } else {
    pollfd waiting{STDIN_FILENO, POLLIN, 0};
    if (::poll(&waiting, 1, 1000) == 0) console.note("lamina: waiting for text on standard input");
  }
  std::string text;
  char block[1 << 16];
  for (;;) {
    if (interrupted()) return make_error(Code::kCancelled, "interrupted");
    const ssize_t n = ::read(STDIN_FILENO, block, sizeof block);
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error("read", "standard input", errno);
    text.append(block, static_cast<size_t>(n));
    if (text.size() > kMaxInputBytes) {
      return make_error(Code::kResourceExhausted, "standard input: more than %zu MiB of text",
                        kMaxInputBytes >> 20);
    }
  }
}

Result<std::optional<std::string>> read_text(Console& console, const TextFlags& flags) {
  if (flags.prompt && flags.file) {
    return make_error(Code::kInvalidArgument, "give the text by -p or by -f, not both");
  }
  if (flags.prompt) return flags.prompt;
  if (flags.file && *flags.file != "-") {
    LAMINA_ASSIGN(std::string text, read_file(*flags.file, kMaxInputBytes));
    return std::optional<std::string>(std::move(text));
  }
  if (!flags.file && (console.stdin_is_terminal() || stdin_is_null())) {
    return std::optional<std::string>();
  }
  LAMINA_ASSIGN(std::string text, read_stdin(console));
  return std::optional<std::string>(std::move(text));
}

std::string valid_text(Console& console, std::string text, const char* what) {
  if (is_valid_utf8(text)) return text;
  console.warn(std::string(what) + " is not valid UTF-8; the invalid bytes become U+FFFD");
  return repaired_utf8(text);
}

void drop_final_newline(std::string& text) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
}

}  // namespace lamina::cli
