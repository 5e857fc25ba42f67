// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "native/cli/cli.h"
#include "native/platform/files.h"

int main(int argc, char** argv) {
  lamina::cli::Cli cli;
  using namespace lamina::cli;
  for (const auto add :
       {add_run, add_chat, add_serve, add_convert, add_verify, add_sign, add_keygen, add_trust,
        add_inspect, add_tokenize, add_logits, add_perplexity, add_bench, add_doctor, add_config,
        add_completion, add_version, add_man}) {
    add(cli);
  }
  std::vector<char*> words(argv, argv + argc);
  std::string serve = "serve";
  if (argc > 0 && lamina::base_name(argv[0]) == "laminad")
    words.insert(words.begin() + 1, serve.data());
  return cli.main(static_cast<int>(words.size()), words.data());
}
