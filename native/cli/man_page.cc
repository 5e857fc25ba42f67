// SPDX-License-Identifier: Apache-2.0
// lamina(1) in roff's man macros, written out of the tree.
#include <algorithm>

#include "native/cli/cli.h"
#include "native/cli/tree.h"

namespace lamina::cli {
namespace {

// Text of a paragraph: backslashes, hyphens that are to be copied, and leading dots and quotes.
std::string roff(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c == '~')
      out += "\\(ti";
    else if (c == '^')
      out += "\\(ha";
    else if (c == '\'')
      out += "\\(aq";
    else
      out += c;
    line_start = c == '\n';
  }
  return out;
}

std::string label(const FlagInfo& flag) {
  std::string text;
  for (const std::string& name : flag.names) {
    text += (text.empty() ? "\\fB" : ", \\fB") + roff(name) + "\\fR";
  }
  if (!flag.kind.empty()) text += (text.empty() ? "\\fI" : " \\fI") + roff(flag.kind) + "\\fR";
  return text;
}

std::string flag_paragraph(const FlagInfo& flag) {
  std::string text = ".TP\n" + label(flag) + "\n" + roff(flag.help);
  if (!flag.default_text.empty()) text += " (default " + roff(flag.default_text) + ")";
  return text + "\n";
}

std::string example_lines(const std::string& examples) {
  return ".PP\n.nf\n" + roff(examples) + ".fi\n";
}

std::string verb_section(const VerbInfo& verb) {
  std::string usage = "lamina " + verb.name + " " + verb.usage();
  std::string out = ".SS " + roff(usage) + "\n" + roff(verb.summary) + ".\n";
  for (const FlagInfo& p : verb.positionals) out += flag_paragraph(p);
  for (const FlagInfo& flag : verb.flags) {
    if (flag.group != kGroupCommon) out += flag_paragraph(flag);
  }
  if (!verb.examples.empty()) out += example_lines(verb.examples);
  return out;
}

// Flags that every verb has are told once.
std::string common_flags(const VerbInfo& program) {
  std::string out = ".SH COMMON FLAGS\nEvery verb takes these.\n";
  if (program.verbs.empty()) return out;
  for (const FlagInfo& flag : program.verbs[0].flags) {
    if (flag.group == kGroupCommon) out += flag_paragraph(flag);
  }
  return out;
}

}  // namespace

std::string man_page(const CLI::App& app, const std::string& version) {
  const VerbInfo program = describe(app);
  std::string out = ".TH LAMINA 1 \"\" \"Lamina " + version + "\" \"User Commands\"\n";
  out += ".SH NAME\nlamina \\- run Llama\\-family language models on this machine\n";
  out += ".SH SYNOPSIS\n.B lamina\n.I VERB\n.RI [ flags ]\n";
  out += ".SH DESCRIPTION\n" + roff(program.summary) +
         " A checkpoint in the Hugging Face layout is converted once into a model folder: a\n"
         "manifest, weights in shards with their hashes, and an optional signature. Every verb\n"
         "that reads a model checks these first. Data goes to standard output, everything else\n"
         "to standard error.\n";
  out += ".SH VERBS\n";
  for (const VerbInfo& verb : program.verbs) out += verb_section(verb);
  out += common_flags(program);
  out += ".SH EXIT STATUS\n";
  for (const ExitCodeText& e : exit_code_table()) {
    out += ".TP\n.B " + std::to_string(static_cast<int>(e.code)) + "\n" + roff(e.meaning) + "\n";
  }
  out += ".SH ENVIRONMENT\n";
  for (const EnvironmentText& e : environment_table()) {
    out += ".TP\n.B " + roff(e.name) + "\n" + roff(e.meaning) + "\n";
  }
  out +=
      ".SH FILES\n.TP\n.I \\(ti/.config/lamina/trusted_keys\npublic keys whose signatures are "
      "trusted, one a line; see\n.B lamina trust\n"
      ".TP\n.I \\(ti/.cache/lamina\nwhich states of model files were hashed and found right, and in\n.I vulkan\nthe "
      "kernels that GPU drivers compiled; safe to delete\n"
      ".TP\n.I \\(ti/.local/state/lamina/chat_history\nlines typed in\n.B lamina chat\n";
  out += ".SH EXAMPLES\n" + example_lines(program.examples);
  return out;
}

}  // namespace lamina::cli
