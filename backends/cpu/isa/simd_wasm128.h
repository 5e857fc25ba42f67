// SPDX-License-Identifier: Apache-2.0
// The vocabulary of kernels/*.inl on WebAssembly's SIMD128: 4 lanes. With LAMINA_RELAXED_LANES, which
// wasm_relaxed*.cc set, with relaxed SIMD's madd, which must have one rounding (see wasm_probe.h).
// Without, f32_fma_exact goes through f64, and f32_fma is not held to bits.
// What multiplies bytes is apart: wasm_dot_words.h and wasm_dot_bytes.h.
#pragma once

#include <wasm_simd128.h>

#include <cstddef>
#include <cstdint>

#include "backends/cpu/isa/inline.h"

namespace {

using F32 = v128_t;
using I32 = v128_t;
using Acc = v128_t;

constexpr int kLanes = 4;
#if defined(LAMINA_RELAXED_LANES)
constexpr bool kFusedFma = true;  // f32_fma has one rounding
#else
constexpr bool kFusedFma = false;
#endif

LAMINA_INLINE void prefetch(const void*) {}
LAMINA_INLINE void prefetch_l2(const void*) {}

LAMINA_INLINE F32 f32_zero() { return wasm_f32x4_const_splat(0.0f); }
LAMINA_INLINE F32 f32_set(float v) { return wasm_f32x4_splat(v); }
LAMINA_INLINE F32 f32_load(const float* p) { return wasm_v128_load(p); }
LAMINA_INLINE F32 f32_load_n(const float* p, int n) {  // zeros beyond n
  if (n >= 4) return wasm_v128_load(p);
  F32 v = f32_zero();
  if (n > 0) v = wasm_v128_load32_lane(p, v, 0);
  if (n > 1) v = wasm_v128_load32_lane(p + 1, v, 1);
  if (n > 2) v = wasm_v128_load32_lane(p + 2, v, 2);
  return v;
}
LAMINA_INLINE void f32_store(float* p, F32 v) { wasm_v128_store(p, v); }
LAMINA_INLINE void f32_store_n(float* p, F32 v, int n) {
  if (n >= 4) return wasm_v128_store(p, v);
  if (n > 0) wasm_v128_store32_lane(p, v, 0);
  if (n > 1) wasm_v128_store32_lane(p + 1, v, 1);
  if (n > 2) wasm_v128_store32_lane(p + 2, v, 2);
}
LAMINA_INLINE F32 f32_add(F32 a, F32 b) { return wasm_f32x4_add(a, b); }
LAMINA_INLINE F32 f32_sub(F32 a, F32 b) { return wasm_f32x4_sub(a, b); }
LAMINA_INLINE F32 f32_mul(F32 a, F32 b) { return wasm_f32x4_mul(a, b); }
LAMINA_INLINE F32 f32_div(F32 a, F32 b) { return wasm_f32x4_div(a, b); }
LAMINA_INLINE F32 f32_max(F32 a, F32 b) { return wasm_f32x4_pmax(b, a); }  // b if either is NaN
LAMINA_INLINE F32 f32_min(F32 a, F32 b) { return wasm_f32x4_pmin(b, a); }
LAMINA_INLINE F32 f32_abs(F32 a) { return wasm_f32x4_abs(a); }
LAMINA_INLINE F32 f32_fma(F32 a, F32 b, F32 c) {
#if defined(LAMINA_RELAXED_LANES)
  return wasm_f32x4_relaxed_madd(a, b, c);
#else
  return wasm_f32x4_add(wasm_f32x4_mul(a, b), c);
#endif
}
LAMINA_INLINE F32 f32_round(F32 a) { return wasm_f32x4_nearest(a); }
LAMINA_INLINE float f32_first(F32 v) { return wasm_f32x4_extract_lane(v, 0); }
LAMINA_INLINE float f32_sum(F32 v) {
  const F32 q = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(q, 0) + wasm_f32x4_extract_lane(q, 1);
}
LAMINA_INLINE float f32_largest(F32 v) {
  const F32 q = f32_max(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(f32_max(q, wasm_i32x4_shuffle(q, q, 1, 0, 3, 2)), 0);
}

#if defined(LAMINA_RELAXED_LANES)
LAMINA_INLINE F32 f32_fma_exact(F32 a, F32 b, F32 c) { return f32_fma(a, b, c); }
#else
LAMINA_INLINE v128_t high_half(v128_t v) { return wasm_i64x2_shuffle(v, v, 1, 1); }

// Two lanes of a * b + c, rounded in f64 to odd (Boldo and Melquiond, 2008): the product is exact,
// and 53 bits rounded so suffice for f32's 24. The error of the sum is Knuth's.
LAMINA_INLINE v128_t f64_fma_to_odd(v128_t a, v128_t b, v128_t c) {
  const v128_t p = wasm_f64x2_mul(a, b), s = wasm_f64x2_add(p, c);
  const v128_t c_part = wasm_f64x2_sub(s, p), p_part = wasm_f64x2_sub(s, c_part);
  const v128_t error = wasm_f64x2_add(wasm_f64x2_sub(p, p_part), wasm_f64x2_sub(c, c_part));
  const v128_t zero = wasm_f64x2_const_splat(0.0), one = wasm_i64x2_const_splat(1);
  const v128_t inexact = wasm_v128_or(wasm_f64x2_lt(error, zero), wasm_f64x2_gt(error, zero));
  const v128_t even = wasm_i64x2_eq(wasm_v128_and(s, one), wasm_i64x2_const_splat(0));
  const v128_t inward = wasm_i64x2_shr(wasm_v128_xor(s, error), 63);  // -1 or 0
  const v128_t step = wasm_v128_or(inward, one);                      // -1 or 1
  return wasm_i64x2_add(s, wasm_v128_and(step, wasm_v128_and(inexact, even)));
}

LAMINA_NOINLINE F32 f32_fma_to_odd(F32 a, F32 b, F32 c) {
  const v128_t low = f64_fma_to_odd(wasm_f64x2_promote_low_f32x4(a),
                                    wasm_f64x2_promote_low_f32x4(b),
                                    wasm_f64x2_promote_low_f32x4(c));
  const v128_t high = f64_fma_to_odd(wasm_f64x2_promote_low_f32x4(high_half(a)),
                                     wasm_f64x2_promote_low_f32x4(high_half(b)),
                                     wasm_f64x2_promote_low_f32x4(high_half(c)));
  return wasm_i64x2_shuffle(wasm_f32x4_demote_f64x2_zero(low), wasm_f32x4_demote_f64x2_zero(high),
                            0, 2);
}

// One rounding. Rounding to f64 first does no harm unless that hits a point halfway between two
// f32; such a point, normal or not, has 28 zeros at its end.
LAMINA_INLINE F32 f32_fma_exact(F32 a, F32 b, F32 c) {
  const auto sum = [](v128_t x, v128_t y, v128_t z) LAMINA_LAMBDA {
    return wasm_f64x2_add(wasm_f64x2_mul(wasm_f64x2_promote_low_f32x4(x),
                                         wasm_f64x2_promote_low_f32x4(y)),
                          wasm_f64x2_promote_low_f32x4(z));
  };
  const v128_t low = sum(a, b, c), high = sum(high_half(a), high_half(b), high_half(c));
  const v128_t end = wasm_i64x2_const_splat(0x0fffffff), zero = wasm_i64x2_const_splat(0);
  const v128_t doubtful = wasm_v128_or(wasm_i64x2_eq(wasm_v128_and(low, end), zero),
                                       wasm_i64x2_eq(wasm_v128_and(high, end), zero));
  if (__builtin_expect(wasm_v128_any_true(doubtful), 0)) return f32_fma_to_odd(a, b, c);
  return wasm_i64x2_shuffle(wasm_f32x4_demote_f64x2_zero(low), wasm_f32x4_demote_f64x2_zero(high),
                            0, 2);
}
#endif

// v * 2^n for integral n in -126..127.
LAMINA_INLINE F32 f32_scale_pow2(F32 v, F32 n) {
  const v128_t biased =
      wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_const_splat(127));
  return wasm_f32x4_mul(v, wasm_i32x4_shl(biased, 23));
}

// The bits of an f16 moved into an f32 mean 2^-112 of it, subnormal ones included. Extended with its
// sign, it brings that to its place, and copies below it that are masked away.
LAMINA_INLINE F32 f32_load_f16(const uint16_t* p) {
  const v128_t moved = wasm_i32x4_shl(wasm_i32x4_load16x4(p), 13);
  const v128_t bits = wasm_v128_and(moved, wasm_i32x4_const_splat(static_cast<int>(0x8fffe000u)));
  const v128_t value = wasm_f32x4_mul(bits, wasm_f32x4_const_splat(0x1p112f));
  const v128_t special = wasm_f32x4_ge(wasm_f32x4_abs(value), wasm_f32x4_const_splat(65536.0f));
  return wasm_v128_or(value, wasm_v128_and(special, wasm_i32x4_const_splat(0x7f800000)));
}
// To nearest even. Beneath 2^-14, adding 0.5 leaves the count of 2^-24 in the low bits.
LAMINA_INLINE void f32_store_f16(uint16_t* p, F32 v) {
  const v128_t bits = wasm_v128_and(v, wasm_i32x4_const_splat(0x7fffffff));
  const v128_t sign = wasm_u32x4_shr(wasm_v128_xor(v, bits), 16);
  const v128_t finite = wasm_i32x4_min(bits, wasm_i32x4_const_splat(0x47800000));  // 2^16: infinity
  const v128_t odd = wasm_v128_and(wasm_u32x4_shr(finite, 13), wasm_i32x4_const_splat(1));
  const v128_t rounding = wasm_i32x4_add(odd, wasm_i32x4_const_splat(0xfff - (112 << 23)));
  const v128_t normal = wasm_u32x4_shr(wasm_i32x4_add(finite, rounding), 13);
  const v128_t half = wasm_f32x4_const_splat(0.5f);
  const v128_t small = wasm_i32x4_sub(wasm_f32x4_add(bits, half), half);
  const v128_t is_small = wasm_i32x4_lt(bits, wasm_i32x4_const_splat(0x38800000));
  const v128_t is_nan = wasm_i32x4_gt(bits, wasm_i32x4_const_splat(0x7f800000));
  v128_t h = wasm_v128_bitselect(small, normal, is_small);
  h = wasm_v128_bitselect(wasm_i32x4_const_splat(0x7e00), h, is_nan);
  h = wasm_v128_or(h, sign);
  wasm_v128_store64_lane(p, wasm_u16x8_narrow_i32x4(h, h), 0);
}
LAMINA_INLINE F32 f32_load_i8(const int8_t* p) {
  const v128_t words = wasm_i16x8_extend_low_i8x16(wasm_v128_load32_zero(p));
  return wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(words));
}

