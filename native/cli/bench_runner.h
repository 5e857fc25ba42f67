// SPDX-License-Identifier: Apache-2.0
// Measures an engine the way llama-bench measures llama.cpp: prompts of random tokens, then single
// tokens one after another, each repeated; without sampling unless asked for.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/engine/engine.h"

namespace lamina::cli {

struct BenchTest {
  int32_t n_prompt = 0;  // one of the two is 0
  int32_t n_gen = 0;
  int32_t n_depth = 0;  // tokens in the context before, not timed

  int32_t tokens() const { return n_prompt + n_gen; }
  std::string name() const;  // "pp512", "tg128 @ d1024"
};

struct BenchSamples {
  std::vector<double> values;  // one per repetition

  double mean() const;
  double deviation() const;  // of the sample; 0 with fewer than two
  double median() const;
};
BenchSamples rates(const BenchSamples& times, int32_t tokens);  // tokens per second

class BenchRunner {
 public:
  // REQUIRES: the engine's context holds every test, and nothing else uses its pool.
  explicit BenchRunner(Engine& engine);

  // One unmeasured round, then `repetitions`. kCancelled after an interrupt.
  Result<BenchSamples> run(const BenchTest& test, int32_t repetitions);

  // How tokens are generated. Without a temperature they are the backend's likeliest, where it decodes
  // by itself, and random ones elsewhere.
  SamplingParams sampling{.temperature = 0.0f, .logit_bias = {}};

  // Called when the warming up is over, before what is measured.
  std::function<void()> on_start;
  std::function<void()> before_each;  // repetition, untimed

 private:
  Result<void> prompt(int32_t from, int32_t n, bool logits);
  Result<void> generate(int32_t from, int32_t n);
  Result<void> generate_together(int32_t from, int32_t n, int32_t together, const Sampler& sampler);
  Result<StepOutput> submit(int32_t from, int32_t rows, bool logits, int32_t first = -1);
  Result<void> once(const BenchTest& test);
  int32_t random_token();

  Engine& engine_;
  KvPages pages_;
  Batch batch_;
  Random random_;
};

// What a step must read and compute at least.
struct ModelWork {
  uint64_t bytes_per_token = 0;  // weights of one decode step: all matrices, one embedding row
  uint64_t kv_bytes_per_position = 0;  // read by one decode step for each position before it
  double macs_per_prompt_token = 0.0;  // matrices of the layers
  double macs_of_logits = 0.0;         // once per prompt
  uint64_t parameters = 0;
  uint64_t weight_bytes = 0;
  std::vector<std::span<const std::byte>> matrices;  // that a decode step reads
};
ModelWork model_work(const ModelConfig& config, const WeightMap& weights, KvDType kv);

}  // namespace lamina::cli
