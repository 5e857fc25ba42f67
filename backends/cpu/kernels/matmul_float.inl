// SPDX-License-Identifier: Apache-2.0
// Products with f32 or f16 weights. Every (weight row, x row) has one chain of kLanes sums along the
// columns and one fixed tree at the end, so a row's result does not depend on its neighbours.

namespace {

LAMINA_INLINE F32 float_weights(const float* p) { return f32_load(p); }
LAMINA_INLINE F32 float_weights(const uint16_t* p) { return f32_load_f16(p); }

// R weight rows times T rows of x.
template <typename W, int R, int T>
LAMINA_NOINLINE void float_tile(const MatmulFloat& a, int row, int x_row) {
  const W* w[R];
  each<R>([&](auto r) LAMINA_LAMBDA {
    const void* at =
        static_cast<const char*>(a.weights) + (static_cast<size_t>(row) + r) * a.row_bytes;
    w[r] = static_cast<const W*>(at);
  });
  const float* x = a.x + static_cast<size_t>(x_row) * a.x_stride;
  F32 sums[R * T];
  each<R * T>([&](auto i) LAMINA_LAMBDA { sums[i] = f32_zero(); });
  int c = 0;
  for (; c + kLanes <= a.cols; c += kLanes) {
    F32 weights[R];
    each<R>([&](auto r) LAMINA_LAMBDA {
      prefetch(w[r] + c + 1024);
      weights[r] = float_weights(w[r] + c);
    });
    each<T>([&](auto t) LAMINA_LAMBDA {
      const F32 v = f32_load(x + t * a.x_stride + c);
      each<R>([&](auto r) LAMINA_LAMBDA {
        sums[r * T + t] = f32_fma(weights[r], v, sums[r * T + t]);
      });
    });
  }
  if (c < a.cols) {  // weights are padded with zeros, x is not
    each<T>([&](auto t) LAMINA_LAMBDA {
      const F32 v = f32_load_n(x + t * a.x_stride + c, a.cols - c);
      each<R>([&](auto r) LAMINA_LAMBDA {
        sums[r * T + t] = f32_fma(float_weights(w[r] + c), v, sums[r * T + t]);
      });
    });
  }
  each<T>([&](auto t) LAMINA_LAMBDA {
    float* out = a.out + (static_cast<size_t>(x_row) + t) * a.out_stride + row;
    each<R>([&](auto r) LAMINA_LAMBDA { out[r] = f32_sum(sums[r * T + t]); });
  });
}

template <typename W, int R>
LAMINA_INLINE void float_rows(const MatmulFloat& a, int row) {
  int t = 0;
  for (; t + 4 <= a.x_rows; t += 4) float_tile<W, R, 4>(a, row, t);
  for (; t + 2 <= a.x_rows; t += 2) float_tile<W, R, 2>(a, row, t);
  for (; t < a.x_rows; ++t) float_tile<W, R, 1>(a, row, t);
}

template <typename W>
LAMINA_INLINE void float_strip(const MatmulFloat& a) {
  int row = 0;
  for (; row + 4 <= a.n_rows; row += 4) float_rows<W, 4>(a, row);
  for (; row < a.n_rows; ++row) float_rows<W, 1>(a, row);
}

void matmul_float(const MatmulFloat& a) {
  if (a.f16) return float_strip<uint16_t>(a);
  float_strip<float>(a);
}

}  // namespace
