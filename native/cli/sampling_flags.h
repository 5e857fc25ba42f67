// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/session.h"

namespace lamina::cli {

struct SamplingFlags {
  SamplingParams params;
  std::optional<uint64_t> seed;  // nothing: a random one
  std::vector<std::string> logit_bias;
  std::vector<std::string> stop;
  int32_t n_predict = -1;
  bool ignore_eos = false;
};

// -n -s --temp --top-k ... --stop, by llama.cpp's names.
void add_sampling_flags(CLI::App& verb, SamplingFlags& flags);

// Reads the biases and draws a seed where none was given.
Result<AnswerOptions> answer_options(const SamplingFlags& flags);

}  // namespace lamina::cli
