// SPDX-License-Identifier: Apache-2.0

namespace {

// y[c] = x[c] / sqrt(mean(x^2) + eps) * weight[c]; the sum in four chains of 16 lanes.
void rms_norm(const float* x, const float* weight, int32_t n, float eps, float* y) {
  constexpr int kVecs = 4 * kSumVecs;
  F32 sums[kVecs];
  each<kVecs>([&](auto i) LAMINA_LAMBDA { sums[i] = f32_zero(); });
  int32_t c = 0;
  for (; c + kVecs * kLanes <= n; c += kVecs * kLanes) {
    each<kVecs>([&](auto i) LAMINA_LAMBDA {
      const F32 v = f32_load(x + c + i * kLanes);
      sums[i] = f32_fma(v, v, sums[i]);
    });
  }
  each<kVecs>([&](auto i) LAMINA_LAMBDA {
    if (c + i * kLanes >= n) return;
    const F32 v = f32_load_n(x + c + i * kLanes, n - c - i * kLanes);
    sums[i] = f32_fma(v, v, sums[i]);
  });
  each<kSumVecs>([&](auto i) LAMINA_LAMBDA {
    sums[i] = f32_add(f32_add(sums[i], sums[i + kSumVecs]),
                      f32_add(sums[i + 2 * kSumVecs], sums[i + 3 * kSumVecs]));
  });
  const float squares = sum_lanes(sums);
  const F32 inverse = f32_set(1.0f / __builtin_sqrtf(squares / static_cast<float>(n) + eps));
  for (c = 0; c + kLanes <= n; c += kLanes) {
    f32_store(y + c, f32_mul(f32_mul(f32_load(x + c), inverse), f32_load(weight + c)));
  }
  if (c < n) {
    const F32 v = f32_mul(f32_load_n(x + c, n - c), inverse);
    f32_store_n(y + c, f32_mul(v, f32_load_n(weight + c, n - c)), n - c);
  }
}

}  // namespace
