// SPDX-License-Identifier: Apache-2.0

namespace {

void dequantize_f16(const uint16_t* x, int32_t n, float* out) {  // x padded to whole vectors
  for (int32_t c = 0; c < n; c += kLanes) f32_store_n(out + c, f32_load_f16(x + c), n - c);
}

void dequantize_i8(const int8_t* x, float scale, int32_t n, float* out) {  // likewise
  const F32 s = f32_set(scale);
  for (int32_t c = 0; c < n; c += kLanes) {
    f32_store_n(out + c, f32_mul(s, f32_load_i8(x + c)), n - c);
  }
}

}  // namespace
