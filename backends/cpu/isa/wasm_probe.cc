// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/isa/wasm_probe.h"

#include <wasm_simd128.h>

namespace lamina::cpu {

namespace {

// From memory that the compiler knows nothing of, or it would work them out itself.
v128_t bytes(int even, int odd) {
  volatile signed char v[2] = {static_cast<signed char>(even), static_cast<signed char>(odd)};
  const v128_t evens = wasm_i16x8_splat(static_cast<short>(v[0] & 0xff));
  return wasm_v128_or(evens, wasm_i16x8_shl(wasm_i16x8_splat(v[1]), 8));
}

int dot(v128_t first, v128_t second) {
  return wasm_i32x4_extract_lane(
      wasm_i32x4_relaxed_dot_i8x16_i7x16_add(first, second, wasm_i32x4_const_splat(-5)), 2);
}

bool dots_are(int sign_of_second) {
  const int firsts[] = {127, -127, 126, -1, 0};
  const int seconds[] = {255, 254, 129, 128, 127, 1};
  for (int a : firsts) {
    for (int b : firsts) {
      for (int x : seconds) {
        for (int y : seconds) {
          const auto value = [&](int v) { return sign_of_second < 0 && v > 127 ? v - 256 : v; };
          const int want = 2 * (a * value(x) + b * value(y)) - 5;
          if (dot(bytes(a, b), bytes(x, y)) != want) return false;
        }
      }
    }
  }
  return true;
}

// (1 + e)(1 - e) - 1 = -e^2, which two roundings lose.
bool madd_is_fused() {
  volatile float e = 0x1p-20f;
  const v128_t got = wasm_f32x4_relaxed_madd(wasm_f32x4_splat(1 + e), wasm_f32x4_splat(1 - e),
                                             wasm_f32x4_const_splat(-1.0f));
  return wasm_f32x4_extract_lane(got, 1) == -0x1p-40f;
}

}  // namespace

RelaxedSimd probe_relaxed_simd() {
  RelaxedSimd found;
  found.fused_madd = madd_is_fused();
  if (dots_are(+1)) found.dot = RelaxedSimd::Dot::kUnsigned;
  if (dots_are(-1)) found.dot = RelaxedSimd::Dot::kSigned;
  return found;
}

}  // namespace lamina::cpu
