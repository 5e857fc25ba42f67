// SPDX-License-Identifier: Apache-2.0

namespace {

void add(const float* y, int32_t n, float* out) {
  int32_t c = 0;
  for (; c + kLanes <= n; c += kLanes) {
    f32_store(out + c, f32_add(f32_load(out + c), f32_load(y + c)));
  }
  if (c < n) {
    f32_store_n(out + c, f32_add(f32_load_n(out + c, n - c), f32_load_n(y + c, n - c)), n - c);
  }
}

void matmul_add(const float* y, size_t y_stride, const float* bias, int32_t rows, int32_t n,
                float* out, size_t out_stride) {
  for (int32_t t = 0; t < rows; ++t, y += y_stride, out += out_stride) {
    for (int32_t c = 0; c < n; c += kLanes) {
      F32 v = f32_load_n(y + c, n - c);
      if (bias) v = f32_add(v, f32_load_n(bias + c, n - c));
      f32_store_n(out + c, f32_add(f32_load_n(out + c, n - c), v), n - c);
    }
  }
}

}  // namespace
