// SPDX-License-Identifier: Apache-2.0
// The command line as a whole: the tree of verbs, and what runs after it was understood.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "core/base/result.h"
#include "native/cli/console.h"
#include "native/cli/exit_code.h"

namespace lamina::cli {

class Cli {
 public:
  using Action = std::function<Result<ExitCode>()>;

  Cli();
  Cli(const Cli&) = delete;
  Cli& operator=(const Cli&) = delete;

  // Parses, runs the verb, says what went wrong. Never throws.
  int main(int argc, char** argv);

  // A new verb with the flags that every verb has. `examples`: lines of command [# comment].
  CLI::App& verb(const std::string& name, const std::string& summary, const std::string& group,
                 const std::string& examples = "");
  // What `verb` does. May be called for a verb's own sub-verbs.
  void on_run(CLI::App& verb, Action action);

  CLI::App& app() { return app_; }
  Console& console() { return console_; }

 private:
  int parse_and_run(int argc, char** argv);
  std::string usage_message(const CLI::ParseError& error) const;
  std::string unexpected_message(const std::vector<std::string>& extras) const;
  const CLI::App* chosen_verb() const;

  CLI::App app_;
  Console console_;
  Action action_;
  bool quiet_ = false, no_color_ = false;
  int verbose_ = 0;
};

// The groups that help shows verbs in, in this order.
inline constexpr const char* kGroupUse = "Use a model";
inline constexpr const char* kGroupModels = "Prepare and check models";
inline constexpr const char* kGroupMeasure = "Look inside and measure";
inline constexpr const char* kGroupProgram = "The program itself";
inline constexpr const char* kHidden = "";  // from help and all that is generated, as CLI11 has it
// The group of the flags that every verb has.
inline constexpr const char* kGroupCommon = "Common";

// Registration, one per verb; each lives in cmd_<verb>.cc.
void add_run(Cli& cli);
void add_chat(Cli& cli);
void add_convert(Cli& cli);
void add_verify(Cli& cli);
void add_sign(Cli& cli);
void add_keygen(Cli& cli);
void add_trust(Cli& cli);
void add_inspect(Cli& cli);
void add_tokenize(Cli& cli);
void add_logits(Cli& cli);
void add_perplexity(Cli& cli);
void add_bench(Cli& cli);
void add_doctor(Cli& cli);
void add_completion(Cli& cli);
void add_version(Cli& cli);
void add_serve(Cli& cli);
void add_config(Cli& cli);
void add_man(Cli& cli);

}  // namespace lamina::cli