LAMINA_INLINE I32 i32_zero() { return wasm_i32x4_const_splat(0); }
LAMINA_INLINE I32 i32_set(int32_t v) { return wasm_i32x4_splat(v); }
LAMINA_INLINE I32 i32_load(const void* p) { return wasm_v128_load(p); }
LAMINA_INLINE void i32_store(void* p, I32 v) { wasm_v128_store(p, v); }
LAMINA_INLINE I32 i32_broadcast(const void* p) {  // the same four bytes in every lane
  return wasm_v128_load32_splat(p);
}
LAMINA_INLINE I32 i32_add(I32 a, I32 b) { return wasm_i32x4_add(a, b); }
LAMINA_INLINE int32_t i32_sum(I32 v) {
  const I32 q = wasm_i32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_i32x4_extract_lane(q, 0) + wasm_i32x4_extract_lane(q, 1);
}
LAMINA_INLINE F32 f32_from_i32(I32 v) { return wasm_f32x4_convert_i32x4(v); }
LAMINA_INLINE F32 f32_from_bits(I32 v) { return v; }
LAMINA_INLINE I32 i32_from_f32(F32 v) {  // to nearest even; NaN to 0
  return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(v));
}
LAMINA_INLINE void i32_to_i8(int8_t* p, I32 v) {  // saturates
  const v128_t words = wasm_i16x8_narrow_i32x4(v, v);
  wasm_v128_store32_lane(p, wasm_i8x16_narrow_i16x8(words, words), 0);
}

