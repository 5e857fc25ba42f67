// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "core/base/json.h"
#include "core/base/utf8.h"
#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/cli/input.h"
#include "native/cli/model_choice.h"
#include "native/cli/text_ids.h"
#include "native/platform/files.h"
#include "native/platform/model_loader.h"
#include "native/platform/sha256.h"

namespace lamina::cli {
namespace {

struct Options {
  ModelFlags model;
  TextFlags text;
  bool ids = false, special = false, no_bos = false, decode = false;
};

Result<Tokenizer> read_tokenizer(const std::string& path, const std::string& sha256) {
  LAMINA_ASSIGN(const std::string json, read_file(path, Tokenizer::kMaxJsonBytes));
  if (!sha256.empty() && sha256_hex(json) != sha256) {
    return make_error(Code::kIntegrity,
                      "%s: SHA-256 differs from the manifest's: the file was "
                      "changed or damaged",
                      path.c_str());
  }
  Result<Tokenizer> tokenizer = Tokenizer::from_json(json, path);
  if (!tokenizer) return as_model_error(tokenizer.error());
  return tokenizer;
}

// A model folder; besides, a tokenizer.json or a folder with one, as checkpoints have.
Result<Tokenizer> open_tokenizer(const ModelFlags& flags) {
  const std::string& name = flags.model;
  const bool folder = is_directory(name);
  if (!name.empty() && file_exists(name) && !folder) {
    return read_tokenizer(name, "");
  }
  const std::string inside = join_path(name, "tokenizer.json");
  if (folder && !file_exists(join_path(name, "manifest.json")) && file_exists(inside)) {
    return read_tokenizer(inside, "");
  }
  LAMINA_ASSIGN(const ModelChoice choice, choose_model(flags));
  LAMINA_ASSIGN(const TrustPolicy trust, trust_policy(flags));
  Result<OpenedManifest> opened = open_manifest(choice.directory, trust);
  if (!opened) return as_folder_error(opened.error());
  const FileEntry& file = opened->manifest.tokenizer;
  Result<Tokenizer> tokenizer = read_tokenizer(join_path(choice.directory, file.file), file.sha256);
  if (!tokenizer) return as_folder_error(tokenizer.error());
  return tokenizer;
}

std::string id_array(const std::vector<int32_t>& ids) {
  JsonWriter json;
  json.begin_array();
  for (int32_t id : ids) json.value(id);
  return json.end_array().take() + "\n";
}

// The bytes as they are where that is text, control characters and broken UTF-8 escaped.
std::string shown(std::string_view bytes) {
  std::string out = "\"";
  for (size_t at = 0; at < bytes.size();) {
    const CodePoint c = decode_utf8(bytes, at);
    for (char byte : bytes.substr(at, c.bytes)) {
      const auto b = static_cast<unsigned char>(byte);
      if (byte == '\n')
        out += "\\n";
      else if (byte == '\t')
        out += "\\t";
      else if (byte == '"' || byte == '\\')
        out += std::string("\\") + byte;
      else if (!c.valid || b < 0x20 || b == 0x7f || (c.value >= 0x80 && c.value < 0xa0))
        out += format("\\x%02x", b);
      else
        out += byte;
    }
    at += c.bytes;
  }
  return out + "\"";
}

std::string table(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string out = format("%6s %8s  %s\n", "place", "id", "text");
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool special = tokenizer.is_special(ids[i]);
    const std::string_view text =
        special ? tokenizer.token_text(ids[i]) : tokenizer.token_bytes(ids[i]);
    out += format("%6zu %8d  %s%s\n", i, ids[i], shown(text).c_str(), special ? "  special" : "");
  }
  return out;
}

Result<ExitCode> run(Console& console, const Options& o) {
  LAMINA_ASSIGN(const Tokenizer tokenizer, open_tokenizer(o.model));
  LAMINA_ASSIGN(std::optional<std::string> text, read_text(console, o.text));
  if (!text && !console.stdin_is_terminal()) text = "";
  if (!text) {
    LAMINA_ASSIGN(text, read_stdin(console));
  }
  if (o.decode) {
    LAMINA_ASSIGN(const std::vector<int32_t> ids, parse_ids(*text));
    LAMINA_TRY(console.write(tokenizer.decode(ids, {.skip_special = !o.special})));
    return kExitOk;
  }
  Result<std::vector<int32_t>> ids = o.no_bos ? tokenizer.encode(*text, {false, o.special})
                                              : text_ids(tokenizer, *text, o.special);
  if (!ids) return ids.error();
  LAMINA_TRY(console.write(o.ids ? id_array(*ids) : table(tokenizer, *ids)));
  if (!o.ids) console.note(format("%zu tokens", ids->size()));
  return kExitOk;
}

}  // namespace

void add_tokenize(Cli& cli) {
  CLI::App& verb = cli.verb("tokenize", "Show how a text falls into tokens", kGroupMeasure,
                            "  lamina tokenize -p \"Once upon a time\"\n"
                            "  lamina tokenize -m ~/llama-1b --ids < text.txt\n"
                            "  echo '[1, 2, 3]' | lamina tokenize --decode\n");
  auto o = std::make_shared<Options>();
  verb.option_defaults()->group("Text");
  text_flag(verb, "-p,--prompt", o->text.prompt, "TEXT", "The text; else standard input, as it is");
  text_flag(verb, "-f,--file", o->text.file, "FILE", "The text out of a file");
  switch_flag(verb, "--ids", o->ids, "Print a JSON array of ids");
  switch_flag(verb, "--special", o->special,
              "Read the names of special tokens as these tokens; with --decode, print them");
  switch_flag(verb, "--no-bos", o->no_bos, "Add nothing, e.g. no beginning-of-text token");
  switch_flag(verb, "--decode", o->decode, "The other way: the text is a list of ids");
  add_model_flags(verb, o->model);
  cli.on_run(verb, [&cli, o] { return run(cli.console(), *o); });
}

}  // namespace lamina::cli
