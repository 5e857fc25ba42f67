// SPDX-License-Identifier: Apache-2.0
// The vocabulary of kernels/*.inl in plain C++, one lane: for machines without a room of their own.
#pragma once

#include "backends/cpu/isa/inline.h"
#include "core/base/half.h"

namespace {

using F32 = float;
using I32 = int32_t;
using Acc = int32_t;

constexpr int kLanes = 1;
constexpr bool kOffsetWeights = false;
constexpr bool kPlacedWeights = false;
constexpr bool kFusedFma = false;  // f32_fma has one rounding

LAMINA_INLINE void prefetch(const void*) {}
LAMINA_INLINE void prefetch_l2(const void*) {}

LAMINA_INLINE F32 f32_zero() { return 0.0f; }
LAMINA_INLINE F32 f32_set(float v) { return v; }
LAMINA_INLINE F32 f32_load(const float* p) { return *p; }
LAMINA_INLINE F32 f32_load_n(const float* p, int) { return *p; }
LAMINA_INLINE void f32_store(float* p, F32 v) { *p = v; }
LAMINA_INLINE void f32_store_n(float* p, F32 v, int) { *p = v; }
LAMINA_INLINE F32 f32_add(F32 a, F32 b) { return a + b; }
LAMINA_INLINE F32 f32_sub(F32 a, F32 b) { return a - b; }
LAMINA_INLINE F32 f32_mul(F32 a, F32 b) { return a * b; }
LAMINA_INLINE F32 f32_div(F32 a, F32 b) { return a / b; }
LAMINA_INLINE F32 f32_max(F32 a, F32 b) { return a > b ? a : b; }
LAMINA_INLINE F32 f32_min(F32 a, F32 b) { return a < b ? a : b; }
LAMINA_INLINE F32 f32_abs(F32 a) { return __builtin_fabsf(a); }
LAMINA_INLINE F32 f32_fma(F32 a, F32 b, F32 c) { return a * b + c; }  // fast where no fma is
LAMINA_INLINE F32 f32_fma_exact(F32 a, F32 b, F32 c) { return __builtin_fmaf(a, b, c); }
// 1.5 * 2^23 pushes the fraction out; |a| < 2^22.
LAMINA_INLINE F32 f32_round(F32 a) { return a + 0x1.8p23f - 0x1.8p23f; }
LAMINA_INLINE float f32_first(F32 v) { return v; }
LAMINA_INLINE float f32_sum(F32 v) { return v; }
LAMINA_INLINE float f32_largest(F32 v) { return v; }

LAMINA_INLINE I32 bits_of(F32 v) {
  I32 bits;
  __builtin_memcpy(&bits, &v, 4);
  return bits;
}
LAMINA_INLINE F32 f32_from_bits(I32 v) {
  F32 f;
  __builtin_memcpy(&f, &v, 4);
  return f;
}
LAMINA_INLINE F32 f32_scale_pow2(F32 v, F32 n) {
  return v * f32_from_bits((static_cast<I32>(n) + 127) << 23);
}
LAMINA_INLINE F32 f32_load_f16(const uint16_t* p) { return lamina::f16_to_f32(*p); }
LAMINA_INLINE void f32_store_f16(uint16_t* p, F32 v) { *p = lamina::f32_to_f16(v); }
LAMINA_INLINE F32 f32_load_i8(const int8_t* p) { return static_cast<float>(*p); }

LAMINA_INLINE I32 i32_zero() { return 0; }
LAMINA_INLINE I32 i32_set(int32_t v) { return v; }
LAMINA_INLINE I32 i32_load(const void* p) {
  I32 v;
  __builtin_memcpy(&v, p, 4);
  return v;
}
LAMINA_INLINE void i32_store(void* p, I32 v) { __builtin_memcpy(p, &v, 4); }
LAMINA_INLINE I32 i32_broadcast(const void* p) { return i32_load(p); }
LAMINA_INLINE I32 i32_add(I32 a, I32 b) { return a + b; }
LAMINA_INLINE int32_t i32_sum(I32 v) { return v; }
LAMINA_INLINE F32 f32_from_i32(I32 v) { return static_cast<float>(v); }
LAMINA_INLINE I32 i32_from_f32(F32 v) {  // to nearest even; what is no number counts as 0
  if (!(v > -0x1p22f && v < 0x1p22f)) return 0;
  return static_cast<I32>(f32_round(v));
}
LAMINA_INLINE void i32_to_i8(int8_t* p, I32 v) {
  *p = static_cast<int8_t>(v > 127 ? 127 : v < -128 ? -128 : v);
}

LAMINA_INLINE Acc acc_set(int32_t v) { return v; }
LAMINA_INLINE I32 acc_value(Acc a) { return a; }
LAMINA_INLINE I32 weight_bytes(const void* p) { return i32_load(p); }
LAMINA_INLINE Acc dot(Acc acc, I32 w, I32 x) {
  int8_t a[4], b[4];
  __builtin_memcpy(a, &w, 4);
  __builtin_memcpy(b, &x, 4);
  return acc + a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
}
LAMINA_INLINE Acc dot_at(Acc acc, I32 w, const int8_t* x) { return dot(acc, w, i32_load(x)); }
LAMINA_INLINE I32 sum_each(const Acc (&v)[1]) { return v[0]; }
LAMINA_INLINE void transpose(I32 (&)[1]) {}

}  // namespace
