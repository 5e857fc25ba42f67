// SPDX-License-Identifier: Apache-2.0

namespace {

// y[c] = x[c] / sqrt(mean(x^2) + eps) * weight[c]; the sum in four chains of kLanes.
void rms_norm(const float* x, const float* weight, int32_t n, float eps, float* y) {
  F32 sums[4] = {f32_zero(), f32_zero(), f32_zero(), f32_zero()};
  int32_t c = 0;
  for (; c + 4 * kLanes <= n; c += 4 * kLanes) {
    each<4>([&](auto i) LAMINA_LAMBDA {
      const F32 v = f32_load(x + c + i * kLanes);
      sums[i] = f32_fma(v, v, sums[i]);
    });
  }
  for (; c < n; c += kLanes) {
    const F32 v = f32_load_n(x + c, n - c);
    sums[0] = f32_fma(v, v, sums[0]);
  }
  const float squares = f32_sum(f32_add(f32_add(sums[0], sums[1]), f32_add(sums[2], sums[3])));
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
