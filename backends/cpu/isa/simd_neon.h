// SPDX-License-Identifier: Apache-2.0
// The vocabulary of kernels/*.inl on AArch64's Advanced SIMD: 4 lanes. Where the compiler is given
// dotprod (ARMv8.2), four byte products a lane are one sdot, exact for all bytes. Elsewhere two
// products share 16 bits, which hold 2 * 127 * 128: exact because activations (tensor/quantize.h)
// are never -128. Conversions from and to f16 belong to every AArch64.
#pragma once

#include <arm_neon.h>

#include <cstddef>

#include "backends/cpu/isa/inline.h"

namespace {

using F32 = float32x4_t;
using I32 = int32x4_t;
using Acc = int32x4_t;

constexpr int kLanes = 4;
constexpr bool kOffsetWeights = false;
constexpr bool kPlacedWeights = false;
constexpr bool kFusedFma = true;  // f32_fma has one rounding

LAMINA_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }
LAMINA_INLINE void prefetch_l2(const void* p) { __builtin_prefetch(p, 0, 2); }

LAMINA_INLINE F32 f32_zero() { return vdupq_n_f32(0.0f); }
LAMINA_INLINE F32 f32_set(float v) { return vdupq_n_f32(v); }
LAMINA_INLINE F32 f32_load(const float* p) { return vld1q_f32(p); }
LAMINA_INLINE F32 f32_load_n(const float* p, int n) {  // zeros beyond n
  if (n >= 4) return vld1q_f32(p);
  F32 v = f32_zero();
  if (n > 0) v = vld1q_lane_f32(p, v, 0);
  if (n > 1) v = vld1q_lane_f32(p + 1, v, 1);
  if (n > 2) v = vld1q_lane_f32(p + 2, v, 2);
  return v;
}
LAMINA_INLINE void f32_store(float* p, F32 v) { vst1q_f32(p, v); }
LAMINA_INLINE void f32_store_n(float* p, F32 v, int n) {
  if (n >= 4) return vst1q_f32(p, v);
  if (n > 0) vst1q_lane_f32(p, v, 0);
  if (n > 1) vst1q_lane_f32(p + 1, v, 1);
  if (n > 2) vst1q_lane_f32(p + 2, v, 2);
}
LAMINA_INLINE F32 f32_add(F32 a, F32 b) { return vaddq_f32(a, b); }
LAMINA_INLINE F32 f32_sub(F32 a, F32 b) { return vsubq_f32(a, b); }
LAMINA_INLINE F32 f32_mul(F32 a, F32 b) { return vmulq_f32(a, b); }
LAMINA_INLINE F32 f32_div(F32 a, F32 b) { return vdivq_f32(a, b); }
// b if either is NaN, as on x86; fmax and fmin propagate it.
LAMINA_INLINE F32 f32_max(F32 a, F32 b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
LAMINA_INLINE F32 f32_min(F32 a, F32 b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
LAMINA_INLINE F32 f32_abs(F32 a) { return vabsq_f32(a); }
LAMINA_INLINE F32 f32_fma(F32 a, F32 b, F32 c) { return vfmaq_f32(c, a, b); }
LAMINA_INLINE F32 f32_fma_exact(F32 a, F32 b, F32 c) { return vfmaq_f32(c, a, b); }
LAMINA_INLINE F32 f32_round(F32 a) { return vrndnq_f32(a); }
LAMINA_INLINE float f32_first(F32 v) { return vgetq_lane_f32(v, 0); }
LAMINA_INLINE float f32_sum(F32 v) {  // (0 + 2) + (1 + 3), as x86 has it
  return vaddv_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v)));
}
LAMINA_INLINE float f32_largest(F32 v) { return vmaxnmvq_f32(v); }

// v * 2^n for integral n in -126..127.
LAMINA_INLINE F32 f32_scale_pow2(F32 v, F32 n) {
  const int32x4_t biased = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
  return vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32(biased, 23)));
}

