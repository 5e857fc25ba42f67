// SPDX-License-Identifier: Apache-2.0
// The vocabulary of kernels/*.inl on AVX-512 with VNNI (F, BW, DQ, VL, VNNI): 16 lanes.
// vpdpbusd multiplies unsigned by signed bytes, so weights are offset by 128 and the accumulator
// starts at -128 * sum(x) (QuantizedRows::offsets): the result is exact.
#pragma once

#include <immintrin.h>

#include "backends/cpu/isa/inline.h"

namespace {

using F32 = __m512;
using I32 = __m512i;
using Acc = __m512i;

constexpr int kLanes = 16;
constexpr bool kOffsetWeights = true;
constexpr bool kPlacedWeights = false;
constexpr bool kFusedFma = true;  // f32_fma has one rounding

LAMINA_INLINE void prefetch_l2(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
}
LAMINA_INLINE void prefetch(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
}
LAMINA_INLINE __mmask16 first_lanes(int n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffff : (1u << n) - 1);
}

LAMINA_INLINE F32 f32_zero() { return _mm512_setzero_ps(); }
LAMINA_INLINE F32 f32_set(float v) { return _mm512_set1_ps(v); }
LAMINA_INLINE F32 f32_load(const float* p) { return _mm512_loadu_ps(p); }
LAMINA_INLINE F32 f32_load_n(const float* p, int n) {
  return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
LAMINA_INLINE void f32_store(float* p, F32 v) { _mm512_storeu_ps(p, v); }
LAMINA_INLINE void f32_store_n(float* p, F32 v, int n) {
  _mm512_mask_storeu_ps(p, first_lanes(n), v);
}
LAMINA_INLINE F32 f32_add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
LAMINA_INLINE F32 f32_sub(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
LAMINA_INLINE F32 f32_mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
LAMINA_INLINE F32 f32_div(F32 a, F32 b) { return _mm512_div_ps(a, b); }
LAMINA_INLINE F32 f32_max(F32 a, F32 b) { return _mm512_max_ps(a, b); }  // b if either is NaN
LAMINA_INLINE F32 f32_min(F32 a, F32 b) { return _mm512_min_ps(a, b); }
LAMINA_INLINE F32 f32_abs(F32 a) { return _mm512_abs_ps(a); }
LAMINA_INLINE F32 f32_fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
// One rounding on every ISA that has fma (the int8 contract asks for it).
LAMINA_INLINE F32 f32_fma_exact(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
LAMINA_INLINE F32 f32_round(F32 a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
LAMINA_INLINE float f32_first(F32 v) { return _mm512_cvtss_f32(v); }
LAMINA_INLINE float f32_sum(F32 v) {
  const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
LAMINA_INLINE float f32_largest(F32 v) {
  const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

// v * 2^n for integral n in -126..127.
LAMINA_INLINE F32 f32_scale_pow2(F32 v, F32 n) { return _mm512_scalef_ps(v, n); }

LAMINA_INLINE F32 f32_load_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(static_cast<const void*>(p))));
}
LAMINA_INLINE void f32_store_f16(uint16_t* p, F32 v) {
  _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(p)),
                      _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
LAMINA_INLINE F32 f32_load_i8(const int8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(p)))));
}

LAMINA_INLINE I32 i32_zero() { return _mm512_setzero_si512(); }
LAMINA_INLINE I32 i32_set(int32_t v) { return _mm512_set1_epi32(v); }
LAMINA_INLINE I32 i32_load(const void* p) { return _mm512_loadu_si512(p); }
LAMINA_INLINE void i32_store(void* p, I32 v) { _mm512_storeu_si512(p, v); }
LAMINA_INLINE I32 i32_broadcast(const void* p) {  // the same four bytes in every lane
  return _mm512_set1_epi32(*static_cast<const int32_t*>(p));
}
LAMINA_INLINE I32 i32_add(I32 a, I32 b) { return _mm512_add_epi32(a, b); }
LAMINA_INLINE int32_t i32_sum(I32 v) { return _mm512_reduce_add_epi32(v); }
LAMINA_INLINE F32 f32_from_i32(I32 v) { return _mm512_cvtepi32_ps(v); }
LAMINA_INLINE F32 f32_from_bits(I32 v) { return _mm512_castsi512_ps(v); }
LAMINA_INLINE I32 i32_from_f32(F32 v) { return _mm512_cvtps_epi32(v); }  // to nearest even
LAMINA_INLINE void i32_to_i8(int8_t* p, I32 v) {  // saturates
  _mm_storeu_si128(static_cast<__m128i*>(static_cast<void*>(p)), _mm512_cvtsepi32_epi8(v));
}

