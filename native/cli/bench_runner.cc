// SPDX-License-Identifier: Apache-2.0
#include "native/cli/bench_runner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "native/platform/signals.h"

namespace lamina::cli {

std::string BenchTest::name() const {
  std::string text = n_prompt > 0 ? "pp" + std::to_string(n_prompt) : "tg" + std::to_string(n_gen);
  return n_depth > 0 ? text + " @ d" + std::to_string(n_depth) : text;
}

double BenchSamples::mean() const {
  if (values.empty()) return 0.0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double BenchSamples::deviation() const {
  if (values.size() < 2) return 0.0;
  const double m = mean();
  double sum = 0.0;
  for (double s : values) sum += (s - m) * (s - m);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

double BenchSamples::median() const {
  if (values.empty()) return 0.0;
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  return (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2;
}

BenchSamples rates(const BenchSamples& times, int32_t tokens) {
  BenchSamples out;
  for (double s : times.values) out.values.push_back(tokens / s);
  return out;
}

BenchRunner::BenchRunner(Engine& engine) : engine_(engine), pages_(&engine.pool()), random_(1) {}

int32_t BenchRunner::random_token() {
  const auto vocab = static_cast<uint32_t>(engine_.graph().config.vocab_size);
  return static_cast<int32_t>(random_.next_u32() % vocab);
}

// `first`: the first token; -1: a random one, as are all others.
Result<StepOutput> BenchRunner::submit(int32_t from, int32_t rows, bool logits, int32_t first) {
  if (interrupted()) return make_error(Code::kCancelled, "interrupted");
  LAMINA_TRY(pages_.reserve(from + rows));
  batch_.clear();
  batch_.sequences.push_back({pages_.pages()});
  for (int32_t i = 0; i < rows; ++i) {
    const int32_t token = i == 0 && first >= 0 ? first : random_token();
    batch_.rows.push_back({token, from + i, from + i, 0, logits && i + 1 == rows});
  }
  LAMINA_TRY(engine_.backend().submit(batch_));
  return engine_.backend().read();
}

Result<void> BenchRunner::prompt(int32_t from, int32_t n, bool logits) {
  for (int32_t done = 0; done < n;) {
    const int32_t rows = std::min(n - done, engine_.options().max_rows);
    LAMINA_TRY(submit(from + done, rows, logits && done + rows == n));
    done += rows;
  }
  return {};
}

Result<void> BenchRunner::generate(int32_t from, int32_t n) {
  Sampler sampler(sampling);
  const int32_t together =
      std::min(engine_.options().tokens_per_submit, engine_.backend().most_steps(*sampler.choice()));
  if (together > 1) return generate_together(from, n, together, sampler);
  int32_t token = -1;
  for (int32_t i = 0; i < n; ++i) {
    LAMINA_ASSIGN(const StepOutput output, submit(from + i, 1, true, token));
    if (sampling.temperature > 0.0f) token = sampler.sample(output.logits);
  }
  return {};
}

// Where the device samples for itself.
Result<void> BenchRunner::generate_together(int32_t from, int32_t n, int32_t together,
                                            const Sampler& sampler) {
  int32_t token = random_token();
  TokenChoice choice = *sampler.choice();
  std::vector<float> units(static_cast<size_t>(n));
  sampler.units(units);
  for (int32_t i = 0; i < n;) {
    if (interrupted()) return make_error(Code::kCancelled, "interrupted");
    const int32_t steps = std::min(together, n - i);
    LAMINA_TRY(pages_.reserve(from + i + steps));
    batch_.clear();
    batch_.sequences.push_back({pages_.pages()});
    batch_.rows.push_back({token, from + i, from + i, 0, true});
    choice.units = std::span(units).subspan(static_cast<size_t>(i), static_cast<size_t>(steps));
    LAMINA_ASSIGN(const auto tokens, engine_.backend().decode(batch_, steps, choice));
    token = tokens.back();
    i += steps;
  }
  return {};
}

Result<void> BenchRunner::once(const BenchTest& test) {
  // What an earlier repetition left behind the depth is overwritten.
  if (test.n_prompt > 0) return prompt(test.n_depth, test.n_prompt, true);
  return generate(test.n_depth, test.n_gen);
}

Result<BenchSamples> BenchRunner::run(const BenchTest& test, int32_t repetitions) {
  using Clock = std::chrono::steady_clock;
  pages_.truncate(0);
  LAMINA_TRY(prompt(0, test.n_depth, false));
  BenchTest warm_up = test;
  warm_up.n_gen = std::min(test.n_gen, 1);
  LAMINA_TRY(once(warm_up));
  if (on_start) on_start();
  BenchSamples samples;
  for (int32_t r = 0; r < repetitions; ++r) {
    if (before_each) before_each();
    const Clock::time_point start = Clock::now();
    LAMINA_TRY(once(test));
    samples.values.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return samples;
}

ModelWork model_work(const ModelConfig& config, const WeightMap& weights, KvDType kv) {
  ModelWork work;
  for (const auto& [name, view] : weights) {
    const uint64_t bytes = view.value_bytes() + view.scale_bytes();
    const double macs = static_cast<double>(view.rows) * view.cols;
    work.parameters += static_cast<uint64_t>(macs);
    work.weight_bytes += bytes;
    const bool embedding = name == "token_embedding";
    const bool output = name == "lm_head" || (embedding && config.tied_embeddings);
    if (!embedding || output) {
      work.bytes_per_token += bytes;
      work.matrices.push_back({static_cast<const std::byte*>(view.values), view.value_bytes()});
    }
    if (output)
      work.macs_of_logits += macs;
    else if (!embedding && view.rows > 1)
      work.macs_per_prompt_token += macs;
  }
  const uint64_t values =
      2 * static_cast<uint64_t>(config.n_layers) * static_cast<uint64_t>(config.kv_width());
  const uint64_t scales =
      2 * static_cast<uint64_t>(config.n_layers) * static_cast<uint64_t>(config.n_kv_heads);
  work.kv_bytes_per_position = kv == KvDType::kI8    ? values + 4 * scales
                               : kv == KvDType::kF16 ? 2 * values
                                                     : 4 * values;
  return work;
}

}  // namespace lamina::cli
