// SPDX-License-Identifier: Apache-2.0
// The CLI11 tree as plain data, for everything that is generated from it: help, shell completion,
// man page, suggestions.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace lamina::cli {

struct FlagInfo {
  std::vector<std::string> names;  // "-m", "--model"; empty for a positional
  std::string kind;                // "DIR", "a|b|c", "N"; empty for a switch
  std::string help;
  std::string default_text;
  std::string group;
  bool required = false;

  std::string label() const;  // "-m, --model DIR"
};

struct VerbInfo {
  std::string name;
  std::string summary;
  std::string group;
  std::string examples;
  std::vector<FlagInfo> flags;
  std::vector<FlagInfo> positionals;
  std::vector<VerbInfo> verbs;  // without the hidden ones

  std::string usage() const;  // "[flags] SRC DST"
};

VerbInfo describe(const CLI::App& app);

// What the environment says to the program: name, meaning.
struct EnvironmentText {
  const char* name;
  const char* meaning;
};
const std::vector<EnvironmentText>& environment_table();

std::string help_text(const CLI::App& app, const std::string& version);
std::string man_page(const CLI::App& app, const std::string& version);
std::string completion_script(const CLI::App& app, const std::string& shell);

}  // namespace lamina::cli