LAMINA_INLINE Acc acc_set(int32_t v) { return _mm512_set1_epi32(v); }
LAMINA_INLINE I32 acc_value(Acc a) { return a; }
LAMINA_INLINE I32 weight_bytes(const void* p) {
  return _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(-128));
}
// acc + the dot products of the four bytes of each lane; w comes from weight_bytes. As the
// intrinsic; but GCC 12 copies its accumulator around, at half the speed.
LAMINA_INLINE Acc dot(Acc acc, I32 w, I32 x) {
  asm volatile("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
  return acc;
}
// Likewise with x from memory: an instruction less for each line that is waited for.
LAMINA_INLINE Acc dot_at(Acc acc, I32 w, const int8_t* x) {
  asm volatile("vpdpbusd %2, %1, %0"
               : "+v"(acc)
               : "v"(w), "m"(*static_cast<const I32*>(static_cast<const void*>(x))));
  return acc;
}

// Lane i of the result is the sum of v[i]'s lanes.
LAMINA_INLINE I32 sum_each(const Acc (&v)[16]) {
  I32 quad[4];  // 128-bit part p, lane i: sum of part p of v[4q + i]
  each<4>([&](auto q) LAMINA_LAMBDA {
    const I32 low = _mm512_add_epi32(_mm512_unpacklo_epi32(v[4 * q], v[4 * q + 1]),
                                     _mm512_unpackhi_epi32(v[4 * q], v[4 * q + 1]));
    const I32 high = _mm512_add_epi32(_mm512_unpacklo_epi32(v[4 * q + 2], v[4 * q + 3]),
                                      _mm512_unpackhi_epi32(v[4 * q + 2], v[4 * q + 3]));
    quad[q] = _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
  });
  const I32 a = _mm512_add_epi32(_mm512_shuffle_i32x4(quad[0], quad[1], 0x88),
                                 _mm512_shuffle_i32x4(quad[0], quad[1], 0xdd));
  const I32 b = _mm512_add_epi32(_mm512_shuffle_i32x4(quad[2], quad[3], 0x88),
                                 _mm512_shuffle_i32x4(quad[2], quad[3], 0xdd));
  return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

LAMINA_INLINE void transpose(I32 (&v)[16]) {
  I32 t[16];
  each<4>([&](auto q) LAMINA_LAMBDA {  // 4x4 within each 128-bit part
    const I32 l01 = _mm512_unpacklo_epi32(v[4 * q], v[4 * q + 1]);
    const I32 h01 = _mm512_unpackhi_epi32(v[4 * q], v[4 * q + 1]);
    const I32 l23 = _mm512_unpacklo_epi32(v[4 * q + 2], v[4 * q + 3]);
    const I32 h23 = _mm512_unpackhi_epi32(v[4 * q + 2], v[4 * q + 3]);
    t[4 * q] = _mm512_unpacklo_epi64(l01, l23);
    t[4 * q + 1] = _mm512_unpackhi_epi64(l01, l23);
    t[4 * q + 2] = _mm512_unpacklo_epi64(h01, h23);
    t[4 * q + 3] = _mm512_unpackhi_epi64(h01, h23);
  });
  each<4>([&](auto i) LAMINA_LAMBDA {  // then the parts
    const I32 e0 = _mm512_shuffle_i32x4(t[i], t[4 + i], 0x88);
    const I32 o0 = _mm512_shuffle_i32x4(t[i], t[4 + i], 0xdd);
    const I32 e1 = _mm512_shuffle_i32x4(t[8 + i], t[12 + i], 0x88);
    const I32 o1 = _mm512_shuffle_i32x4(t[8 + i], t[12 + i], 0xdd);
    v[i] = _mm512_shuffle_i32x4(e0, e1, 0x88);
    v[4 + i] = _mm512_shuffle_i32x4(o0, o1, 0x88);
    v[8 + i] = _mm512_shuffle_i32x4(e0, e1, 0xdd);
    v[12 + i] = _mm512_shuffle_i32x4(o0, o1, 0xdd);
  });
}

// Splits the two 32-byte halves of a dot over 64 bytes (groups of 32).
LAMINA_INLINE Acc acc_low_half(Acc a) { return _mm512_zextsi256_si512(_mm512_castsi512_si256(a)); }
LAMINA_INLINE Acc acc_high_half(Acc a) {
  return _mm512_zextsi256_si512(_mm512_extracti64x4_epi64(a, 1));
}

}  // namespace
