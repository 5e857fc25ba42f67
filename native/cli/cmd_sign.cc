// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/cli/model_choice.h"
#include "native/platform/files.h"
#include "native/platform/model_loader.h"

namespace lamina::cli {
namespace {

struct Options {
  ModelFlags model;
  std::string key;
  int32_t threads = 0;
};

Result<ExitCode> run(Console& console, const Options& o) {
  if (o.model.model.empty()) {
    return make_error(Code::kInvalidArgument,
                      "name the model folder to sign: lamina sign DIR -k KEY");
  }
  LAMINA_ASSIGN(const ModelChoice choice, choose_model(o.model));
  // The old signature, if there is one, is about to be replaced and is not asked. Who signs vouches
  // for the shards, too, so these must match the manifest.
  const std::string path = join_path(choice.directory, "manifest.json");
  LAMINA_ASSIGN(const std::string text, read_file(path, kMaxManifestBytes));
  const Result<Manifest> manifest = Manifest::parse(text, path);
  if (!manifest) return as_model_error(manifest.error());
  const Result<void> verified = verify_model(choice.directory, *manifest, o.threads, {});
  if (!verified) return as_folder_error(verified.error());
  LAMINA_ASSIGN(const PublicKey signer, sign_model(choice.directory, o.key));
  console.note("Signed " + choice.directory + " by " + signer.text() + " (" + signer.fingerprint() +
               ").");
  console.note("Check it with: lamina verify " + choice.directory + " --trust " + signer.text());
  return kExitOk;
}

}  // namespace

void add_sign(Cli& cli) {
  CLI::App& verb = cli.verb("sign", "Sign a model folder with your private key", kGroupModels,
                            "  lamina sign ~/llama-1b -k ~/keys/mine\n");
  auto options = std::make_shared<Options>();
  verb.option_defaults()->group("Keys");
  positional(verb, "DIR", options->model.model, "DIR", "Model folder, the same as -m DIR");
  text_flag(verb, "-m,--model", options->model.model, "DIR", "Model folder");
  text_flag(verb, "-k,--key", options->key, "KEY", "Private key file, as lamina keygen writes it")
      ->required();
  int_flag(verb, "-t,--threads", options->threads, 0, 1024,
           "Threads for hashing, 0 for all processors");
  cli.on_run(verb, [&cli, options] { return run(cli.console(), *options); });
}

}  // namespace lamina::cli
