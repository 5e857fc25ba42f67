// SPDX-License-Identifier: Apache-2.0

namespace {

void dequantize_f16(const uint16_t* x, int32_t n, float* out) {  // x padded to whole vectors
  for (int32_t c = 0; c < n; c += kLanes) f32_store_n(out + c, f32_load_f16(x + c), n - c);
}

// To q + 128 and back.
LAMINA_INLINE int8_t offset_i8(int8_t q) { return static_cast<int8_t>(q ^ -128); }

void place_i8(int8_t* values, size_t n) {
  for (size_t i = 0; i < n; ++i) values[i] = offset_i8(values[i]);
}

void dequantize_i8(const int8_t* x, float scale, int32_t n, float* out) {  // likewise
  const F32 s = f32_set(scale);
  for (int32_t c = 0; c < n; c += kLanes) {
    const int8_t* q = x + c;
    [[maybe_unused]] int8_t plain[kLanes];
    if constexpr (kPlacedWeights) {
      for (int i = 0; i < kLanes; ++i) plain[i] = offset_i8(q[i]);
      q = plain;
    }
    f32_store_n(out + c, f32_mul(s, f32_load_i8(q)), n - c);
  }
}

}  // namespace
