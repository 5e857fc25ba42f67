// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lamina {

namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// Better logit first; of equals, the lower token. A strict total order, so the first k of a
// selection are the same set whatever algorithm selects.
constexpr auto kBetter = [](const auto& a, const auto& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
};

constexpr size_t kBlock = 32;

bool any_above(std::span<const float> block, float floor) {
  bool any = false;
  for (float logit : block) any |= logit > floor;
  return any;
}

Result<void> check(const char* name, double value, double low, double high) {
  if (value >= low && value <= high) return {};
  return make_error(Code::kInvalidArgument, "%s is %g, must be from %g to %g", name, value, low,
                    high);
}

double log_sum_exp(std::span<const float> logits) {
  const float most = logits[static_cast<size_t>(argmax(logits))];
  double sum = 0.0;
  for (float l : logits) {
    if (!std::isnan(l)) sum += std::exp(static_cast<double>(l) - most);
  }
  return most + std::log(sum);
}

}  // namespace

Result<void> SamplingParams::validate(int32_t vocab_size) const {
  LAMINA_TRY(check("temperature", temperature, 0, 100));
  LAMINA_TRY(check("top-k", top_k, 0, std::numeric_limits<int32_t>::max()));
  LAMINA_TRY(check("top-p", top_p, 0, 1));
  LAMINA_TRY(check("min-p", min_p, 0, 1));
  LAMINA_TRY(check("repeat-penalty", repeat_penalty, 0.01, 100));
  LAMINA_TRY(check("presence-penalty", presence_penalty, -100, 100));
  LAMINA_TRY(check("frequency-penalty", frequency_penalty, -100, 100));
  LAMINA_TRY(check("repeat-last-n", repeat_last_n, -1, 1 << 20));
  for (const auto& [token, bias] : logit_bias) {
    LAMINA_TRY(check("logit-bias token", token, 0, vocab_size - 1));
    if (bias != kLowest) LAMINA_TRY(check("logit-bias", bias, -1e6, 1e6));
  }
  return {};
}

Sampler::Sampler(const SamplingParams& params) : params_(params), random_(params.seed) {}

void Sampler::accept(int32_t token) {
  const int32_t n = params_.repeat_last_n;
  if (n == 0) return;
  if (n < 0 || window_.size() < static_cast<size_t>(n)) {
    window_.push_back(token);
    return;
  }
  window_[window_next_] = token;
  window_next_ = (window_next_ + 1) % window_.size();
}

bool Sampler::penalizes() const {
  return params_.repeat_last_n != 0 &&
         (params_.repeat_penalty != 1.0f || params_.presence_penalty != 0.0f ||
          params_.frequency_penalty != 0.0f);
}

bool Sampler::adjusts_logits() const {
  return !params_.logit_bias.empty() || (penalizes() && !window_.empty());
}

void Sampler::penalize(std::span<float> logits) {
  sorted_window_ = window_;
  std::ranges::sort(sorted_window_);
  for (size_t i = 0; i < sorted_window_.size();) {
    const int32_t token = sorted_window_[i];
    size_t end = i;
    while (end < sorted_window_.size() && sorted_window_[end] == token) ++end;
    if (static_cast<size_t>(token) < logits.size()) {
      float& logit = logits[static_cast<size_t>(token)];
      logit = logit > 0 ? logit / params_.repeat_penalty : logit * params_.repeat_penalty;
      logit -= params_.presence_penalty +
               params_.frequency_penalty * static_cast<float>(end - i);
    }
    i = end;
  }
}

void Sampler::adjust(std::span<float> logits) {
  for (const auto& [token, bias] : params_.logit_bias) logits[static_cast<size_t>(token)] += bias;
  penalize(logits);
}

std::optional<TokenChoice> Sampler::choice() const {
  if (!params_.logit_bias.empty() || penalizes()) return std::nullopt;
  if (picks_likeliest()) return TokenChoice{};
  return TokenChoice{params_.temperature, params_.top_k, params_.top_p, params_.min_p, {}};
}

void Sampler::units(std::span<float> out) const {
  Random ahead = random_;
  for (float& unit : out) unit = ahead.next_unit();
}

void Sampler::skip() {
  if (!picks_likeliest()) random_.next_unit();
}

int32_t Sampler::sample(std::span<const float> logits) {
  return sample(logits, picks_likeliest() ? 0.0f : random_.next_unit());
}

int32_t Sampler::sample(std::span<const float> logits, float unit) {
  LAMINA_CHECK(!logits.empty());
  if (adjusts_logits()) {
    adjusted_.assign(logits.begin(), logits.end());
    adjust(adjusted_);
    logits = adjusted_;
  }
  if (picks_likeliest()) return argmax(logits);

  const float best = logits[static_cast<size_t>(argmax(logits))];
  if (best == kLowest || std::isnan(best)) return argmax(logits);
  candidates_.reserve(logits.size());  // once: no later call makes it grow
  candidates_.clear();
  const bool top_k = params_.top_k > 0 && static_cast<size_t>(params_.top_k) < logits.size();
  double total = 0.0;  // of e^(logit - best), before any cut but top-k's
  if (top_k) {
    select_top_k(logits, static_cast<size_t>(params_.top_k));
    for (const Candidate& c : candidates_) total += exp_f32(c.logit - best);
  } else {
    total = select_likely(logits, best);
  }
  const bool cuts = params_.top_p < 1.0f || params_.min_p > 0.0f;
  return draw(cuts ? cut_top_p(total) : candidates_.size(), best, unit);
}

