// SPDX-License-Identifier: Apache-2.0
// Standard output and standard error. Data goes to stdout through write(); everything that is said
// to a person goes to stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/log.h"
#include "core/base/result.h"

namespace lamina::cli {

class Console {
 public:
  Console();

  bool stdin_is_terminal() const { return in_tty_; }
  bool stdout_is_terminal() const { return out_tty_; }
  bool stderr_is_terminal() const { return err_tty_; }

  // -1 quiet, 0 normal, 1 and more: say more.
  void set_verbosity(int level) { verbosity_ = level; }
  int verbosity() const { return verbosity_; }
  void forbid_color() { color_ = false; }
  // Lines for a person go there instead of stderr, as they are.
  void set_log(LogSink log) { log_ = std::move(log); }

  // Bytes to stdout as they are, buffered. kIo when they can't be written, with an empty message
  // when that's because nobody reads any more.
  Result<void> write(std::string_view data);
  Result<void> flush();

  // To stderr. note(): a line unless quiet; detail(): a line when verbose; warn() and error():
  // always, with the program's name in front.
  void note(std::string_view line);
  void detail(std::string_view line);
  void warn(std::string_view line);
  void error(std::string_view line);

  // For stderr: `text` dimmed or bold where colours are wanted, as it is elsewhere.
  std::string dim(std::string_view text) const;
  std::string bold(std::string_view text) const;
  std::string red(std::string_view text) const;

 private:
  void say(std::string_view line);
  bool log(LogLevel level, std::string_view line);
  std::string paint(std::string_view text, const char* code) const;
  bool in_tty_, out_tty_, err_tty_;
  bool color_;
  int verbosity_ = 0;
  LogSink log_;
  std::string buffer_;
  std::optional<Error> failure_;  // the first of stdout, from then on returned by every flush
};

// Model text made safe for a terminal, chunk by chunk: control characters other than newline and
// tab become visible escapes ("\x1b"), a carriage return before a newline is dropped.
class SafeText {
 public:
  std::string push(std::string_view text);  // whole code points
  std::string finish();                     // what was held back

 private:
  bool carriage_return_ = false;
};

std::string safe_text(std::string_view text);

// One line on stderr that is drawn over itself; nothing at all when stderr is no terminal or the
// console is quiet. Erased when destroyed.
class ProgressBar {
 public:
  ProgressBar(const Console& console, std::string label);
  ~ProgressBar() { erase(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void set(uint64_t done, uint64_t total, std::string_view what = {});
  void erase();

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  bool visible_;
  bool drawn_ = false;
  Clock::time_point start_, last_;
};

// "64 B", "7.1 MB", "1.17 GB" (powers of ten), for people.
std::string human_bytes(uint64_t bytes);
// "0.004 s", "12.3 s", "2 min 5 s".
std::string human_seconds(double seconds);

// printf into a string.
std::string format(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace lamina::cli
