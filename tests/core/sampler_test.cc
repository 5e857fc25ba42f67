// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace lamina {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

SamplingParams plain() {
  SamplingParams p;
  p.temperature = 1.0f;
  p.top_k = 0;
  p.top_p = 1.0f;
  p.min_p = 0.0f;
  return p;
}

std::vector<float> noise(size_t n, uint64_t seed, float scale = 4.0f) {
  Random rng(seed);
  std::vector<float> logits(n);
  for (float& l : logits) l = (rng.next_unit() * 2 - 1) * scale;
  return logits;
}

// Probabilities by the definition, in double, from a full sort.
std::map<int32_t, double> oracle(const std::vector<float>& logits, const SamplingParams& p) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto at = [&](int32_t id) { return static_cast<double>(logits[static_cast<size_t>(id)]); };
  std::ranges::stable_sort(ids, [&](int32_t a, int32_t b) { return at(a) > at(b); });
  if (p.top_k > 0) ids.resize(std::min(ids.size(), static_cast<size_t>(p.top_k)));
  double total = 0.0;
  for (int32_t id : ids) total += std::exp(at(id) - at(ids[0]));
  size_t n = 0;
  for (double mass = 0.0; n < ids.size() && (n == 0 || p.top_p >= 1.0f || mass < p.top_p * total); ++n) {
    mass += std::exp(at(ids[n]) - at(ids[0]));
  }
  ids.resize(n);
  std::erase_if(ids, [&](int32_t id) { return std::exp(at(id) - at(ids[0])) < p.min_p; });
  std::map<int32_t, double> probability;
  double sum = 0.0;
  for (int32_t id : ids) sum += probability[id] = std::exp((at(id) - at(ids[0])) / p.temperature);
  for (auto& [id, value] : probability) value /= sum;
  return probability;
}

// Pearson's chi-square over bins with an expectation of at least 5. A fixed seed makes the test
// repeatable; the bound lies near the 1e-6 quantile for these degrees of freedom.
void expect_distribution(const std::vector<float>& logits, SamplingParams p, int draws = 40000) {
  p.seed = 5;
  Sampler sampler(p);
  const auto want = oracle(logits, p);
  std::map<int32_t, int> count;
  for (int i = 0; i < draws; ++i) ++count[sampler.sample(logits)];
  double chi = 0.0;
  int bins = 0;
  for (const auto& [id, n] : count) ASSERT_TRUE(want.contains(id)) << "token " << id << " was cut";
  for (const auto& [id, probability] : want) {
    const double expected = probability * draws;
    if (expected < 5) continue;
    chi += std::pow(count[id] - expected, 2) / expected;
    ++bins;
  }
  EXPECT_LT(chi, bins + 6 * std::sqrt(2.0 * bins) + 12) << bins << " bins";
}

TEST(Sampler, DrawsTheRightDistributionUnderEveryFilter) {
  for (size_t n : {3, 50, 700}) {
    const auto logits = noise(n, n);
    SamplingParams p = plain();
    expect_distribution(logits, p);
    p.temperature = 0.5f;
    expect_distribution(logits, p);
    p.top_k = 10;
    expect_distribution(logits, p);
    p.top_k = 0;
    p.top_p = 0.7f;
    expect_distribution(logits, p);
    p.min_p = 0.1f;
    expect_distribution(logits, p);
    p.top_k = 20;
    p.temperature = 1.7f;
    expect_distribution(logits, p);
  }
}

// Selection goes by blocks and a rising floor; many equal logits put the floor to the test.
TEST(Sampler, TopKOfManyTiesKeepsTheLowestIds) {
  auto logits = noise(3011, 1);
  for (float& l : logits) l = std::round(l);
  for (int32_t k : {2, 40, 377, 700, 3000, 3010}) {
    SamplingParams p = plain();
    p.top_k = k;
    expect_distribution(logits, p, 4000);
  }
  std::vector<float> rising(5000);
  std::iota(rising.begin(), rising.end(), 0.0f);
  for (float& l : rising) l *= 1e-4f;
  SamplingParams p = plain();
  p.top_k = 64;
  expect_distribution(rising, p, 4000);
  rising[4999] = NAN;
  rising[4998] = -kInf;
  Sampler sampler(p);
  for (int i = 0; i < 1000; ++i) {
    const int32_t token = sampler.sample(rising);
    EXPECT_GE(token, 4998 - 64);
    EXPECT_LT(token, 4998);
  }
}

TEST(Sampler, MinPAloneNeedsNoSortedVocabulary) {
  const auto logits = noise(3011, 8, 10.0f);
  SamplingParams p = plain();
  for (float min_p : {1e-6f, 0.01f, 0.5f, 1.0f}) {
    p.min_p = min_p;
    expect_distribution(logits, p, 4000);
  }
}

