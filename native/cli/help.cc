// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "native/cli/cli.h"
#include "native/cli/tree.h"

namespace lamina::cli {
namespace {

constexpr size_t kWidth = 96;
constexpr size_t kColumn = 30;

// `left` and `right` in two columns, the right one wrapped.
std::string row(const std::string& left, const std::string& right, size_t column) {
  std::string out = "  " + left;
  size_t used = out.size();
  if (used + 2 > column) {
    out += '\n';
    used = 0;
  }
  out.append(column - used, ' ');
  size_t at = column;
  for (size_t begin = 0; begin < right.size();) {
    const size_t end = std::min(right.find(' ', begin), right.size());
    if (at > column && at + 1 + (end - begin) > kWidth) {
      out += '\n' + std::string(column, ' ');
      at = column;
    } else if (at > column) {
      out += ' ';
      ++at;
    }
    out += right.substr(begin, end - begin);
    at += end - begin;
    begin = end + 1;
  }
  return out + '\n';
}

std::string with_default(const FlagInfo& flag) {
  return flag.default_text.empty() ? flag.help : flag.help + " (default " + flag.default_text + ")";
}

// The groups of `items` in order of appearance, what every verb has last.
template <typename Item>
std::vector<std::string> groups_of(const std::vector<Item>& items) {
  std::vector<std::string> groups;
  for (const Item& item : items) {
    if (std::ranges::find(groups, item.group) == groups.end()) groups.push_back(item.group);
  }
  std::stable_partition(groups.begin(), groups.end(),
                        [](const std::string& g) { return g != kGroupCommon; });
  return groups;
}

std::string program_help(const VerbInfo& program, const std::string& version) {
  std::string out = "Lamina " + version + ": " + program.summary + "\n\n";
  out += "Usage: lamina VERB [flags]\n       lamina VERB --help\n";
  for (const std::string& group : groups_of(program.verbs)) {
    out += "\n" + group + ":\n";
    for (const VerbInfo& verb : program.verbs) {
      if (verb.group == group) out += row(verb.name, verb.summary, 16);
    }
  }
  out += "\nExit status:\n";
  for (const ExitCodeText& e : exit_code_table()) {
    out += row(format("%3d", static_cast<int>(e.code)), std::string(e.meaning), 10);
  }
  out += "\nEnvironment:\n";
  for (const EnvironmentText& e : environment_table()) out += row(e.name, e.meaning, kColumn);
  return out + "\nFirst steps:\n" + program.examples;
}

}  // namespace

std::string help_text(const CLI::App& app, const std::string& version) {
  const VerbInfo verb = describe(app);
  if (app.get_parent() == nullptr) return program_help(verb, version);
  const std::string path = "lamina " + verb.name;
  std::string out = path + ": " + verb.summary + "\n\nUsage: " + path + " " + verb.usage() + "\n";
  if (!verb.positionals.empty()) out += "\n";
  for (const FlagInfo& p : verb.positionals) out += row(p.kind, with_default(p), kColumn);
  for (const std::string& group : groups_of(verb.flags)) {
    out += "\n" + group + ":\n";
    for (const FlagInfo& flag : verb.flags) {
      if (flag.group == group) out += row(flag.label(), with_default(flag), kColumn);
    }
  }
  if (!verb.examples.empty()) out += "\nExamples:\n" + verb.examples;
  return out;
}

}  // namespace lamina::cli
