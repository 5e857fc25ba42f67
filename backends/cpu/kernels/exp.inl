// SPDX-License-Identifier: Apache-2.0

namespace {

// 2^r = 1 + r (c1 + c2 r + ..) on -0.5..0.5, c interpolating (2^r - 1) / r at Chebyshev nodes;
// error below 6e-9.
LAMINA_INLINE F32 exp2_fraction(F32 r) {
  F32 p = f32_set(0x1.44138ap-13f);
  p = f32_fma(p, r, f32_set(0x1.5f0890p-10f));
  p = f32_fma(p, r, f32_set(0x1.3b2a54p-7f));
  p = f32_fma(p, r, f32_set(0x1.c6af6cp-5f));
  p = f32_fma(p, r, f32_set(0x1.ebfbe0p-3f));
  p = f32_fma(p, r, f32_set(0x1.62e430p-1f));
  return f32_fma(p, r, f32_set(1.0f));
}

// 2^x for x <= 127; below -126 as for -126, which is as good as nothing.
LAMINA_INLINE F32 f32_exp2(F32 x) {
  x = f32_max(x, f32_set(-126.0f));
  const F32 n = f32_round(x);
  return f32_scale_pow2(exp2_fraction(f32_sub(x, n)), n);
}

// e^x, clamped to what f32 holds: x log2(e) in two parts, so that large x keep their digits.
LAMINA_INLINE F32 f32_exp(F32 x) {
  x = f32_min(f32_max(x, f32_set(-87.0f)), f32_set(88.0f));
  const F32 n = f32_round(f32_mul(x, f32_set(0x1.715476p+0f)));
  F32 r = f32_fma(n, f32_set(-0x1.62ep-1f), x);  // ln 2 = 0x1.62ep-1 + 0x1.0bfbe8p-15
  r = f32_fma(n, f32_set(-0x1.0bfbe8p-15f), r);
  return f32_scale_pow2(exp2_fraction(f32_mul(r, f32_set(0x1.715476p+0f))), n);
}

}  // namespace