LAMINA_INLINE Acc acc_set(int32_t v) { return wasm_i32x4_splat(v); }
LAMINA_INLINE I32 acc_value(Acc a) { return a; }

LAMINA_INLINE void transpose(I32 (&v)[4]) {
  const I32 low01 = wasm_i32x4_shuffle(v[0], v[1], 0, 4, 1, 5);
  const I32 high01 = wasm_i32x4_shuffle(v[0], v[1], 2, 6, 3, 7);
  const I32 low23 = wasm_i32x4_shuffle(v[2], v[3], 0, 4, 1, 5);
  const I32 high23 = wasm_i32x4_shuffle(v[2], v[3], 2, 6, 3, 7);
  v[0] = wasm_i64x2_shuffle(low01, low23, 0, 2);
  v[1] = wasm_i64x2_shuffle(low01, low23, 1, 3);
  v[2] = wasm_i64x2_shuffle(high01, high23, 0, 2);
  v[3] = wasm_i64x2_shuffle(high01, high23, 1, 3);
}

// Lane i of the result is the sum of v[i]'s lanes.
LAMINA_INLINE I32 sum_each(const Acc (&v)[4]) {
  I32 t[4] = {v[0], v[1], v[2], v[3]};
  transpose(t);
  return wasm_i32x4_add(wasm_i32x4_add(t[0], t[1]), wasm_i32x4_add(t[2], t[3]));
}

}  // namespace
