// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "core/base/json.h"
#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/platform/trust.h"

namespace lamina::cli {
namespace {

struct Options {
  std::string output = "lamina-key";
  bool json = false;
};

Result<ExitCode> run(Console& console, const Options& o) {
  const std::string public_path = o.output + ".pub";
  LAMINA_ASSIGN(const PublicKey key, generate_keys(o.output, public_path));
  if (o.json) {
    JsonWriter json;
    json.begin_object().member("public_key", key.text()).member("fingerprint", key.fingerprint());
    json.member("private_key_file", o.output).member("public_key_file", public_path).end_object();
    LAMINA_TRY(console.write(json.text() + "\n"));
    return kExitOk;
  }
  LAMINA_TRY(console.write(key.text() + "\n"));
  console.note("Private key: " + o.output + "  (keep it to yourself; it signs models)");
  console.note("Public key:  " + public_path + "  (give it to those who use your models)");
  console.note("Fingerprint: " + key.fingerprint());
  console.note("Next: lamina sign DIR -k " + o.output);
  return kExitOk;
}

}  // namespace

void add_keygen(Cli& cli) {
  CLI::App& verb = cli.verb("keygen", "Make a key pair for signing models", kGroupModels,
                            "  lamina keygen -o ~/keys/mine      # writes mine and mine.pub\n");
  auto options = std::make_shared<Options>();
  verb.option_defaults()->group("Keys");
  text_flag(verb, "-o,--output", options->output, "FILE",
            "Where the private key goes; the public one goes to FILE.pub")
      ->capture_default_str();
  switch_flag(verb, "--json", options->json, "Print a JSON object");
  cli.on_run(verb, [&cli, options] { return run(cli.console(), *options); });
}

}  // namespace lamina::cli
