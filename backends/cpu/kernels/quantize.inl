// SPDX-License-Identifier: Apache-2.0
// quantize_activations of tensor/quantize.h, to the bit, and the sums that offset dots start from.

namespace {

// A block of n <= block values; q is written in whole vectors.
LAMINA_INLINE void quantize_block(const float* x, int32_t n, int8_t* q, float* scale,
                                  int32_t* offset) {
  F32 largest_each = f32_zero();
  for (int32_t c = 0; c < n; c += kLanes) {
    largest_each = f32_max(f32_abs(f32_load_n(x + c, n - c)), largest_each);
  }
  const float largest = f32_largest(largest_each);
  const float s = largest / 127.0f;
  const bool tiny = s < 0x1p-126f;
  const F32 inverse = f32_set(tiny ? 0.0f : 127.0f / largest);
  I32 sum = i32_zero();
  for (int32_t c = 0; c < n; c += kLanes) {
    const I32 v = i32_from_f32(f32_mul(f32_load_n(x + c, n - c), inverse));
    sum = i32_add(sum, v);
    i32_to_i8(q + c, v);
  }
  *scale = tiny ? 0.0f : s;
  *offset = -128 * i32_sum(sum);
}

void quantize_row(const float* x, int32_t n, int32_t block, int8_t* q, float* scales,
                  int32_t* offsets) {
  for (int32_t start = 0; start < n; start += block) {
    quantize_block(x + start, n - start < block ? n - start : block, q + start, scales++,
                   offsets++);
  }
  for (int32_t c = n; c % 64 != 0; ++c) q[c] = 0;
}

// Rows of q as [row_bytes / 4][kPanelParts][kGemmRows][4]: what gemm_tile broadcasts, in its order.
// Missing rows repeat the first.
void pack_rows(const int8_t* q, size_t q_stride, int32_t rows, size_t row_bytes, int8_t* packed) {
  for (int t = 0; t < kGemmRows; ++t) {
    const int8_t* from = q + (t < rows ? static_cast<size_t>(t) : 0) * q_stride;
    if constexpr (kPanelParts == 1) {
      for (size_t c = 0; c < row_bytes; c += 4) {
        __builtin_memcpy(packed + c * kGemmRows + t * 4, from + c, 4);
      }
      continue;
    }
    for (size_t c = 0; c < row_bytes; c += 4 * kLanes) {
      each<kPanelParts>([&](auto part) LAMINA_LAMBDA {
        int8_t fours[4 * kLanes];
        i32_store(fours, panel_part<part>(i32_load(from + c)));
        for (size_t i = 0; i < kLanes; ++i) {
          const size_t four = (c / 4 + i) * kPanelParts + part;
          __builtin_memcpy(packed + (four * kGemmRows + static_cast<size_t>(t)) * 4, fours + 4 * i, 4);
        }
      });
    }
  }
}

}  // namespace
