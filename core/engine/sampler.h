// SPDX-License-Identifier: Apache-2.0
// From logits to a token. The same parameters, seed and logits give the same token on every
// engine: no libm, one order of summation.
//
// Order, as in llama.cpp: bias and penalties, top-k, top-p, min-p, temperature. temperature <= 0
// takes the best token after bias and penalties; the lowest id wins a tie.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/base/numeric.h"
#include "core/base/result.h"

namespace lamina {

struct SamplingParams {
  float temperature = 0.8f;        // 0 to 100; 0 is greedy
  int32_t top_k = 40;              // 0: off
  float top_p = 0.95f;             // 1: off
  float min_p = 0.05f;             // of the best token's probability; 0: off
  float repeat_penalty = 1.0f;     // 1: off; divides positive logits, multiplies negative ones
  float presence_penalty = 0.0f;   // subtracted once from tokens seen in the window
  float frequency_penalty = 0.0f;  // subtracted per occurrence in the window
  int32_t repeat_last_n = 64;      // the window of the penalties, in tokens; 0: off, -1: everything
  std::vector<std::pair<int32_t, float>> logit_bias;  // added to a token's logit; -inf bans it
  uint64_t seed = 0;

  // Names the field, its value and its range.
  Result<void> validate(int32_t vocab_size) const;
};

// How a backend that can is to choose tokens from logits as they are (Backend::decode): what Sampler
// would choose from the same logits, to the token.
struct TokenChoice {
  float temperature = 0.0f;  // 0: the likeliest, the first of equals; nothing else counts then
  int32_t top_k = 0;         // these as in SamplingParams
  float top_p = 1.0f;
  float min_p = 0.0f;
  std::span<const float> units;  // a random number for each step, see Sampler::units

  bool likeliest() const { return temperature <= 0.0f; }
};

// Copyable: a copy goes on exactly as the original would.
class Sampler {
 public:
  // REQUIRES: params.validate() has passed.
  explicit Sampler(const SamplingParams& params);

  // NaN counts as -inf. When every logit is -inf the answer is token 0. Allocates at the first
  // call only. REQUIRES: logits are not empty.
  int32_t sample(std::span<const float> logits);
  // The same with this random number instead of the next one.
  int32_t sample(std::span<const float> logits, float unit);

  // Adds a token, of prompt or answer, to the penalties' window.
  void accept(int32_t token);

  const SamplingParams& params() const { return params_; }

  // What another may choose tokens by instead of sample(), for this token and all later ones;
  // without units. None where logits are adjusted.
  std::optional<TokenChoice> choice() const;
  // The random numbers of the next tokens.
  void units(std::span<float> out) const;
  // A token was chosen elsewhere: its random number is used up.
  void skip();

 private:
  struct Candidate {
    float logit;
    int32_t token;
  };

  bool picks_likeliest() const { return params_.temperature <= 0.0f || params_.top_k == 1; }
  bool penalizes() const;
  bool adjusts_logits() const;
  void adjust(std::span<float> logits);
  void penalize(std::span<float> logits);
  void select_top_k(std::span<const float> logits, size_t k);
  double select_likely(std::span<const float> logits, float best);
  size_t cut_top_p(double total);
  int32_t draw(size_t n, float best, float unit) const;

  SamplingParams params_;
  Random random_;
  std::vector<int32_t> window_;  // a ring unless repeat_last_n < 0
  size_t window_next_ = 0;
  std::vector<float> adjusted_;
  std::vector<int32_t> sorted_window_;
  std::vector<Candidate> candidates_;
};

// The index of the largest logit, the lowest of equals; NaN never wins.
int32_t argmax(std::span<const float> logits);

// ln softmax(logits)[token], summed in double (with libm: for reports, not for choosing tokens).
double log_probability(std::span<const float> logits, int32_t token);

// The n likeliest tokens with their ln probabilities, best first.
std::vector<std::pair<int32_t, double>> top_log_probabilities(std::span<const float> logits,
                                                              size_t n);

}  // namespace lamina
