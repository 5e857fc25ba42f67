// SPDX-License-Identifier: Apache-2.0
// Shell completion written out of the tree, for bash, zsh and fish.
#include <algorithm>

#include "native/cli/console.h"
#include "native/cli/flags.h"
#include "native/cli/tree.h"

namespace lamina::cli {
namespace {

enum class Values { kNone, kAny, kFiles, kDirectories, kChoice };

Values values_of(const FlagInfo& flag) {
  if (flag.kind.empty()) return Values::kNone;
  if (flag.kind == "DIR" || flag.kind == "SRC" || flag.kind == "DST") return Values::kDirectories;
  if (flag.kind == "FILE" || flag.kind == "KEY") return Values::kFiles;
  return split_choices(flag.kind).empty() ? Values::kAny : Values::kChoice;
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

std::string single_quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::vector<std::string> names_of(const std::vector<FlagInfo>& flags) {
  std::vector<std::string> names;
  for (const FlagInfo& flag : flags)
    names.insert(names.end(), flag.names.begin(), flag.names.end());
  return names;
}

std::string bash_values(const FlagInfo& flag) {
  switch (values_of(flag)) {
    case Values::kDirectories:
      return "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")";
    case Values::kFiles:
      return "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")";
    case Values::kChoice:
      return "mapfile -t COMPREPLY < <(compgen -W " +
             single_quoted(joined(split_choices(flag.kind), " ")) + " -- \"$cur\")";
    default:
      return "COMPREPLY=()";
  }
}

std::string bash_verb(const VerbInfo& verb) {
  std::string out = "    " + verb.name + ")\n      case $prev in\n";
  for (const FlagInfo& flag : verb.flags) {
    if (flag.kind.empty()) continue;
    out += "        " + joined(flag.names, "|") + ") " + bash_values(flag) + "; return ;;\n";
  }
  out +=
      "      esac\n      if [[ $cur == -* ]]; then\n        mapfile -t COMPREPLY < <(compgen -W " +
      single_quoted(joined(names_of(verb.flags), " ")) + " -- \"$cur\")\n";
  if (!verb.positionals.empty()) {
    out += "      else\n        " + bash_values(verb.positionals[0]) + "\n";
  }
  return out + "      fi ;;\n";
}

std::string bash_script(const VerbInfo& program) {
  std::vector<std::string> verbs;
  for (const VerbInfo& verb : program.verbs) verbs.push_back(verb.name);
  std::string out =
      "# bash completion of lamina, by 'lamina completion bash'\n"
      "_lamina() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  COMPREPLY=()\n"
      "  if ((COMP_CWORD == 1)); then\n"
      "    mapfile -t COMPREPLY < <(compgen -W " +
      single_quoted(joined(verbs, " ") + " --help --version") +
      " -- \"$cur\")\n"
      "    return\n"
      "  fi\n"
      "  case ${COMP_WORDS[1]} in\n";
  for (const VerbInfo& verb : program.verbs) out += bash_verb(verb);
  return out + "  esac\n}\ncomplete -F _lamina lamina\n";
}

// Inside '...' of an _arguments spec: brackets and colons have a meaning.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_values(const FlagInfo& flag) {
  const std::string name = ":" + zsh_text(flag.kind) + ":";
  switch (values_of(flag)) {
    case Values::kNone:
      return "";
    case Values::kDirectories:
      return name + "_files -/";
    case Values::kFiles:
      return name + "_files";
    case Values::kChoice:
      return ":value:(" + joined(split_choices(flag.kind), " ") + ")";
    case Values::kAny:
      break;
  }
  return name;
}

std::string zsh_script(const VerbInfo& program) {
  std::string out =
      "#compdef lamina\n"
      "# zsh completion of lamina, by 'lamina completion zsh'\n"
      "_lamina() {\n"
      "  local -a verbs\n"
      "  verbs=(\n";
  for (const VerbInfo& verb : program.verbs) {
    out += "    " + single_quoted(verb.name + ":" + zsh_text(verb.summary)) + "\n";
  }
  out +=
      "  )\n"
      "  if ((CURRENT == 2)); then\n"
      "    _describe -t verbs verb verbs\n"
      "    return\n"
      "  fi\n"
      "  local verb=$words[2]\n"
      "  shift words\n"
      "  ((CURRENT--))\n"
      "  case $verb in\n";
  for (const VerbInfo& verb : program.verbs) {
    out += "    " + verb.name + ")\n      _arguments";
    for (const FlagInfo& flag : verb.flags) {
      for (const std::string& name : flag.names) {
        const std::string others = format("(%s)", joined(flag.names, " ").c_str());
        out += " \\\n        " + single_quoted((flag.names.size() > 1 ? others : "") + name + "[" +
                                               zsh_text(flag.help) + "]" + zsh_values(flag));
      }
    }
    for (const FlagInfo& p : verb.positionals)
      out += " \\\n        " + single_quoted(":" + zsh_values(p).substr(1));
    out += " ;;\n";
  }
  return out + "  esac\n}\ncompdef _lamina lamina\n";
}

std::string fish_values(const FlagInfo& flag) {
  switch (values_of(flag)) {
    case Values::kNone:
      return "";
    case Values::kDirectories:
      return " -x -a '(__fish_complete_directories)'";
    case Values::kFiles:
      return " -r -F";
    case Values::kChoice:
      return " -x -a " + single_quoted(joined(split_choices(flag.kind), " "));
    case Values::kAny:
      break;
  }
  return " -x";
}

std::string fish_script(const VerbInfo& program) {
  std::string out =
      "# fish completion of lamina, by 'lamina completion fish'\ncomplete -c lamina -f\n";
  for (const VerbInfo& verb : program.verbs) {
    out += "complete -c lamina -n __fish_use_subcommand -a " + verb.name + " -d " +
           single_quoted(verb.summary) + "\n";
  }
  for (const VerbInfo& verb : program.verbs) {
    const std::string here =
        "complete -c lamina -n '__fish_seen_subcommand_from " + verb.name + "'";
    for (const FlagInfo& flag : verb.flags) {
      out += here;
      for (const std::string& name : flag.names) {
        out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      out += fish_values(flag) + " -d " + single_quoted(flag.help) + "\n";
    }
    for (const FlagInfo& p : verb.positionals) {
      if (values_of(p) == Values::kDirectories)
        out += here + " -a '(__fish_complete_directories)'\n";
      if (values_of(p) == Values::kFiles) out += here + " -F\n";
      if (values_of(p) == Values::kChoice) out += here + fish_values(p) + "\n";
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  const VerbInfo program = describe(app);
  if (shell == "zsh") return zsh_script(program);
  if (shell == "fish") return fish_script(program);
  return bash_script(program);
}

}  // namespace lamina::cli
