// SPDX-License-Identifier: Apache-2.0
// What simd_wasm128.h makes up where WebAssembly has no instruction, against plain arithmetic:
// the fma of one rounding in its rare cases, f16 both ways, dots at the ends of their range.
// long double has 113 bits here, so a product and sum within that span are rounded but once.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "backends/cpu/isa/simd_wasm128.h"
#include "backends/cpu/isa/wasm_dot_words.h"
#include "core/base/half.h"
#include "core/base/numeric.h"

namespace lamina {
namespace {

static_assert(std::numeric_limits<long double>::digits == 113);

uint32_t bits(float v) {
  uint32_t b;
  std::memcpy(&b, &v, 4);
  return b;
}

void expect_fma(float a, float b, float c) {
  const float want = static_cast<float>(static_cast<long double>(a) * b + c);
  for (int lane : {0, 3}) {
    float as[4] = {1.5f, 2.5f, 3.5f, 4.5f}, out[4];
    as[lane] = a;
    f32_store(out, f32_fma_exact(f32_load(as), f32_set(b), f32_set(c)));
    ASSERT_EQ(bits(out[lane]), bits(want)) << a << " * " << b << " + " << c << ", lane " << lane;
  }
}

TEST(WasmVocabulary, FmaRoundsOnceBesideHalfwayPoints) {
  Random random(3);
  int differs = 0;  // from rounding to f64 first
  for (int i = 1; i < 2000; ++i) {
    const float delta = static_cast<float>(i % 60 + 1) * 0x1p-23f;
    const float a = 0x1p-12f * (1 + delta), b = 0x1p-12f * (1 - delta);
    const auto k = static_cast<float>(random.next_u32() >> 8);
    for (float sign : {1.0f, -1.0f}) {
      // Half a unit of c's last place, less a trifle: for normal and for subnormal c.
      const float c = (1.0f + k * 0x1p-24f) * sign;
      expect_fma(a, b, c);
      expect_fma(-a, b, c);
      expect_fma(a * 0x1p-63f, b * 0x1p-63f, k * 0x1p-149f * sign);
      const auto twice = static_cast<float>(static_cast<double>(a) * b + c);
      differs += f32_first(f32_fma_exact(f32_set(a), f32_set(b), f32_set(c))) != twice;
    }
  }
  EXPECT_GT(differs, 500) << "the cases are not the rare ones";
}

TEST(WasmVocabulary, FmaRoundsOnceAnywhere) {
  Random random(4);
  for (int i = 0; i < 20000; ++i) {
    const auto value = [&] {
      return std::ldexp(random.next_unit() - 0.5f, static_cast<int>(random.next_u32() % 20) - 10);
    };
    expect_fma(value(), value(), value());
  }
  const float inf = std::numeric_limits<float>::infinity(), max = std::numeric_limits<float>::max();
  const float special[] = {0.0f, -0.0f, 1.0f, -3.0f, inf, -inf, max, -max, 0x1p-149f, 0x1p-126f};
  for (float a : special) {
    for (float b : special) {
      for (float c : special) {
        const float want = static_cast<float>(static_cast<long double>(a) * b + c);
        const float got = f32_first(f32_fma_exact(f32_set(a), f32_set(b), f32_set(c)));
        if (std::isnan(want)) {
          EXPECT_TRUE(std::isnan(got)) << a << " * " << b << " + " << c;
        } else if (std::fabs(a * b) > 0x1p-60f || a * b == 0.0f || c == 0.0f) {  // within 113 bits
          EXPECT_EQ(bits(got), bits(want)) << a << " * " << b << " + " << c;
        }
      }
    }
  }
}

TEST(WasmVocabulary, EveryHalf) {
  for (uint32_t h = 0; h < 65536; h += 4) {
    uint16_t in[4], out[4];
    for (uint32_t i = 0; i < 4; ++i) in[i] = static_cast<uint16_t>(h + i);
    float values[4];
    f32_store(values, f32_load_f16(in));
    f32_store_f16(out, f32_load(values));
    for (int i = 0; i < 4; ++i) {
      const float want = f16_to_f32(in[i]);
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(values[i]) && std::isnan(f16_to_f32(out[i]))) << in[i];
      } else {
        ASSERT_EQ(bits(values[i]), bits(want)) << in[i];
        ASSERT_EQ(out[i], in[i]);
      }
    }
  }
}

TEST(WasmVocabulary, HalvesRoundToNearestEven) {
  for (uint32_t h = 0; h < 0x7c00; ++h) {
    // A half, the point halfway to the next, and their neighbours in f32.
    const float low = f16_to_f32(static_cast<uint16_t>(h));
    const float next = h == 0x7bff ? 65536.0f : f16_to_f32(static_cast<uint16_t>(h + 1));
    const float middle = (low + next) / 2;
    const float values[4] = {std::nextafter(middle, 0.0f), middle, std::nextafter(middle, 1e9f),
                             -std::nextafter(next, 0.0f)};
    uint16_t out[4];
    f32_store_f16(out, f32_load(values));
    for (int i = 0; i < 4; ++i) ASSERT_EQ(out[i], f32_to_f16(values[i])) << values[i];
  }
}

TEST(WasmVocabulary, DotOfExtremes) {
  const int8_t ends[] = {-127, -126, -1, 0, 1, 126, 127};
  for (int8_t w : ends) {
    for (int8_t x : ends) {
      int8_t ws[16], xs[16];
      for (int i = 0; i < 16; ++i) {
        ws[i] = i % 3 ? w : static_cast<int8_t>(-w);
        xs[i] = i % 5 ? x : static_cast<int8_t>(x / 2);
      }
      int32_t out[4];
      i32_store(out, acc_value(dot(acc_set(-5), weight_bytes(ws), i32_load(xs))));
      for (int lane = 0; lane < 4; ++lane) {
        int32_t want = -5;
        for (int i = 4 * lane; i < 4 * lane + 4; ++i) want += ws[i] * xs[i];
        EXPECT_EQ(out[lane], want) << int{w} << " and " << int{x};
      }
    }
  }
}

}  // namespace
}  // namespace lamina
