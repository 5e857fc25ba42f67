// SPDX-License-Identifier: Apache-2.0
#include "native/cli/tree.h"

#include "native/cli/cli.h"

namespace lamina::cli {
namespace {

FlagInfo describe_option(const CLI::Option& option) {
  FlagInfo info;
  for (const std::string& name : option.get_snames()) info.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) info.names.push_back("--" + name);
  if (option.get_type_size() != 0 && option.get_items_expected_max() > 0) {
    info.kind = option.get_type_name();
  }
  info.help = option.get_description();
  if (!info.kind.empty()) info.default_text = option.get_default_str();
  info.group = option.get_group();
  info.required = option.get_required();
  return info;
}

}  // namespace

std::string FlagInfo::label() const {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  if (!kind.empty()) text += (text.empty() ? "" : " ") + kind;
  return text;
}

std::string VerbInfo::usage() const {
  std::string text = "[flags]";
  for (const FlagInfo& p : positionals) {
    text += p.required ? " " + p.kind : " [" + p.kind + "]";
  }
  return text;
}

VerbInfo describe(const CLI::App& app) {
  VerbInfo info;
  info.name = app.get_name();
  info.summary = app.get_description();
  info.group = app.get_group();
  info.examples = app.get_footer();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group() == kHidden) continue;
    (option->get_positional() ? info.positionals : info.flags).push_back(describe_option(*option));
  }
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (verb->get_group() != kHidden) info.verbs.push_back(describe(*verb));
  }
  return info;
}

const std::vector<EnvironmentText>& environment_table() {
  static const std::vector<EnvironmentText> kTable = {
      {"LAMINA_MODEL", "model folder to use when -m is not given"},
      {"LAMINA_DEMO_MODEL", "folder of the demo model, which is used when no other is named"},
      {"LAMINA_FORCE_ISA",
       "CPU kernels to use instead of the fastest; 'lamina doctor' lists those this machine runs"},
      {"LAMINA_VULKAN_VARIANT",
       "what the Vulkan engine is to do without, for tests: words of 'no-int-dot no-shuffle "
       "no-fused'"},
      {"LAMINA_HOST, LAMINA_PORT, ...",
       "every setting of `lamina serve`; `lamina config --explain` lists them"},
      {"NO_COLOR", "no colours when set"},
      {"XDG_CONFIG_HOME, XDG_CACHE_HOME, XDG_STATE_HOME",
       "where trusted keys, notes on verified models and the chat history are kept"},
  };
  return kTable;
}

}  // namespace lamina::cli
