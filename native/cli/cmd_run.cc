// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "core/base/json.h"
#include "native/cli/answer.h"
#include "native/cli/cli.h"
#include "native/cli/conversation.h"
#include "native/cli/dry_run.h"
#include "native/cli/flags.h"
#include "native/cli/host.h"
#include "native/cli/input.h"
#include "native/cli/sampling_flags.h"
#include "native/cli/text_ids.h"
#include "native/platform/signals.h"

namespace lamina::cli {
namespace {

constexpr const char* kDemoPrompt = "Tell me a story about a fox and a lantern.";
constexpr const char* kDemoBeginning = "Once upon a time";

struct Options {
  TextFlags text;
  std::string system;
  bool raw = false, special = false, slide = false;
  bool json = false, json_stream = false, dry_run = false;
  ModelFlags model;
  EngineFlags engine;
  SamplingFlags sampling;
};

struct Prompt {
  std::string text;
  bool ours = false;  // nobody gave one
};

Result<Prompt> read_prompt(Console& console, const Options& o, bool demo) {
  LAMINA_ASSIGN(std::optional<std::string> text, read_text(console, o.text));
  if (text && !o.text.prompt && !o.raw) drop_final_newline(*text);
  const bool empty_pipe = text && text->empty() && !o.text.prompt && !o.text.file;
  if (!text || empty_pipe) {
    if (!demo) {
      return make_error(Code::kInvalidArgument,
                        "no prompt: give -p TEXT, -f FILE, or text on standard input");
    }
    return Prompt{o.raw ? kDemoBeginning : kDemoPrompt, true};
  }
  return Prompt{valid_text(console, std::move(*text), "the prompt"), false};
}

Result<std::vector<int32_t>> prompt_ids(const Options& o, const Host& host,
                                        const std::string& text) {
  LAMINA_ASSIGN(Conversation conversation,
                o.raw ? Result<Conversation>(Conversation())
                      : Conversation::create(host.model->manifest, *host.tokenizer));
  if (!conversation.has_template()) {
    if (!o.system.empty()) {
      return make_error(Code::kInvalidArgument, "--system needs a chat template, which %s",
                        o.raw ? "--raw leaves out" : "this model does not have");
    }
    return text_ids(*host.tokenizer, text, o.special);
  }
  conversation.set_system(o.system);
  conversation.add("user", text);
  return conversation.prompt_ids();
}

// Where the answer goes as it comes: text, JSON lines, or into one JSON object at the end.
class Sink {
 public:
  Sink(Console& console, const Options& options) : console_(console), o_(options) {}

  Result<void> token(const TokenEvent& event) {
    text_ += event.text;
    if (event.token >= 0) ids_.push_back(event.token);
    if (o_.json) return {};
    if (o_.json_stream) {
      JsonWriter json;
      json.begin_object().member("event", "token").member("id", event.token);
      json.member("text", event.text).end_object();
      LAMINA_TRY(console_.write(json.text() + "\n"));
    } else {
      LAMINA_TRY(console_.write(safe_.push(event.text)));
    }
    return console_.flush();
  }

  Result<void> finish(const Host& host, const Survivor& survivor, const AnswerStats& stats) {
    if (!o_.json && !o_.json_stream) {
      LAMINA_TRY(console_.write(safe_.finish()));
      const bool on_terminal = console_.stdout_is_terminal();
      if (on_terminal && !text_.ends_with('\n')) LAMINA_TRY(console_.write("\n"));
      return console_.flush();
    }
    JsonWriter json;
    json.begin_object();
    if (o_.json_stream) json.member("event", "end");
    json.member("text", text_).key("ids").begin_array();
    for (int32_t id : ids_) json.value(id);
    json.end_array();
    write_summary(json, host, survivor, stats);
    return console_.write(json.end_object().text() + "\n");
  }

 private:
  Console& console_;
  const Options& o_;
  SafeText safe_;
  std::string text_;
  std::vector<int32_t> ids_;
};

Result<ExitCode> run(Console& console, const Options& o) {
  if (o.dry_run) {
    LAMINA_TRY(dry_run(console, o.model, o.engine, o.json || o.json_stream));
    return kExitOk;
  }
  LAMINA_ASSIGN(const AnswerOptions answer, answer_options(o.sampling));
  install_interrupt_handler();
  LAMINA_ASSIGN(const ModelChoice choice, choose_model(o.model));
  LAMINA_ASSIGN(const Prompt prompt, read_prompt(console, o, choice.demo));
  LAMINA_ASSIGN(const std::unique_ptr<Host> host, open_host(console, o.model, o.engine, 1));
  LAMINA_ASSIGN(const std::vector<int32_t> ids, prompt_ids(o, *host, prompt.text));
  const std::unique_ptr<Survivor> survivor = make_survivor(console, *host);
  LAMINA_ASSIGN(
      Session* const session,
      survivor->new_session(host->tokenizer.get(), o.slide ? AtLimit::kSlide : AtLimit::kStop));
  if (prompt.ours) console.note("No prompt given, so: " + prompt.text + "\n");
  Sink sink(console, o);
  double first_token = 0.0;
  LAMINA_ASSIGN(AnswerStats stats,
                run_answer(console, *survivor, *session, ids, answer, [&](const TokenEvent& event) {
                  if (first_token == 0.0) first_token = seconds_since_start();
                  return sink.token(event);
                }));
  stats.start_to_first_token_seconds = first_token;
  LAMINA_TRY(sink.finish(*host, *survivor, stats));
  if (console.verbosity() >= 0 && !o.json) console.note("");
  print_summary(console, *host, *survivor, stats);
  return stats.finish == FinishReason::kCancelled ? kExitInterrupted : kExitOk;
}

}  // namespace

void add_run(Cli& cli) {
  CLI::App& verb =
      cli.verb("run", "Answer a prompt, or tell a story", kGroupUse,
               "  lamina run\n"
               "  lamina run -m ~/llama-1b -p \"Why is the sky blue?\"\n"
               "  lamina run --raw -p \"Once upon a time\" -n 50 --temp 0\n"
               "  git diff | lamina run -m ~/llama-1b --system \"Review this change\"\n");
  auto o = std::make_shared<Options>();
  verb.option_defaults()->group("Prompt");
  text_flag(verb, "-p,--prompt", o->text.prompt, "TEXT", "The prompt; else standard input");
  text_flag(verb, "-f,--file", o->text.file, "FILE",
            "The prompt out of a file; - for standard input");
  text_flag(verb, "--system", o->system, "TEXT", "System message, for models with a chat template");
  switch_flag(verb, "--raw", o->raw, "Complete the text as it stands, without the chat template");
  switch_flag(verb, "--special", o->special,
              "With --raw: read the names of special tokens in the prompt as these tokens");
  add_model_flags(verb, o->model);
  add_sampling_flags(verb, o->sampling);
  add_engine_flags(verb, o->engine);
  add_submit_flag(verb, o->engine);
  switch_flag(verb, "--slide", o->slide,
              "When the context is full, forget its oldest part and go on");
  verb.option_defaults()->group("Output");
  switch_flag(verb, "--dry-run", o->dry_run,
              "Print what memory the model would take, of what there is, and run nothing");
  switch_flag(verb, "--json", o->json, "Print one JSON object: text, ids, timings, memory");
  switch_flag(verb, "--json-stream", o->json_stream,
              "Print a JSON object per token, then the one of --json");
  cli.on_run(verb, [&cli, o] { return run(cli.console(), *o); });
}

}  // namespace lamina::cli
