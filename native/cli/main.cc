// SPDX-License-Identifier: Apache-2.0
#include "native/cli/cli.h"

int main(int argc, char** argv) {
  lamina::cli::Cli cli;
  using namespace lamina::cli;
  for (const auto add :
       {add_run, add_chat, add_serve, add_convert, add_verify, add_sign, add_keygen, add_trust,
        add_inspect, add_tokenize, add_logits, add_perplexity, add_bench, add_doctor,
        add_completion, add_version, add_man}) {
    add(cli);
  }
  return cli.main(argc, argv);
}
