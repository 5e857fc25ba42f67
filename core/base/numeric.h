// SPDX-License-Identifier: Apache-2.0
// Functions whose results must be the same bits on every engine, so libm is not asked, and
// checked integer arithmetic for sizes that come from files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

namespace lamina {

// e^x to about 1e-7 relative error, from operations that IEEE 754 fixes. exp_f32(-inf) = 0;
// underflows to 0 below -87.3, saturates at the largest float above 88.7.
float exp_f32(float x);

// a*b, a+b or nothing on overflow.
constexpr std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  if (b != 0 && a > std::numeric_limits<uint64_t>::max() / b) return std::nullopt;
  return a * b;
}
constexpr std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  if (a > std::numeric_limits<uint64_t>::max() - b) return std::nullopt;
  return a + b;
}

constexpr size_t round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }
constexpr size_t div_up(size_t n, size_t by) { return (n + by - 1) / by; }

// PCG-XSH-RR 64/32 (O'Neill, 2014): the sampler's and the synthetic models' random numbers.
class Random {
 public:
  explicit Random(uint64_t seed, uint64_t stream = 0);
  uint32_t next_u32();
  float next_unit();  // [0, 1), 24 random bits

 private:
  uint64_t state_;
  uint64_t increment_;
};

}  // namespace lamina
