// SPDX-License-Identifier: Apache-2.0
// Frequencies of the rope types, after transformers 5, modeling_rope_utils.py
// (_compute_*_parameters) and the default of LlamaRotaryEmbedding. Tensors there are float32, and
// an angle is position * frequency rounded to float32; the same roundings are made here, so that
// angles of late positions agree. Scalars are doubles on both sides.
#include <algorithm>
#include <cmath>

#include "core/model/config.h"

namespace lamina {

namespace {

constexpr double kPi = 3.14159265358979323846;

// base^(2i/dim)
float power(double base, int32_t i, int32_t dim) {
  const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
  return static_cast<float>(
      std::pow(static_cast<double>(static_cast<float>(base)), static_cast<double>(exponent)));
}

std::vector<float> plain(double base, int32_t dim) {
  std::vector<float> inv(static_cast<size_t>(dim / 2));
  for (int32_t i = 0; i < dim / 2; ++i) inv[static_cast<size_t>(i)] = 1.0f / power(base, i, dim);
  return inv;
}

// base * (factor * n / m - (factor - 1))^(dim / (dim - 2)), n = max(context, m)
std::vector<float> dynamic(const ModelConfig& c, int32_t context) {
  const double m = c.max_positions;
  const double n = std::max(context, c.max_positions);
  const double stretch = c.rope.factor * n / m - (c.rope.factor - 1.0);
  const double dim = c.head_dim;
  return plain(c.rope_theta * std::pow(stretch, dim / (dim - 2.0)), c.head_dim);
}

int32_t original_positions(const ModelConfig& c) {
  return c.rope.original_max_positions > 0 ? c.rope.original_max_positions : c.max_positions;
}

// Long waves are stretched by factor, short ones kept, those between are blended.
std::vector<float> llama3(const ModelConfig& c) {
  std::vector<float> inv = plain(c.rope_theta, c.head_dim);
  const RopeScaling& r = c.rope;
  const double old_length = original_positions(c);
  const auto low_wave = static_cast<float>(old_length / r.low_freq_factor);
  const auto high_wave = static_cast<float>(old_length / r.high_freq_factor);
  const auto factor = static_cast<float>(r.factor);
  const auto low = static_cast<float>(r.low_freq_factor);
  const auto span = static_cast<float>(r.high_freq_factor - r.low_freq_factor);
  for (float& f : inv) {
    const float wave = static_cast<float>(2.0 * kPi) / f;
    if (wave < high_wave) continue;
    if (wave > low_wave) {
      f /= factor;
      continue;
    }
    const float smooth = (static_cast<float>(old_length) / wave - low) / span;
    f = (1.0f - smooth) * f / factor + smooth * f;
  }
  return inv;
}

// The dimension whose wave turns `rotations` times over the original length.
double correction_dim(const ModelConfig& c, double rotations) {
  return c.head_dim * std::log(original_positions(c) / (rotations * 2.0 * kPi)) /
         (2.0 * std::log(c.rope_theta));
}

// Dimensions below `low` keep their frequency, those above `high` are divided by factor.
std::vector<float> yarn(const ModelConfig& c) {
  const RopeScaling& r = c.rope;
  double low = correction_dim(c, r.beta_fast);
  double high = correction_dim(c, r.beta_slow);
  if (r.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, c.head_dim - 1.0);
  if (low == high) high += 0.001;
  std::vector<float> inv(static_cast<size_t>(c.head_dim / 2));
  for (int32_t i = 0; i < c.head_dim / 2; ++i) {
    const float p = power(c.rope_theta, i, c.head_dim);
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f,
        1.0f);
    const float keep = 1.0f - ramp;
    const float stretched = 1.0f / (static_cast<float>(r.factor) * p);
    inv[static_cast<size_t>(i)] = stretched * (1.0f - keep) + (1.0f / p) * keep;
  }
  return inv;
}

double yarn_mscale(double scale, double mscale) {
  return scale <= 1.0 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0;
}

double yarn_attention_factor(const RopeScaling& r) {
  if (r.attention_factor != 0.0) return r.attention_factor;
  if (r.mscale != 0.0 && r.mscale_all_dim != 0.0) {
    return yarn_mscale(r.factor, r.mscale) / yarn_mscale(r.factor, r.mscale_all_dim);
  }
  return yarn_mscale(r.factor, 1.0);
}

}  // namespace

void RopeFrequencies::fill(int32_t position, float* cos, float* sin) const {
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const float angle = static_cast<float>(position) * inv_freq[i];
    cos[i] = static_cast<float>(std::cos(static_cast<double>(angle))) * attention_factor;
    sin[i] = static_cast<float>(std::sin(static_cast<double>(angle))) * attention_factor;
  }
}

RopeFrequencies rope_frequencies(const ModelConfig& config, int32_t context) {
  RopeFrequencies out;
  switch (config.rope.type) {
    case RopeType::kDefault: out.inv_freq = plain(config.rope_theta, config.head_dim); break;
    case RopeType::kLinear:
      out.inv_freq = plain(config.rope_theta, config.head_dim);
      for (float& f : out.inv_freq) f /= static_cast<float>(config.rope.factor);
      break;
    case RopeType::kDynamic: out.inv_freq = dynamic(config, context); break;
    case RopeType::kLlama3: out.inv_freq = llama3(config); break;
    case RopeType::kYarn:
      out.inv_freq = yarn(config);
      out.attention_factor = static_cast<float>(yarn_attention_factor(config.rope));
      break;
  }
  return out;
}

}  // namespace lamina