LAMINA_INLINE F32 f32_load_f16(const uint16_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
LAMINA_INLINE void f32_store_f16(uint16_t* p, F32 v) {  // to nearest even
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}
LAMINA_INLINE F32 f32_load_i8(const int8_t* p) {
  uint32_t four;
  __builtin_memcpy(&four, p, 4);
  const int16x8_t words = vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four)));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(words)));
}

LAMINA_INLINE I32 i32_zero() { return vdupq_n_s32(0); }
LAMINA_INLINE I32 i32_set(int32_t v) { return vdupq_n_s32(v); }
LAMINA_INLINE I32 i32_load(const void* p) {
  return vreinterpretq_s32_u8(vld1q_u8(static_cast<const uint8_t*>(p)));
}
LAMINA_INLINE void i32_store(void* p, I32 v) {
  vst1q_u8(static_cast<uint8_t*>(p), vreinterpretq_u8_s32(v));
}
LAMINA_INLINE I32 i32_broadcast(const void* p) {  // the same four bytes in every lane
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return vdupq_n_s32(four);
}
LAMINA_INLINE I32 i32_add(I32 a, I32 b) { return vaddq_s32(a, b); }
LAMINA_INLINE int32_t i32_sum(I32 v) { return vaddvq_s32(v); }
LAMINA_INLINE F32 f32_from_i32(I32 v) { return vcvtq_f32_s32(v); }
LAMINA_INLINE F32 f32_from_bits(I32 v) { return vreinterpretq_f32_s32(v); }
LAMINA_INLINE I32 i32_from_f32(F32 v) { return vcvtnq_s32_f32(v); }  // to nearest even; NaN to 0
LAMINA_INLINE void i32_to_i8(int8_t* p, I32 v) {                     // saturates
  const int16x4_t words = vqmovn_s32(v);
  const int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
  const uint32_t four = vget_lane_u32(vreinterpret_u32_s8(bytes), 0);
  __builtin_memcpy(p, &four, 4);
}

LAMINA_INLINE Acc acc_set(int32_t v) { return vdupq_n_s32(v); }
LAMINA_INLINE I32 acc_value(Acc a) { return a; }
LAMINA_INLINE I32 weight_bytes(const void* p) { return i32_load(p); }
// acc + the dot products of the four bytes of each lane; w comes from weight_bytes.
LAMINA_INLINE Acc dot(Acc acc, I32 w, I32 x) {
  const int8x16_t a = vreinterpretq_s8_s32(w), b = vreinterpretq_s8_s32(x);
#if defined(__ARM_FEATURE_DOTPROD)
  return vdotq_s32(acc, a, b);
#else
  const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
  return vpadalq_s16(acc, vpaddq_s16(low, vmull_high_s8(a, b)));
#endif
}
LAMINA_INLINE Acc dot_at(Acc acc, I32 w, const int8_t* x) { return dot(acc, w, i32_load(x)); }

// Lane i of the result is the sum of v[i]'s lanes.
LAMINA_INLINE I32 sum_each(const Acc (&v)[4]) {
  return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]));
}

LAMINA_INLINE I32 low_halves(I32 a, I32 b) {
  return vcombine_s32(vget_low_s32(a), vget_low_s32(b));
}
LAMINA_INLINE I32 high_halves(I32 a, I32 b) {
  return vcombine_s32(vget_high_s32(a), vget_high_s32(b));
}
LAMINA_INLINE void transpose(I32 (&v)[4]) {
  const I32 even01 = vtrn1q_s32(v[0], v[1]), odd01 = vtrn2q_s32(v[0], v[1]);
  const I32 even23 = vtrn1q_s32(v[2], v[3]), odd23 = vtrn2q_s32(v[2], v[3]);
  v[0] = low_halves(even01, even23);
  v[1] = low_halves(odd01, odd23);
  v[2] = high_halves(even01, even23);
  v[3] = high_halves(odd01, odd23);
}

}  // namespace
