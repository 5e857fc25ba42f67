// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <memory>

#include "native/cli/answer.h"
#include "native/cli/cli.h"
#include "native/cli/conversation.h"
#include "native/cli/flags.h"
#include "native/cli/host.h"
#include "native/cli/input.h"
#include "native/cli/line_editor.h"
#include "native/cli/sampling_flags.h"
#include "native/cli/suggest.h"
#include "native/platform/files.h"
#include "native/platform/paths.h"
#include "native/platform/signals.h"

namespace lamina::cli {
namespace {

struct Options {
  std::string system;
  bool slide = false, no_history = false;
  ModelFlags model;
  EngineFlags engine;
  SamplingFlags sampling;
};

class Chat {
 public:
  Chat(Console& console, Host& host, Survivor& survivor, Session& session,
       Conversation conversation, SamplingFlags sampling, std::unique_ptr<LineEditor> editor)
      : console_(console),
        host_(host),
        survivor_(survivor),
        session_(session),
        conversation_(std::move(conversation)),
        sampling_(std::move(sampling)),
        editor_(std::move(editor)) {}

  // Until the user leaves.
  Result<ExitCode> run();

 private:
  struct Command {
    const char* name;
    const char* argument;  // for help; empty when it takes none
    const char* help;
    std::function<Result<void>(const std::string&)> act;
  };

  std::vector<Command> commands();
  Result<void> command(const std::string& line);
  struct Message {
    std::string text;
    bool is_command = false;
  };
  Result<std::optional<Message>> read_message();  // nothing: it's time to leave
  Result<std::string> read_block(std::string text);
  Result<void> ask(const std::string& message);
  Result<void> help();
  Result<void> save(const std::string& path);
  Result<void> load(const std::string& path);
  Result<void> backend(const std::string& kind);
  Result<void> set_number(const char* name, float& value, float low, float high,
                          const std::string& text);
  Result<void> set_integer(const char* name, int32_t& value, int32_t low, int32_t high,
                           const std::string& text);

