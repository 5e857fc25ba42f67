// SPDX-License-Identifier: Apache-2.0
// Lines from a person, with editing and a history (libedit), or from a pipe, without.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/base/result.h"

namespace lamina::cli {

class LineEditor {
 public:
  virtual ~LineEditor() = default;

  struct Line {
    enum Kind { kText, kEnd, kInterrupted } kind;
    std::string text;  // without the newline
  };
  // Shows `prompt` and waits. kEnd: Ctrl-D or the end of the pipe. kInterrupted: Ctrl-C, with what
  // was typed before it; interrupted() is false again.
  virtual Result<Line> read(const std::string& prompt) = 0;

  // Keeps a line for later recall, in the file, too.
  virtual void remember(const std::string& line) = 0;
};

// On a terminal, with the history in `history_file` (its folder is made when missing; without one
// the history lasts as long as the program). An answer may run between two reads: the terminal is
// in its ordinary mode then.
std::unique_ptr<LineEditor> make_terminal_editor(const std::string& history_file);

// From standard input as it is; prompts are not shown.
std::unique_ptr<LineEditor> make_pipe_editor();

}  // namespace lamina::cli
