// SPDX-License-Identifier: Apache-2.0
#include "native/cli/model_choice.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "native/cli/flags.h"
#include "native/platform/files.h"

namespace lamina::cli {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string program_path() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : std::string();
}

bool is_model(const std::string& directory) {
  return file_exists(join_path(directory, "manifest.json"));
}

Result<std::string> find_demo() {
  const std::string named = environment("LAMINA_DEMO_MODEL");
  if (!named.empty()) return named;
  std::vector<std::string> places;
  const std::string program = program_path();
  if (!program.empty()) {
    const std::string prefix = parent_path(parent_path(program));
    places.push_back(join_path(prefix, "share/lamina/models/storyteller"));
  }
  places.push_back(LAMINA_BUILT_DEMO_MODEL);
  std::string looked;
  for (const std::string& place : places) {
    if (is_model(place)) return place;
    looked += "\n  " + place;
  }
  return make_error(Code::kNotFound,
                    "no model: name one with -m DIR. The demo model was looked for in%s",
                    looked.c_str());
}

// Why `directory` is no model folder, or nothing.
Result<void> check_folder(const std::string& directory) {
  const char* path = directory.c_str();
  if (is_directory(directory)) {
    if (is_model(directory)) return {};
    if (file_exists(join_path(directory, "config.json"))) {
      return make_error(Code::kInvalidModel,
                        "%s is a Hugging Face checkpoint; make a model folder of it first: "
                        "lamina convert %s DST",
                        path, path);
    }
    if (is_directory(directory + ".partial") || directory.ends_with(".partial")) {
      return make_error(Code::kInvalidModel,
                        "%s holds no manifest.json: its conversion was not finished; run it again",
                        path);
    }
    return make_error(Code::kInvalidModel, "%s is no model folder: it holds no manifest.json",
                      path);
  }
  if (file_exists(directory)) {
    return make_error(Code::kInvalidModel,
                      "%s is a file; -m takes a model folder, which "
                      "lamina convert makes of a Hugging Face folder",
                      path);
  }
  return make_error(Code::kNotFound, "%s: no such folder", path);
}

}  // namespace

void add_model_flags(CLI::App& verb, ModelFlags& flags, bool folder) {
  verb.option_defaults()->group("Model");
  if (folder) positional(verb, "DIR", flags.model, "DIR", "Model folder, the same as -m DIR");
  text_flag(verb, "-m,--model", flags.model, "DIR",
            "Model folder, or LAMINA_MODEL; else the demo model");
  switch_flag(verb, "--require-signature", flags.require_signature,
              "Refuse a model that no trusted key has signed");
  list_flag(verb, "--trust", flags.trust, "KEY",
            "Accept only signatures by this public key (ed25519:... or a file); repeatable");
}

Result<ModelChoice> choose_model(const ModelFlags& flags) {
  ModelChoice choice{flags.model, false};
  if (choice.directory.empty()) choice.directory = environment("LAMINA_MODEL");
  if (choice.directory.empty()) {
    LAMINA_ASSIGN(choice.directory, find_demo());
    choice.demo = true;
  }
  while (choice.directory.size() > 1 && choice.directory.ends_with('/')) {
    choice.directory.pop_back();
  }
  LAMINA_TRY(check_folder(choice.directory));
  return choice;
}

Result<TrustPolicy> trust_policy(const ModelFlags& flags) {
  TrustPolicy policy;
  policy.require_signature = flags.require_signature;
  for (const std::string& key : flags.trust) {
    LAMINA_ASSIGN(PublicKey parsed, public_key_from_argument(key));
    policy.pinned.push_back(parsed);
  }
  LAMINA_ASSIGN(policy.known, read_trusted_keys(trusted_keys_path()));
  return policy;
}

std::string signature_text(const SignatureFacts& facts) {
  switch (facts.kind) {
    case SignatureKind::kUnsigned:
      return "unsigned";
    case SignatureKind::kUnknownSigner:
      return "signed by " + facts.signer.text() + " (" + facts.signer.fingerprint() +
             "), whom you have not said to trust";
    case SignatureKind::kTrusted:
      return "signed by " + facts.signer.text() + " (" + facts.signer.fingerprint() + "), trusted";
  }
  return "?";
}

std::string_view signature_kind_name(SignatureKind kind) {
  switch (kind) {
    case SignatureKind::kUnsigned:
      return "unsigned";
    case SignatureKind::kUnknownSigner:
      return "unknown_signer";
    case SignatureKind::kTrusted:
      return "trusted";
  }
  return "?";
}

Error as_model_error(Error error) {
  if (error.code == Code::kUnsupported) error.code = Code::kInvalidModel;
  return error;
}

Error as_folder_error(Error error) {
  if (error.code == Code::kNotFound) {
    error.code = Code::kIntegrity;
    error.message += "; the model folder is incomplete: fetch or convert it again";
  }
  return as_model_error(std::move(error));
}

}  // namespace lamina::cli