TEST(Argmax, FindsTheFirstOfTheLargestAnywhere) {
  for (size_t n : {1, 31, 32, 33, 64, 100, 1000}) {
    for (size_t at = 0; at < n; at += 1 + n / 20) {
      std::vector<float> logits(n, -3.0f);
      logits[at] = 2.0f;
      logits[n - 1] = std::max(logits[n - 1], 2.0f);
      logits[0] = at > 0 ? NAN : logits[0];
      EXPECT_EQ(argmax(logits), static_cast<int32_t>(at));
    }
  }
}

TEST(Sampler, GreedyTakesTheLowestOfEqualsAndIgnoresNan) {
  SamplingParams p = plain();
  p.temperature = 0.0f;
  Sampler sampler(p);
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{NAN, -5, NAN, -4}), 3);
  EXPECT_EQ(sampler.sample(std::vector<float>{-kInf, -kInf}), 0);
  EXPECT_EQ(sampler.sample(std::vector<float>{NAN, NAN}), 0);
}

TEST(Sampler, SurvivesOddLogits) {
  Sampler sampler(plain());
  EXPECT_EQ(sampler.sample(std::vector<float>{-kInf, -kInf, 2, -kInf}), 2);
  EXPECT_EQ(sampler.sample(std::vector<float>{NAN, NAN}), 0);
  EXPECT_EQ(sampler.sample(std::vector<float>{0}), 0);
  EXPECT_EQ(sampler.sample(std::vector<float>{1e30f, -1e30f}), 0);
}

TEST(Sampler, SameSeedSameTokensAndCopiesGoOnAlike) {
  const auto logits = noise(1000, 3);
  SamplingParams p = plain();
  p.seed = 77;
  Sampler a(p), b(p);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(a.sample(logits), b.sample(logits));
  Sampler c = a;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(a.sample(logits), c.sample(logits));
  p.seed = 78;
  Sampler d(p);
  int same = 0;
  for (int i = 0; i < 50; ++i) same += d.sample(logits) == b.sample(logits);
  EXPECT_LT(same, 25);
}

TEST(Sampler, PenaltiesAndBias) {
  SamplingParams p = plain();
  p.temperature = 0.0f;
  p.logit_bias = {{0, 10.0f}, {1, -kInf}};
  EXPECT_EQ(Sampler(p).sample(std::vector<float>{0, 50, 5}), 0);

  p = plain();
  p.temperature = 0.0f;
  p.repeat_penalty = 2.0f;
  p.repeat_last_n = 2;
  Sampler repeat(p);
  const std::vector<float> logits = {4, 3, -1};
  EXPECT_EQ(repeat.sample(logits), 0);
  repeat.accept(0);  // 4 -> 2
  EXPECT_EQ(repeat.sample(logits), 1);
  repeat.accept(1);  // 3 -> 1.5
  EXPECT_EQ(repeat.sample(logits), 0);
  repeat.accept(2);
  repeat.accept(2);  // 0 and 1 have left the window
  EXPECT_EQ(repeat.sample(logits), 0);

  p = plain();
  p.temperature = 0.0f;
  p.frequency_penalty = 0.6f;
  p.presence_penalty = 0.1f;
  Sampler frequency(p);
  frequency.accept(0);
  EXPECT_EQ(frequency.sample(logits), 0);  // 4 - 0.7
  frequency.accept(0);
  EXPECT_EQ(frequency.sample(logits), 1);  // 4 - 1.3
}

TEST(Sampler, ValidationNamesTheField) {
  const auto refused = [](auto change) {
    SamplingParams p;
    change(p);
    const auto result = p.validate(100);
    EXPECT_FALSE(result);
    return result ? std::string() : result.error().message;
  };
  EXPECT_EQ(refused([](auto& p) { p.top_p = 1.5f; }), "top-p is 1.5, must be from 0 to 1");
  EXPECT_NE(refused([](auto& p) { p.temperature = NAN; }).find("temperature"), std::string::npos);
  EXPECT_NE(refused([](auto& p) { p.temperature = -1; }).find("temperature"), std::string::npos);
  EXPECT_NE(refused([](auto& p) { p.top_k = -1; }).find("top-k"), std::string::npos);
  EXPECT_NE(refused([](auto& p) { p.repeat_penalty = 0; }).find("repeat"), std::string::npos);
  EXPECT_NE(refused([](auto& p) { p.logit_bias = {{100, 1.f}}; }).find("token"), std::string::npos);
  EXPECT_TRUE(SamplingParams().validate(100));
}

TEST(LogProbability, MatchesTheDefinition) {
  const auto logits = noise(300, 9, 20.0f);
  double sum = 0.0;
  for (int32_t i = 0; i < 300; ++i) sum += std::exp(log_probability(logits, i));
  EXPECT_NEAR(sum, 1.0, 1e-12);
  const auto top = top_log_probabilities(logits, 5);
  ASSERT_EQ(top.size(), 5u);
  EXPECT_EQ(top[0].first, argmax(logits));
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_DOUBLE_EQ(top[i].second, log_probability(logits, top[i].first));
    if (i > 0) {
      EXPECT_GE(top[i - 1].second, top[i].second);
    }
  }
}

}  // namespace
}  // namespace lamina
