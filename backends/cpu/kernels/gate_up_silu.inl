// SPDX-License-Identifier: Apache-2.0

namespace {

// gate / (1 + e^-gate) * up
LAMINA_INLINE F32 silu_times(F32 gate, F32 up) {
  const F32 e = f32_exp(f32_sub(f32_zero(), gate));
  return f32_mul(f32_div(gate, f32_add(f32_set(1.0f), e)), up);
}

void gate_up_silu(const GateUpSilu& a) {
  for (int32_t t = 0; t < a.rows; ++t) {
    const float* gate = a.gate + static_cast<size_t>(t) * a.stride;
    const float* up = a.up + static_cast<size_t>(t) * a.stride;
    float* out = a.out + static_cast<size_t>(t) * a.out_stride;
    for (int32_t c = 0; c < a.n; c += kLanes) {
      const int n = a.n - c;
      F32 g = f32_load_n(gate + c, n), u = f32_load_n(up + c, n);
      if (a.gate_bias) {
        g = f32_add(g, f32_load_n(a.gate_bias + c, n));
        u = f32_add(u, f32_load_n(a.up_bias + c, n));
      }
      f32_store_n(out + c, silu_times(g, u), n);
    }
  }
}

}  // namespace
