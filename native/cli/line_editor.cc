// SPDX-License-Identifier: Apache-2.0
#include "native/cli/line_editor.h"

#include <histedit.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cstdio>

#include "core/base/utf8.h"
#include "native/cli/input.h"
#include "native/platform/files.h"
#include "native/platform/signals.h"

namespace lamina::cli {
namespace {

class PipeEditor final : public LineEditor {
 public:
  Result<Line> read(const std::string&) override {
    for (;;) {
      const size_t newline = pending_.find('\n', searched_);
      if (newline != std::string::npos) return take(newline);
      if (ended_ && begin_ < pending_.size()) return take(pending_.size());
      if (ended_) return Line{Line::kEnd, ""};
      pending_.erase(0, begin_);
      begin_ = 0;
      searched_ = pending_.size();
      char block[1 << 16];
      const ssize_t n = ::read(STDIN_FILENO, block, sizeof block);
      if (n < 0 && errno == EINTR) {
        if (interrupted().exchange(false)) return Line{Line::kInterrupted, ""};
        continue;
      }
      if (n < 0) return os_error("read", "standard input", errno);
      ended_ = n == 0;
      pending_.append(block, static_cast<size_t>(n));
      if (pending_.size() > kMaxInputBytes) {
        return make_error(Code::kResourceExhausted, "standard input: a line of more than %zu MiB",
                          kMaxInputBytes >> 20);
      }
    }
  }

  void remember(const std::string&) override {}

 private:
  Line take(size_t end) {
    Line line{Line::kText, pending_.substr(begin_, end - begin_)};
    begin_ = searched_ = std::min(end + 1, pending_.size());
    if (line.text.ends_with('\r')) line.text.pop_back();
    return line;
  }

  std::string pending_;  // from begin_ on: not given out yet; up to searched_: without a newline
  size_t begin_ = 0, searched_ = 0;
  bool ended_ = false;
};

class TerminalEditor final : public LineEditor {
 public:
  explicit TerminalEditor(const std::string& history_file) : file_(history_file) {
    std::setlocale(LC_CTYPE, "");  // or libedit would take each byte of a letter for one
    history_ = history_init();
    HistEvent event;
    history(history_, &event, H_SETSIZE, kHistory);
    history(history_, &event, H_SETUNIQUE, 1);
    if (!file_.empty()) history(history_, &event, H_LOAD, file_.c_str());
    edit_ = el_init("lamina", stdin, isatty(STDOUT_FILENO) ? stdout : stderr, stderr);
    el_set(edit_, EL_CLIENTDATA, this);
    el_set(edit_, EL_PROMPT, &TerminalEditor::prompt);
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_SIGNAL, 0);
    el_set(edit_, EL_GETCFN, &TerminalEditor::get_character);
    el_set(edit_, EL_HIST, history, history_);
    el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_source(edit_, nullptr);  // the user's ~/.editrc
  }

  ~TerminalEditor() override {
    el_end(edit_);
    history_end(history_);
  }

  Result<Line> read(const std::string& prompt) override {
    prompt_ = prompt;
    int count = 0;
    const char* text = el_gets(edit_, &count);
    const bool stopped = interrupted().exchange(false);
    if (stopped || text == nullptr || count <= 0) {
      const LineInfo* typed = el_line(edit_);
      const std::string rest(typed->buffer, static_cast<size_t>(typed->lastchar - typed->buffer));
      el_reset(edit_);
      std::fputs("\n", stderr);
      return stopped ? Line{Line::kInterrupted, rest} : Line{Line::kEnd, ""};
    }
    Line line{Line::kText, std::string(text, static_cast<size_t>(count))};
    drop_final_newline(line.text);
    return line;
  }

  void remember(const std::string& line) override {
    if (line.find_first_not_of(" \t") == std::string::npos) return;
    HistEvent event;
    history(history_, &event, H_ENTER, line.c_str());
    if (file_.empty()) return;
    const mode_t before = ::umask(0077);  // what one asks is nobody else's business
    history(history_, &event, H_SAVE, file_.c_str());
    ::umask(before);
  }

 private:
  static constexpr int kHistory = 1000;

  static TerminalEditor* self(EditLine* edit) {
    void* data = nullptr;
    el_get(edit, EL_CLIENTDATA, &data);
    return static_cast<TerminalEditor*>(data);
  }
  static char* prompt(EditLine* edit) { return self(edit)->prompt_.data(); }

  // libedit's own reader takes the first interrupted read for a passing trouble and goes on.
  static int get_character(EditLine*, wchar_t* out) {
    std::string bytes;
    for (;;) {
      char byte = 0;
      const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
      if (n == 0) return 0;
      if (n < 0 && errno == EINTR && !interrupted()) continue;
      if (n < 0) return -1;
      bytes += byte;
      if (incomplete_utf8_tail(bytes) == 0) break;
    }
    *out = static_cast<wchar_t>(decode_utf8(bytes, 0).value);
    return 1;
  }

  std::string file_;
  std::string prompt_;
  History* history_ = nullptr;
  EditLine* edit_ = nullptr;
};

}  // namespace

std::unique_ptr<LineEditor> make_terminal_editor(const std::string& history_file) {
  std::string file = history_file;
  if (!file.empty() && !make_directories(parent_path(file))) file.clear();
  return std::make_unique<TerminalEditor>(file);
}

std::unique_ptr<LineEditor> make_pipe_editor() {
  return std::make_unique<PipeEditor>();
}

}  // namespace lamina::cli