// The k best candidates, sorted. One pass keeps up to 2k + 256 of them and, whenever there is no
// more room, drops all but k; what is not better than the worst of those never gets in.
void Sampler::select_top_k(std::span<const float> logits, size_t k) {
  const size_t room = std::min(logits.size(), 2 * k + 256);
  float floor = kLowest;
  const auto keep_best = [&] {
    if (candidates_.size() <= k) return;
    const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(k);
    std::nth_element(candidates_.begin(), end - 1, candidates_.end(), kBetter);
    candidates_.resize(k);
    floor = candidates_.back().logit;
  };
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const size_t end = std::min(logits.size(), begin + kBlock);
    if (!any_above(logits.subspan(begin, end - begin), floor)) continue;
    for (size_t i = begin; i < end; ++i) {
      if (!(logits[i] > floor)) continue;  // NaN, -inf, and equals of a lower token
      candidates_.push_back({logits[i], static_cast<int32_t>(i)});
      if (candidates_.size() == room) keep_best();
    }
  }
  keep_best();
  std::ranges::sort(candidates_, kBetter);
}

// All candidates that min-p may let live, unsorted; returns the sum of e^(logit - best) over all
// logits if top-p needs it.
double Sampler::select_likely(std::span<const float> logits, float best) {
  float below = 0.0f;  // e^below is less than min-p, or underflows
  while (below > -100.0f && exp_f32(below) >= params_.min_p) below -= 0.25f;
  const bool sums = params_.top_p < 1.0f;
  double total = 0.0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float distance = logits[i] - best;
    if (sums && !std::isnan(distance)) total += exp_f32(distance);
    if (distance > below) candidates_.push_back({logits[i], static_cast<int32_t>(i)});
  }
  return total;
}

// Sorts as many candidates as top-p and min-p let live; returns how many. Sorting goes in growing
// pieces, because the survivors are usually few.
size_t Sampler::cut_top_p(double total) {
  const float best = std::ranges::min_element(candidates_, kBetter)->logit;
  const double wanted = params_.top_p < 1.0f ? params_.top_p * total
                                             : std::numeric_limits<double>::infinity();
  double mass = 0.0;
  size_t n = 0;
  for (size_t sorted = 0; sorted < candidates_.size();) {
    const size_t end = std::min(candidates_.size(), std::max<size_t>(256, 4 * sorted));
    const auto first = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted);
    const auto last = candidates_.begin() + static_cast<std::ptrdiff_t>(end);
    if (end < candidates_.size()) std::nth_element(first, last, candidates_.end(), kBetter);
    std::sort(first, last, kBetter);
    for (; n < end; ++n) {
      const float weight = exp_f32(candidates_[n].logit - best);
      const bool done = n > 0 && (mass >= wanted || weight < params_.min_p || weight == 0.0f);
      if (done) return n;
      mass += weight;
    }
    sorted = end;
  }
  return n;
}

// One of the first n candidates, by their probabilities at the temperature.
int32_t Sampler::draw(size_t n, float best, float unit) const {
  const float inverse = 1.0f / params_.temperature;
  double total = 0.0;
  for (size_t i = 0; i < n; ++i) total += exp_f32((candidates_[i].logit - best) * inverse);
  double left = static_cast<double>(unit) * total;
  for (size_t i = 0; i < n; ++i) {
    left -= exp_f32((candidates_[i].logit - best) * inverse);
    if (left < 0.0) return candidates_[i].token;
  }
  return candidates_[0].token;
}

int32_t argmax(std::span<const float> logits) {
  float lanes[kBlock];  // so that the compiler may use vectors
  std::fill_n(lanes, kBlock, kLowest);
  const size_t whole = logits.size() / kBlock * kBlock;
  for (size_t i = 0; i < whole; i += kBlock) {
    for (size_t j = 0; j < kBlock; ++j) {
      lanes[j] = logits[i + j] > lanes[j] ? logits[i + j] : lanes[j];
    }
  }
  float most = *std::max_element(lanes, lanes + kBlock);
  for (size_t i = whole; i < logits.size(); ++i) most = logits[i] > most ? logits[i] : most;
  if (most == kLowest) return 0;
  return static_cast<int32_t>(std::ranges::find(logits, most) - logits.begin());
}

double log_probability(std::span<const float> logits, int32_t token) {
  return static_cast<double>(logits[static_cast<size_t>(token)]) - log_sum_exp(logits);
}

std::vector<std::pair<int32_t, double>> top_log_probabilities(std::span<const float> logits,
                                                              size_t n) {
  const double total = log_sum_exp(logits);
  std::vector<int32_t> ids;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isnan(logits[i])) ids.push_back(static_cast<int32_t>(i));
  }
  n = std::min(n, ids.size());
  const auto better = [&](int32_t a, int32_t b) {
    const float la = logits[static_cast<size_t>(a)], lb = logits[static_cast<size_t>(b)];
    return la != lb ? la > lb : a < b;
  };
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n), ids.end(), better);
  std::vector<std::pair<int32_t, double>> top;
  for (size_t i = 0; i < n; ++i) top.emplace_back(ids[i], logits[static_cast<size_t>(ids[i])] - total);
  return top;
}

}  // namespace lamina
