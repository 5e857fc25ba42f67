// SPDX-License-Identifier: Apache-2.0
#include "native/cli/cli.h"

#include <algorithm>
#include <exception>
#include <new>

#include "core/base/error.h"
#include "native/cli/suggest.h"
#include "native/cli/tree.h"

namespace lamina::cli {
namespace {

class TreeFormatter final : public CLI::FormatterBase {
 public:
  std::string make_help(const CLI::App* app, std::string, CLI::AppFormatMode) const override {
    return help_text(*app, LAMINA_VERSION);
  }
};

std::vector<std::string> flag_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const FlagInfo& flag : describe(app).flags) {
    names.insert(names.end(), flag.names.begin(), flag.names.end());
  }
  return names;
}

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const VerbInfo& verb : describe(app).verbs) names.push_back(verb.name);
  return names;
}

bool contains(const std::vector<std::string>& words, std::string_view word) {
  for (const std::string& w : words) {
    if (w == word) return true;
  }
  return false;
}

}  // namespace

Cli::Cli() : app_("Llama-family language models on the machine in front of you.", "lamina") {
  app_.formatter(std::make_shared<TreeFormatter>());
  app_.require_subcommand(0, 1);
  app_.set_help_flag("-h,--help", "Print help and leave");
  app_.set_version_flag("--version", "lamina " LAMINA_VERSION, "Print the version and leave");
  app_.footer(
      "  lamina run                                  # a story by the demo model\n"
      "  lamina chat                                 # a conversation with it\n"
      "  lamina convert ~/Llama-3.2-1B ~/llama-1b    # a Hugging Face folder to a model folder\n"
      "  lamina run -m ~/llama-1b -p \"Why is the sky blue?\"\n");
}

CLI::App& Cli::verb(const std::string& name, const std::string& summary, const std::string& group,
                    const std::string& examples) {
  CLI::App* verb = app_.add_subcommand(name, summary)->group(group);
  verb->footer(examples);
  verb->option_defaults()->group(kGroupCommon);
  verb->add_flag("-q,--quiet", quiet_, "Say nothing but data and errors")->disable_flag_override();
  verb->add_flag("-v,--verbose", verbose_, "Say more")->disable_flag_override();
  verb->add_flag("--no-color", no_color_, "No colours; so does NO_COLOR in the environment")
      ->disable_flag_override();
  verb->set_help_flag("-h,--help", "Print this help and leave")->group(kGroupCommon);
  return *verb;
}

void Cli::on_run(CLI::App& verb, Action action) {
  verb.callback([this, action = std::move(action)] { action_ = action; });
}

int Cli::main(int argc, char** argv) {
  try {
    return parse_and_run(argc, argv);
  } catch (const std::bad_alloc&) {
    console_.error("out of memory");
    return kExitLimit;
  } catch (const std::exception& e) {
    console_.error(std::string("unexpected: ") + e.what());
    return kExitUnexpected;
  }
}

int Cli::parse_and_run(int argc, char** argv) {
  std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  if (!args.empty() && args[0] == "help") {  // lamina help VERB is lamina VERB --help
    args.erase(args.begin());
    args.resize(std::min<size_t>(args.size(), 1));
    args.push_back("--help");
  }
  std::ranges::reverse(args);  // as CLI11 takes them
  try {
    app_.parse(std::move(args));
  } catch (const CLI::Success& e) {  // --help or --version, in any place
    const CLI::App* verb = chosen_verb();
    const bool version = dynamic_cast<const CLI::CallForVersion*>(&e) != nullptr;
    const std::string text =
        version ? std::string(e.what()) + "\n" : help_text(*verb, LAMINA_VERSION);
    const bool written = console_.write(text) && console_.flush();
    return written ? kExitOk : kExitIo;
  } catch (const CLI::ParseError& e) {
    console_.error(usage_message(e));
    return kExitUsage;
  }
  if (no_color_) console_.forbid_color();
  console_.set_verbosity(quiet_ ? -1 : verbose_);
  if (!action_) {
    const bool written =
        console_.write(help_text(*chosen_verb(), LAMINA_VERSION)) && console_.flush();
    return written ? kExitOk : kExitIo;
  }
  Result<ExitCode> done = action_();
  if (done) {
    const Result<void> flushed = console_.flush();
    if (flushed) return *done;
    done = flushed.error();
  }
  if (!done.error().message.empty()) console_.error(done.error().message);
  return exit_code_of(done.error().code);
}

const CLI::App* Cli::chosen_verb() const {
  const CLI::App* verb = &app_;
  for (;;) {
    const std::vector<CLI::App*> parsed = verb->get_subcommands();
    if (parsed.empty()) return verb;
    verb = parsed.front();
  }
}

std::string Cli::usage_message(const CLI::ParseError& error) const {
  if (dynamic_cast<const CLI::ExtrasError*>(&error)) {
    return unexpected_message(app_.remaining(true));
  }
  const CLI::App* verb = chosen_verb();
  const std::string path = verb == &app_ ? "lamina" : "lamina " + verb->get_name();
  std::string message = error.what();
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error)) {
    const std::string flag = message.substr(0, message.find(':'));
    message = flag + " needs a value";
  }
  return message + " ('" + path + " --help' explains)";
}

std::string Cli::unexpected_message(const std::vector<std::string>& extras) const {
  const CLI::App* verb = chosen_verb();
  const std::string word = extras.empty() ? "" : extras.front();
  const bool is_flag = word.size() > 1 && word[0] == '-';
  if (verb == &app_) {
    if (!is_flag) {
      return "unknown verb " + quote(word) + did_you_mean(word, verb_names(app_)) +
             " ('lamina --help' lists them)";
    }
    return quote(word) + ": flags come after a verb, e.g. lamina run " + quote(word).substr(1);
  }
  const std::string path = "lamina " + verb->get_name();
  if (!is_flag) {
    const bool takes_prompt = contains(flag_names(*verb), "--prompt");
    return "unexpected argument " + quote(word) +
           (takes_prompt ? ": a prompt goes after -p, in quotes" : "") +
           did_you_mean(word, verb_names(*verb)) + " ('" + path + " --help' explains)";
  }
  const std::string name = word.substr(0, word.find('='));
  return "unknown flag " + quote(name) + " of " + path + did_you_mean(name, flag_names(*verb)) +
         " ('" + path + " --help' lists them)";
}

}  // namespace lamina::cli
