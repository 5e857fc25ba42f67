// SPDX-License-Identifier: Apache-2.0
#include "native/cli/answer.h"

#include <chrono>

#include "native/platform/signals.h"

namespace lamina::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

const Clock::time_point process_start = Clock::now();

double rate(int32_t tokens, double seconds) {
  return tokens > 0 && seconds > 0 ? tokens / seconds : 0.0;
}

}  // namespace

double seconds_since_start() { return seconds_since(process_start); }

double AnswerStats::prompt_tokens_per_second() const {
  return rate(prompt_tokens - reused_tokens, first_token_seconds);
}

double AnswerStats::tokens_per_second() const {
  return rate(generated_tokens - 1, rest_seconds);
}

Result<AnswerStats> run_answer(Console& console, Survivor& survivor, Session& session,
                               std::span<const int32_t> prompt, const AnswerOptions& options,
                               const OnToken& on_token) {
  AnswerStats stats;
  const Clock::time_point start = Clock::now();
  survivor.begin_answer();
  LAMINA_TRY(session.set_prompt(prompt, options));
  stats.prompt_tokens = static_cast<int32_t>(prompt.size());
  stats.reused_tokens = session.reused_tokens();
  stats.seed = options.sampling.seed;
  stats.greedy = options.sampling.temperature <= 0;

  Result<void> told;
  const auto tell = [&](const TokenEvent& event) {
    if (told) told = on_token(event);
  };
  {
    ProgressBar bar(console, "Reading the prompt");
    Session* const sessions[] = {&session};
    while (!session.finished()) {
      if (interrupted() || !told) {
        tell(session.cancel());
        break;
      }
      const bool first = session.n_generated() == 0;
      if (first && prompt.size() > static_cast<size_t>(survivor.engine().options().max_rows)) {
        bar.set(prompt.size() - static_cast<size_t>(session.n_pending()), prompt.size());
      }
      LAMINA_ASSIGN(const bool worked, survivor.step(sessions, [&](Session&, const TokenEvent& e) {
        if (first) {
          stats.first_token_seconds = seconds_since(start);
          bar.erase();
        }
        tell(e);
      }));
      LAMINA_CHECK(worked);
    }
  }
  if (!told) return std::move(told).error();
  stats.generated_tokens = session.n_generated();
  stats.rest_seconds = seconds_since(start) - stats.first_token_seconds;
  stats.finish = session.finish_reason();
  return stats;
}

}  // namespace lamina::cli
