// SPDX-License-Identifier: Apache-2.0
// The list of public keys whose signatures count as trusted, whatever model they are on.
#include <algorithm>
#include <memory>

#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/platform/files.h"
#include "native/platform/trust.h"

namespace lamina::cli {
namespace {

struct Options {
  std::string action = "list";
  std::string key;
  std::string note;
};

constexpr size_t kMaxBytes = size_t{1} << 20;

Result<std::string> read_list(const std::string& path) {
  Result<std::string> text = read_file(path, kMaxBytes);
  if (!text && text.error().code == Code::kNotFound) return std::string();
  return text;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

Result<void> write_list(const std::string& path, const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  LAMINA_TRY(make_directories(parent_path(path)));
  return write_file_atomic(path, text, 0600);
}

std::string key_of(const std::string& line) {
  return line.substr(0, line.find_first_of(" \t\r"));
}

Result<ExitCode> list(Console& console, const std::string& path) {
  LAMINA_TRY(read_trusted_keys(path));  // complains about a line that is no key
  LAMINA_ASSIGN(const std::string text, read_list(path));
  size_t keys = 0;
  for (const std::string& line : lines_of(text)) {
    const Result<PublicKey> key = parse_public_key(key_of(line));
    if (!key) continue;
    const std::string note = line.substr(key_of(line).size());
    LAMINA_TRY(console.write(key->text() + "  " + key->fingerprint() + safe_text(note) + "\n"));
    ++keys;
  }
  if (keys == 0) console.note("No trusted keys in " + path + "; lamina trust add KEY adds one");
  return kExitOk;
}

Result<ExitCode> add(Console& console, const std::string& path, const Options& o) {
  LAMINA_ASSIGN(const PublicKey key, public_key_from_argument(o.key));
  LAMINA_ASSIGN(const auto known, read_trusted_keys(path));
  if (std::ranges::find(known, key) != known.end()) {
    console.note("Already trusted: " + key.fingerprint());
    return kExitOk;
  }
  LAMINA_ASSIGN(const std::string text, read_list(path));
  std::vector<std::string> lines = lines_of(text);
  std::string note = o.note;
  std::ranges::replace_if(
      note, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  lines.push_back(key.text() + (note.empty() ? "" : " " + note));
  LAMINA_TRY(write_list(path, lines));
  console.note("Trusted from now on: " + key.fingerprint() + " (in " + path + ")");
  return kExitOk;
}

Result<ExitCode> remove(Console& console, const std::string& path, const Options& o) {
  std::string wanted = o.key;
  const Result<PublicKey> key = public_key_from_argument(o.key);
  if (key) wanted = key->text();
  LAMINA_ASSIGN(const std::string text, read_list(path));
  std::vector<std::string> lines = lines_of(text);
  const auto gone = std::remove_if(lines.begin(), lines.end(), [&](const std::string& line) {
    const Result<PublicKey> k = parse_public_key(key_of(line));
    return k && (k->text() == wanted || k->fingerprint() == wanted);
  });
  if (gone == lines.end()) {
    return make_error(Code::kNotFound, "%s is not among the trusted keys (lamina trust list)",
                      quote(o.key).c_str());
  }
  lines.erase(gone, lines.end());
  LAMINA_TRY(write_list(path, lines));
  console.note("No longer trusted: " + wanted);
  return kExitOk;
}

Result<ExitCode> run(Console& console, const Options& o) {
  const std::string path = trusted_keys_path();
  if (o.action == "list") return list(console, path);
  if (o.key.empty()) {
    return make_error(Code::kInvalidArgument,
                      "lamina trust %s needs a key: ed25519:..., a key file%s", o.action.c_str(),
                      o.action == "remove" ? ", or a fingerprint" : "");
  }
  return o.action == "add" ? add(console, path, o) : remove(console, path, o);
}

}  // namespace

void add_trust(Cli& cli) {
  CLI::App& verb =
      cli.verb("trust", "List, add or remove the keys whose signatures you trust", kGroupModels,
               "  lamina trust add ~/keys/theirs.pub --note \"the lab\"\n"
               "  lamina trust list\n"
               "  lamina trust remove 1f2e-3d4c-5b6a-7988\n");
  auto options = std::make_shared<Options>();
  verb.option_defaults()->group("Keys");
  positional(verb, "ACTION", options->action, "list|add|remove", "What to do");
  positional(verb, "KEY", options->key, "KEY",
             "ed25519:..., a key file, or for remove a fingerprint");
  text_flag(verb, "--note", options->note, "TEXT", "Kept beside the key, for you");
  cli.on_run(verb, [&cli, options] { return run(cli.console(), *options); });
}

}  // namespace lamina::cli
