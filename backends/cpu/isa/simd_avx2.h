// SPDX-License-Identifier: Apache-2.0
// The vocabulary of kernels/*.inl on AVX2 with FMA and F16C: 8 lanes. vpmaddubsw saturates at 16
// bits, but |x| * sign(w, x) stays within 2 * 127 * 127 and so is exact.
#pragma once

#include <immintrin.h>

#include "backends/cpu/isa/inline.h"

namespace {

using F32 = __m256;
using I32 = __m256i;
using Acc = __m256i;

constexpr int kLanes = 8;
constexpr bool kOffsetWeights = false;
constexpr bool kPlacedWeights = false;
constexpr bool kFusedFma = true;  // f32_fma has one rounding

LAMINA_INLINE void prefetch_l2(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
}
LAMINA_INLINE void prefetch(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
}
LAMINA_INLINE __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

LAMINA_INLINE F32 f32_zero() { return _mm256_setzero_ps(); }
LAMINA_INLINE F32 f32_set(float v) { return _mm256_set1_ps(v); }
LAMINA_INLINE F32 f32_load(const float* p) { return _mm256_loadu_ps(p); }
LAMINA_INLINE F32 f32_load_n(const float* p, int n) {
  return n >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first_lanes(n));
}
LAMINA_INLINE void f32_store(float* p, F32 v) { _mm256_storeu_ps(p, v); }
LAMINA_INLINE void f32_store_n(float* p, F32 v, int n) {
  if (n >= 8) return _mm256_storeu_ps(p, v);
  _mm256_maskstore_ps(p, first_lanes(n), v);
}
LAMINA_INLINE F32 f32_add(F32 a, F32 b) { return _mm256_add_ps(a, b); }
LAMINA_INLINE F32 f32_sub(F32 a, F32 b) { return _mm256_sub_ps(a, b); }
LAMINA_INLINE F32 f32_mul(F32 a, F32 b) { return _mm256_mul_ps(a, b); }
LAMINA_INLINE F32 f32_div(F32 a, F32 b) { return _mm256_div_ps(a, b); }
LAMINA_INLINE F32 f32_max(F32 a, F32 b) { return _mm256_max_ps(a, b); }  // b if either is NaN
LAMINA_INLINE F32 f32_min(F32 a, F32 b) { return _mm256_min_ps(a, b); }
LAMINA_INLINE F32 f32_abs(F32 a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
LAMINA_INLINE F32 f32_fma(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
// One rounding on every ISA that has fma (the int8 contract asks for it).
LAMINA_INLINE F32 f32_fma_exact(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
LAMINA_INLINE F32 f32_round(F32 a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
LAMINA_INLINE float f32_first(F32 v) { return _mm256_cvtss_f32(v); }
LAMINA_INLINE float f32_sum(F32 v) {
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
LAMINA_INLINE float f32_largest(F32 v) {
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

// v * 2^n for integral n in -126..127.
LAMINA_INLINE F32 f32_scale_pow2(F32 v, F32 n) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23)));
}

LAMINA_INLINE __m128i load_16_bytes(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
LAMINA_INLINE F32 f32_load_f16(const uint16_t* p) { return _mm256_cvtph_ps(load_16_bytes(p)); }
LAMINA_INLINE void f32_store_f16(uint16_t* p, F32 v) {
  _mm_storeu_si128(static_cast<__m128i*>(static_cast<void*>(p)),
                   _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
LAMINA_INLINE F32 f32_load_i8(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(
      static_cast<const __m128i*>(static_cast<const void*>(p)))));
}

LAMINA_INLINE I32 i32_zero() { return _mm256_setzero_si256(); }
LAMINA_INLINE I32 i32_set(int32_t v) { return _mm256_set1_epi32(v); }
LAMINA_INLINE I32 i32_load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
LAMINA_INLINE void i32_store(void* p, I32 v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
LAMINA_INLINE I32 i32_broadcast(const void* p) {  // the same four bytes in every lane
  return _mm256_set1_epi32(*static_cast<const int32_t*>(p));
}
LAMINA_INLINE I32 i32_add(I32 a, I32 b) { return _mm256_add_epi32(a, b); }
LAMINA_INLINE int32_t i32_sum(I32 v) {
  __m128i q = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  q = _mm_add_epi32(q, _mm_shuffle_epi32(q, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(q, _mm_shuffle_epi32(q, 0xb1)));
}
LAMINA_INLINE F32 f32_from_i32(I32 v) { return _mm256_cvtepi32_ps(v); }
LAMINA_INLINE F32 f32_from_bits(I32 v) { return _mm256_castsi256_ps(v); }
LAMINA_INLINE I32 i32_from_f32(F32 v) { return _mm256_cvtps_epi32(v); }  // to nearest even
LAMINA_INLINE void i32_to_i8(int8_t* p, I32 v) {                         // saturates
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storel_epi64(static_cast<__m128i*>(static_cast<void*>(p)), _mm_packs_epi16(words, words));
}

LAMINA_INLINE Acc acc_set(int32_t v) { return _mm256_set1_epi32(v); }
LAMINA_INLINE I32 acc_value(Acc a) { return a; }
LAMINA_INLINE I32 weight_bytes(const void* p) { return i32_load(p); }
// acc + the dot products of the four bytes of each lane; w comes from weight_bytes.
LAMINA_INLINE Acc dot(Acc acc, I32 w, I32 x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x));
  return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

LAMINA_INLINE Acc dot_at(Acc acc, I32 w, const int8_t* x) { return dot(acc, w, i32_load(x)); }

// Lane i of the result is the sum of v[i]'s lanes.
LAMINA_INLINE I32 sum_each(const Acc (&v)[8]) {
  const I32 a = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  const I32 b = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                          _mm256_permute2x128_si256(a, b, 0x31));
}

LAMINA_INLINE void transpose(I32 (&v)[8]) {
  I32 t[8];
  each<2>([&](auto q) LAMINA_LAMBDA {  // 4x4 within each 128-bit part
    const I32 l01 = _mm256_unpacklo_epi32(v[4 * q], v[4 * q + 1]);
    const I32 h01 = _mm256_unpackhi_epi32(v[4 * q], v[4 * q + 1]);
    const I32 l23 = _mm256_unpacklo_epi32(v[4 * q + 2], v[4 * q + 3]);
    const I32 h23 = _mm256_unpackhi_epi32(v[4 * q + 2], v[4 * q + 3]);
    t[4 * q] = _mm256_unpacklo_epi64(l01, l23);
    t[4 * q + 1] = _mm256_unpackhi_epi64(l01, l23);
    t[4 * q + 2] = _mm256_unpacklo_epi64(h01, h23);
    t[4 * q + 3] = _mm256_unpackhi_epi64(h01, h23);
  });
  each<4>([&](auto i) LAMINA_LAMBDA {  // then the parts
    v[i] = _mm256_permute2x128_si256(t[i], t[4 + i], 0x20);
    v[4 + i] = _mm256_permute2x128_si256(t[i], t[4 + i], 0x31);
  });
}

}  // namespace