  Console& console_;
  Host& host_;
  Survivor& survivor_;
  Session& session_;
  Conversation conversation_;
  SamplingFlags sampling_;
  std::unique_ptr<LineEditor> editor_;
  std::optional<AnswerStats> last_;
  bool leaving_ = false;
  ExitCode exit_code_ = kExitOk;
};

constexpr std::string_view kBlock = "\"\"\"";

Result<ExitCode> Chat::run() {
  while (!leaving_) {
    LAMINA_ASSIGN(const std::optional<Message> message, read_message());
    if (!message) break;
    if (message->text.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    const Result<void> done = message->is_command ? command(message->text) : ask(message->text);
    if (done) continue;
    // A trouble with one message is told and the conversation goes on; a device lost for good or a
    // lost output ends it.
    const bool mute = done.error().code == Code::kIo && !console_.flush();
    if (mute || !survivor_.engine().has_backend()) return done.error();
    console_.error(done.error().message);
  }
  return exit_code_;
}

Result<std::optional<Chat::Message>> Chat::read_message() {
  bool warned = false;
  for (;;) {
    LAMINA_ASSIGN(LineEditor::Line line, editor_->read("> "));
    if (line.kind == LineEditor::Line::kEnd) return std::optional<Message>();
    if (line.kind == LineEditor::Line::kInterrupted) {
      if (!line.text.empty()) continue;  // it only threw away the line
      if (warned) {
        exit_code_ = kExitInterrupted;
        return std::optional<Message>();
      }
      console_.note("(Ctrl-C again, Ctrl-D or /exit to leave)");
      warned = true;
      continue;
    }
    editor_->remember(line.text);
    if (!line.text.starts_with(kBlock)) {
      const bool command = line.text.starts_with('/');
      return std::optional<Message>({std::move(line.text), command});
    }
    LAMINA_ASSIGN(std::string text, read_block(line.text.substr(kBlock.size())));
    return std::optional<Message>({std::move(text), false});
  }
}

// From behind the opening quotes to the closing ones.
Result<std::string> Chat::read_block(std::string text) {
  while (!text.ends_with(kBlock)) {
    LAMINA_ASSIGN(const LineEditor::Line line, editor_->read(". "));
    if (line.kind == LineEditor::Line::kInterrupted) return std::string();
    if (line.kind == LineEditor::Line::kEnd) return text;
    text += (text.empty() ? "" : "\n") + line.text;
  }
  text.resize(text.size() - kBlock.size());
  return text;
}

Result<void> Chat::ask(const std::string& message) {
  conversation_.add("user", valid_text(console_, message, "the message"));
  std::string answer;
  SafeText safe;
  const auto on_token = [&](const TokenEvent& event) -> Result<void> {
    answer += event.text;
    LAMINA_TRY(console_.write(safe.push(event.text)));
    return console_.flush();
  };
  const auto turn = [&]() -> Result<AnswerStats> {
    LAMINA_ASSIGN(const AnswerOptions options, answer_options(sampling_));
    LAMINA_ASSIGN(const std::vector<int32_t> ids, conversation_.prompt_ids());
    return run_answer(console_, survivor_, session_, ids, options, on_token);
  };
  const Result<AnswerStats> stats = turn();
  interrupted() = false;
  if (!stats) {
    conversation_.drop_last();
    Error error = stats.error();
    if (error.code == Code::kContextExceeded) {
      error.message += "; /reset begins a new conversation, --slide forgets the oldest part";
    }
    return error;
  }
  conversation_.add("assistant", answer);
  last_ = *stats;
  LAMINA_TRY(console_.write(safe.finish() + (answer.ends_with('\n') ? "" : "\n")));
  LAMINA_TRY(console_.flush());
  if (stats->finish == FinishReason::kContext) {
    console_.note(
        "(The context is full: /reset begins a new conversation; --slide forgets the "
        "oldest part and goes on.)");
  }
  if (stats->finish == FinishReason::kCancelled) console_.note("(stopped)");
  if (console_.verbosity() >= 1) print_summary(console_, host_, survivor_, *stats);
  return {};
}

Result<void> Chat::command(const std::string& line) {
  const size_t space = std::min(line.find_first_of(" \t"), line.size());
  const std::string name = line.substr(0, space);
  const size_t begin = line.find_first_not_of(" \t", space);
  std::string argument = begin == std::string::npos ? "" : line.substr(begin);
  argument.erase(argument.find_last_not_of(" \t") + 1);
  std::vector<std::string> names;
  for (const Command& c : commands()) {
    if (name == c.name) return c.act(argument);
    names.push_back(c.name);
  }
  return make_error(Code::kInvalidArgument, "no command %s%s (/help lists them)",
                    quote(name).c_str(), did_you_mean(name, names).c_str());
}

std::vector<Chat::Command> Chat::commands() {
  SamplingParams& p = sampling_.params;
  const auto leave = [this](const std::string&) -> Result<void> {
    leaving_ = true;
    return {};
  };
  return {
      {"/help", "", "this list", [this](const std::string&) { return help(); }},
      {"/reset", "", "begin a new conversation; the system message stays",
       [this](const std::string&) -> Result<void> {
         conversation_.clear();
         console_.note("(new conversation)");
         return {};
       }},
      {"/system", "TEXT", "set the system message; without TEXT take it away",
       [this](const std::string& text) -> Result<void> {
         conversation_.set_system(valid_text(console_, text, "the system message"));
         console_.note(text.empty() ? "(no system message)" : "(system message set)");
         return {};
       }},
      {"/save", "FILE", "write the conversation to a file",
       [this](const std::string& path) { return save(path); }},
      {"/load", "FILE", "go on with a saved conversation",
       [this](const std::string& path) { return load(path); }},
      {"/backend", "NAME", "go on with cpu, reference or vulkan; without NAME say which",
       [this](const std::string& kind) { return backend(kind); }},
      {"/stats", "", "speed and memory of the last answer",
       [this](const std::string&) -> Result<void> {
         if (last_)
           print_summary(console_, host_, survivor_, *last_);
         else
           console_.note("(no answer yet)");
         return {};
       }},
      {"/temp", "X", "temperature, 0 for always the likeliest token",
       [this, &p](const std::string& t) { return set_number("/temp", p.temperature, 0, 100, t); }},
      {"/top-k", "N", "among the likeliest N, 0 for all",
       [this, &p](const std::string& t) {
         return set_integer("/top-k", p.top_k, 0, INT32_MAX, t);
       }},
      {"/top-p", "X", "among the likeliest that make up this probability",
       [this, &p](const std::string& t) { return set_number("/top-p", p.top_p, 0, 1, t); }},
      {"/min-p", "X", "none below this part of the best one's probability",
       [this, &p](const std::string& t) { return set_number("/min-p", p.min_p, 0, 1, t); }},
      {"/n", "N", "tokens of an answer at most, -1 for no limit",
       [this](const std::string& t) {
         return set_integer("/n", sampling_.n_predict, -1, INT32_MAX, t);
       }},
      {"/exit", "", "leave; so does Ctrl-D", leave},
      {"/quit", "", "the same", leave},
  };
}

Result<void> Chat::help() {
  for (const Command& c : commands()) {
    console_.note(format("  %-14s %s", (c.name + std::string(" ") + c.argument).c_str(), c.help));
  }
  console_.note("  \"\"\"            begins and ends a message of many lines");
  console_.note("  Ctrl-C         stops the answer");
  return {};
}

Result<void> Chat::save(const std::string& path) {
  if (path.empty()) return make_error(Code::kInvalidArgument, "/save needs a file name");
  LAMINA_TRY(write_file_atomic(path, conversation_.to_json(), 0600));
  console_.note(format("(%zu messages saved to %s)", conversation_.turns().size(), path.c_str()));
  return {};
}

Result<void> Chat::load(const std::string& path) {
  if (path.empty()) return make_error(Code::kInvalidArgument, "/load needs a file name");
  LAMINA_ASSIGN(const std::string text, read_file(path, kMaxInputBytes));
  LAMINA_TRY(conversation_.from_json(text, path));
  console_.note(format("(%zu messages loaded)", conversation_.turns().size()));
  return {};
}

Result<void> Chat::backend(const std::string& kind) {
  const auto current = [this] {
    const BackendInfo info = survivor_.engine().backend().info();
    return info.name + " (" + safe_text(info.device) + ")";
  };
  if (kind.empty() || kind == host_.kind) {
    console_.note("(" + std::string(kind.empty() ? "" : "already ") + "on " + current() + ", " +
                  host_.why + ")");
    return {};
  }
  Result<void> switched = switch_backend(host_, survivor_, kind, "asked for by /backend");
  if (!switched) {
    Error error = std::move(switched).error();
    error.message = "/backend: " + error.message + "; still on " + host_.kind;
    return error;
  }
  console_.note("(now on " + current() +
                format(", %d tokens of the conversation came along)", session_.n_cached()));
  return {};
}

Result<void> Chat::set_number(const char* name, float& value, float low, float high,
                              const std::string& text) {
  if (!text.empty()) {
    const std::optional<double> number = parse_double(text);
    if (!number || *number < static_cast<double>(low) || *number > static_cast<double>(high)) {
      return make_error(Code::kInvalidArgument, "%s %s: a number from %g to %g is needed", name,
                        quote(text).c_str(), static_cast<double>(low), static_cast<double>(high));
    }
    value = static_cast<float>(*number);
  }
  console_.note(format("(%s %g)", name + 1, static_cast<double>(value)));
  return {};
}

Result<void> Chat::set_integer(const char* name, int32_t& value, int32_t low, int32_t high,
                               const std::string& text) {
  if (!text.empty()) {
    const std::optional<int64_t> number = parse_int(text);
    if (!number || *number < low || *number > high) {
      return make_error(Code::kInvalidArgument, "%s %s: a whole number of at least %d is needed",
                        name, quote(text).c_str(), low);
    }
    value = static_cast<int32_t>(*number);
  }
  console_.note(format("(%s %d)", name + 1, value));
  return {};
}

Result<ExitCode> run(Console& console, const Options& o) {
  LAMINA_TRY(answer_options(o.sampling));  // complain before loading
  install_interrupt_handler();
  LAMINA_ASSIGN(const std::unique_ptr<Host> host, open_host(console, o.model, o.engine, 1));
  LAMINA_ASSIGN(Conversation conversation,
                Conversation::create(host->model->manifest, *host->tokenizer));
  if (!conversation.has_template()) {
    return make_error(Code::kInvalidModel,
                      "%s has no chat template: it completes text, see lamina run --raw",
                      host->choice.directory.c_str());
  }
  conversation.set_system(o.system);
  const std::unique_ptr<Survivor> survivor = make_survivor(console, *host);
  LAMINA_ASSIGN(
      Session* const session,
      survivor->new_session(host->tokenizer.get(), o.slide ? AtLimit::kSlide : AtLimit::kStop));
  const bool terminal = console.stdin_is_terminal();
  if (terminal) {
    console.note(safe_text(host->model->manifest.name) + " on " +
                 survivor->engine().backend().info().name +
                 ". /help lists commands, Ctrl-D leaves.");
  }
  const std::string history = o.no_history ? "" : join_path(state_directory(), "chat_history");
  Chat chat(console, *host, *survivor, *session, std::move(conversation), o.sampling,
            terminal ? make_terminal_editor(history) : make_pipe_editor());
  return chat.run();
}

}  // namespace

void add_chat(Cli& cli) {
  CLI::App& verb = cli.verb("chat", "Hold a conversation", kGroupUse,
                            "  lamina chat\n"
                            "  lamina chat -m ~/llama-1b --system \"Answer in one sentence.\"\n");
  auto o = std::make_shared<Options>();
  verb.option_defaults()->group("Conversation");
  text_flag(verb, "--system", o->system, "TEXT", "System message");
  switch_flag(verb, "--no-history", o->no_history, "Keep no file of the lines you typed");
  add_model_flags(verb, o->model);
  add_sampling_flags(verb, o->sampling);
  add_engine_flags(verb, o->engine);
  add_submit_flag(verb, o->engine);
  switch_flag(verb, "--slide", o->slide,
              "When the context is full, forget its oldest part and go on");
  cli.on_run(verb, [&cli, o] { return run(cli.console(), *o); });
}

}  // namespace lamina::cli
