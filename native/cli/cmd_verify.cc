// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "core/base/json.h"
#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/cli/model_choice.h"
#include "native/platform/model_loader.h"

namespace lamina::cli {
namespace {

struct Options {
  ModelFlags model;
  int32_t threads = 0;
  bool json = false;
};

Result<ExitCode> run(Console& console, const Options& o) {
  LAMINA_ASSIGN(const ModelChoice choice, choose_model(o.model));
  LAMINA_ASSIGN(const TrustPolicy trust, trust_policy(o.model));
  Result<OpenedManifest> opened = open_manifest(choice.directory, trust);
  if (!opened) return as_folder_error(opened.error());
  const Manifest& manifest = opened->manifest;
  uint64_t total = manifest.tokenizer.bytes, done = 0;
  for (const FileEntry& file : manifest.files) total += file.bytes;
  for (const ShardEntry& shard : manifest.shards) total += shard.bytes;

  size_t files = 0;
  {
    ProgressBar bar(console, "Verifying");
    const Result<void> verified = verify_model(choice.directory, manifest, o.threads,
                                               [&](const std::string& file, uint64_t bytes) {
                                                 bar.set(done += bytes, total, file);
                                                 ++files;
                                               });
    if (!verified) return as_folder_error(verified.error());
  }
  if (o.json) {
    JsonWriter json;
    json.begin_object().member("model", choice.directory).member("ok", true);
    json.member("files", static_cast<uint64_t>(files)).member("bytes", done);
    json.member("manifest_sha256", opened->sha256);
    json.member("signature", signature_kind_name(opened->signature.kind));
    if (opened->signature.kind != SignatureKind::kUnsigned) {
      json.member("signer", opened->signature.signer.text());
    }
    LAMINA_TRY(console.write(json.end_object().text() + "\n"));
    return kExitOk;
  }
  LAMINA_TRY(console.write(choice.directory + ": ok\n"));
  console.note(format("  files      %zu, %s, every size and SHA-256 as the manifest says", files,
                      human_bytes(done).c_str()));
  console.note("  manifest   sha256 " + opened->sha256);
  console.note("  signature  " + signature_text(opened->signature));
  if (opened->signature.kind == SignatureKind::kUnknownSigner) {
    console.note("  if you do  lamina trust add " + opened->signature.signer.text());
  }
  return kExitOk;
}

}  // namespace

void add_verify(Cli& cli) {
  CLI::App& verb =
      cli.verb("verify", "Check every file of a model folder, and its signature", kGroupModels,
               "  lamina verify ~/llama-1b\n"
               "  lamina verify ~/llama-1b --trust ~/keys/theirs.pub\n");
  auto options = std::make_shared<Options>();
  add_model_flags(verb, options->model, true);
  int_flag(verb, "-t,--threads", options->threads, 0, 1024, "Threads, 0 for all processors");
  switch_flag(verb, "--json", options->json, "Print a JSON object");
  cli.on_run(verb, [&cli, options] { return run(cli.console(), *options); });
}

}  // namespace lamina::cli
