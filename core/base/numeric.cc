// SPDX-License-Identifier: Apache-2.0
#include "core/base/numeric.h"

#include <bit>
#include <cmath>

namespace lamina {

// x = n ln2 + r with |r| <= ln2/2; e^r by a degree-6 Taylor polynomial (remainder below 2e-8
// relative on that interval); n ln2 is subtracted in two parts (Cody and Waite).
float exp_f32(float x) {
  if (std::isnan(x)) return x;
  if (x < -87.3f) return 0.0f;
  if (x > 88.7f) return std::numeric_limits<float>::max();
  const float n = std::nearbyint(x * 1.44269504f);
  float r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int exponent = static_cast<int>(n);
  // Two factors, so that n = 128 does not overflow the exponent field.
  const float half = std::bit_cast<float>(static_cast<uint32_t>(127 + exponent / 2) << 23);
  const float rest = std::bit_cast<float>(static_cast<uint32_t>(127 + exponent - exponent / 2) << 23);
  return p * half * rest;
}

Random::Random(uint64_t seed, uint64_t stream) : state_(0), increment_((stream << 1) | 1) {
  next_u32();
  state_ += seed;
  next_u32();
}

uint32_t Random::next_u32() {
  const uint64_t old = state_;
  state_ = old * 6364136223846793005ULL + increment_;
  const auto xorshifted = static_cast<uint32_t>(((old >> 18) ^ old) >> 27);
  return std::rotr(xorshifted, static_cast<int>(old >> 59));
}

float Random::next_unit() { return static_cast<float>(next_u32() >> 8) * 0x1p-24f; }

}  // namespace lamina
