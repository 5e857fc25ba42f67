// SPDX-License-Identifier: Apache-2.0
// One answer: the loop over steps, with what the user may do meanwhile and what is measured.
#pragma once

#include <functional>
#include <span>

#include "core/base/json.h"
#include "native/cli/console.h"
#include "native/cli/host.h"

namespace lamina::cli {

struct AnswerStats {
  int32_t prompt_tokens = 0;
  int32_t reused_tokens = 0;  // of the prompt, found in the KV cache
  int32_t generated_tokens = 0;
  double first_token_seconds = 0.0;  // from the prompt to the first token: the prompt's computation
  double start_to_first_token_seconds = 0.0;  // from the process' start; 0: not told
  double rest_seconds = 0.0;         // all further tokens
  FinishReason finish = FinishReason::kNone;
  uint64_t seed = 0;
  bool greedy = false;

  double prompt_tokens_per_second() const;
  double tokens_per_second() const;  // after the first; 0 with fewer than two
};

// Runs the session's answer to `prompt`, whatever happens to the device. The first interrupt
// cancels the answer; its flag is left set. An error of `on_token` ends the answer and is returned.
using OnToken = std::function<Result<void>(const TokenEvent&)>;
Result<AnswerStats> run_answer(Console& console, Survivor& survivor, Session& session,
                               std::span<const int32_t> prompt, const AnswerOptions& options,
                               const OnToken& on_token);

double seconds_since_start();  // of the process

// What is told about it on stderr, and the same as members of an open JSON object. The backend is
// the one that the answer ended on. REQUIRES: the survivor's engine has a backend.
void print_summary(Console& console, const Host& host, const Survivor& survivor,
                   const AnswerStats& stats);
void write_summary(JsonWriter& json, const Host& host, const Survivor& survivor,
                   const AnswerStats& stats);

}  // namespace lamina::cli
