// SPDX-License-Identifier: Apache-2.0
#include "native/cli/console.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/base/utf8.h"
#include "native/platform/terminal.h"

namespace lamina::cli {
namespace {

// All of `text`, through interruptions. False with errno set when it can't be had.
bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

void err_text(std::string_view text) {
  (void)write_all(STDERR_FILENO, text);
}

bool is_control(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

}  // namespace

Console::Console()
    : in_tty_(is_terminal(STDIN_FILENO)),
      out_tty_(is_terminal(STDOUT_FILENO)),
      err_tty_(is_terminal(STDERR_FILENO)),
      color_(wants_colour(STDERR_FILENO)) {}

Result<void> Console::write(std::string_view data) {
  constexpr size_t kBuffer = size_t{64} << 10;
  buffer_ += data;
  return buffer_.size() < kBuffer ? Result<void>() : flush();
}

Result<void> Console::flush() {
  const std::string data = std::exchange(buffer_, {});
  if (!failure_ && !write_all(STDOUT_FILENO, data)) {
    failure_ = errno == EPIPE ? Error{Code::kIo, ""}  // the reader has gone: nobody is left to tell
                              : make_error(Code::kIo, "can't write to standard output: %s",
                                           std::strerror(errno));
  }
  return failure_ ? Result<void>(*failure_) : Result<void>();
}

void Console::say(std::string_view line) {
  (void)flush();  // what was written before is seen before; a failure is kept
  err_text(std::string(line) + "\n");
}

bool Console::log(LogLevel level, std::string_view line) {
  if (log_) log_(level, line);
  return log_ != nullptr;
}

void Console::note(std::string_view line) {
  if (!log(LogLevel::kInfo, line) && verbosity_ >= 0) say(line);
}
void Console::detail(std::string_view line) {
  if (!log(LogLevel::kDebug, line) && verbosity_ >= 1) say(line);
}
void Console::warn(std::string_view line) {
  if (!log(LogLevel::kWarning, line)) say("lamina: warning: " + std::string(line));
}
void Console::error(std::string_view line) {
  if (!log(LogLevel::kError, line)) say(red("lamina:") + " " + std::string(line));
}

std::string Console::dim(std::string_view text) const {
  return paint(text, "2");
}
std::string Console::bold(std::string_view text) const {
  return paint(text, "1");
}
std::string Console::red(std::string_view text) const {
  return paint(text, "31");
}

std::string Console::paint(std::string_view text, const char* code) const {
  if (!color_) return std::string(text);
  return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
}

std::string SafeText::push(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    const std::string_view bytes = text.substr(at, c.bytes);
    at += c.bytes;
    if (carriage_return_ && c.value != '\n') out += "\\r";
    carriage_return_ = c.value == '\r';
    if (carriage_return_) continue;
    if (!c.valid) {
      append_utf8(out, 0xfffd);
    } else if (c.value == '\n' || c.value == '\t' || !is_control(c.value)) {
      out += bytes;
    } else {
      out += format("\\x%02x", static_cast<unsigned>(c.value));
    }
  }
  return out;
}

std::string SafeText::finish() {
  const bool pending = std::exchange(carriage_return_, false);
  return pending ? "\\r" : "";
}

std::string safe_text(std::string_view text) {
  SafeText safe;
  std::string out = safe.push(text);
  return out + safe.finish();
}

ProgressBar::ProgressBar(const Console& console, std::string label)
    : label_(std::move(label)),
      visible_(console.stderr_is_terminal() && console.verbosity() >= 0),
      start_(Clock::now()),
      last_(start_) {}

void ProgressBar::set(uint64_t done, uint64_t total, std::string_view what) {
  if (!visible_ || total == 0) return;
  const Clock::time_point now = Clock::now();
  const bool last_one = done >= total;
  if (now - last_ < std::chrono::milliseconds(100) && !last_one) return;
  last_ = now;
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  std::string line = label_ + " [";
  constexpr int kCells = 24;
  for (int i = 0; i < kCells; ++i) line += i < static_cast<int>(part * kCells) ? '#' : '.';
  line += format("] %3.0f%%", part * 100);
  if (elapsed > 2 && part > 0.02 && !last_one) {
    line += "  " + human_seconds(elapsed / part - elapsed) + " left";
  }
  if (!what.empty()) line += "  " + std::string(what);
  const auto columns = static_cast<size_t>(std::max(terminal_columns(STDERR_FILENO), 20));
  line.resize(std::min(line.size(), columns - 1));
  err_text("\r\x1b[K" + line);
  drawn_ = true;
}

void ProgressBar::erase() {
  if (!drawn_) return;
  err_text("\r\x1b[K");
  drawn_ = false;
}

std::string human_bytes(uint64_t bytes) {
  const auto n = static_cast<double>(bytes);
  if (bytes < 1000) return format("%u B", static_cast<unsigned>(bytes));
  if (n < 1e6) return format("%.1f kB", n / 1e3);
  if (n < 1e9) return format("%.1f MB", n / 1e6);
  return format("%.2f GB", n / 1e9);
}

std::string human_seconds(double seconds) {
  if (seconds < 1) return format("%.3f s", seconds);
  if (seconds < 100) return format("%.1f s", seconds);
  const auto whole = static_cast<long long>(seconds);
  if (whole < 3600) return format("%lld min %lld s", whole / 60, whole % 60);
  return format("%lld h %lld min", whole / 3600, whole % 3600 / 60);
}

std::string format(const char* format, ...) {
  va_list args;
  va_start(args, format);
  va_list measure;
  va_copy(measure, args);
  const int length = std::vsnprintf(nullptr, 0, format, measure);
  va_end(measure);
  std::string text(static_cast<size_t>(std::max(length, 0)), '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, args);
  va_end(args);
  return text;
}

}  // namespace lamina::cli
