// SPDX-License-Identifier: Apache-2.0
// Products with f32 or f16 weights. Every (weight row, x row) has one chain of sums along the columns,
// of 16 lanes where there is an fma and so the same bits as elsewhere, and one fixed tree at the
// end, so a row's result does not depend on its neighbours.

namespace {

LAMINA_INLINE F32 float_weights(const float* p) { return f32_load(p); }
LAMINA_INLINE F32 float_weights(const uint16_t* p) { return f32_load_f16(p); }

constexpr int kFloatVecs = kFusedFma ? kSumVecs : 1;
constexpr int kFloatStep = kFloatVecs * kLanes;

LAMINA_INLINE float float_total(const F32* sums) {
  if constexpr (kFusedFma) return sum_lanes(sums);
  return f32_sum(sums[0]);
}

// Vectors `first` to first + P - 1 of the lanes' sums, for R weight rows times T rows of x.
template <int P, typename W, int R, int T>
LAMINA_INLINE void float_sums(const MatmulFloat& a, const W* const (&w)[R], const float* x, int first,
                              F32 (&sums)[R * T * P]) {
  each<R * T * P>([&](auto i) LAMINA_LAMBDA { sums[i] = f32_zero(); });
  const auto add = [&](int c, auto v, auto load_x) LAMINA_LAMBDA {
    F32 weights[R];
    each<R>([&](auto r) LAMINA_LAMBDA { weights[r] = float_weights(w[r] + c); });
    each<T>([&](auto t) LAMINA_LAMBDA {
      const F32 each_x = load_x(x + t * a.x_stride + c);
      each<R>([&](auto r) LAMINA_LAMBDA {
        F32& sum = sums[(r * T + t) * P + v];
        sum = f32_fma(weights[r], each_x, sum);
      });
    });
  };
  int c = 0;
  for (; c + kFloatStep <= a.cols; c += kFloatStep) {
    each<R>([&](auto r) LAMINA_LAMBDA { prefetch(w[r] + c + 1024); });
    each<P>([&](auto v) LAMINA_LAMBDA {
      add(c + (first + v) * kLanes, v, [](const float* p) LAMINA_LAMBDA { return f32_load(p); });
    });
  }
  each<P>([&](auto v) LAMINA_LAMBDA {  // weights are padded with zeros, x is not
    const int at = c + (first + v) * kLanes, left = a.cols - at;
    if (left <= 0) return;
    add(at, v, [&](const float* p) LAMINA_LAMBDA { return f32_load_n(p, left); });
  });
}

// R weight rows times T rows of x. One row of x has all sums in registers and streams the weights
// once; a tile of more goes through its columns once for each vector of the lanes.
template <typename W, int R, int T>
LAMINA_NOINLINE void float_tile(const MatmulFloat& a, int row, int x_row) {
  constexpr int V = kFloatVecs, P = T == 1 ? V : 1;
  const W* w[R];
  each<R>([&](auto r) LAMINA_LAMBDA {
    const void* at =
        static_cast<const char*>(a.weights) + (static_cast<size_t>(row) + r) * a.row_bytes;
    w[r] = static_cast<const W*>(at);
  });
  const float* x = a.x + static_cast<size_t>(x_row) * a.x_stride;
  F32 all[R * T * V];
  each<V / P>([&](auto pass) LAMINA_LAMBDA {
    F32 sums[R * T * P];
    float_sums<P, W, R, T>(a, w, x, pass * P, sums);
    each<R * T * P>([&](auto i) LAMINA_LAMBDA { all[i / P * V + pass * P + i % P] = sums[i]; });
  });
  each<T>([&](auto t) LAMINA_LAMBDA {
    float* out = a.out + (static_cast<size_t>(x_row) + t) * a.out_stride + row;
    each<R>([&](auto r) LAMINA_LAMBDA { out[r] = float_total(all + (r * T + t) * V); });
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
