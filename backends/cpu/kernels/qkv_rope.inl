// SPDX-License-Identifier: Apache-2.0
// Rotary positions in place, and keys and values on their way into a page.

namespace {

// The pairs (i, i + half): (a, b) -> (a cos - b sin, b cos + a sin). No fma: bits as in the oracle.
void rope(float* head, const float* cos, const float* sin, int32_t half) {
  for (int32_t i = 0; i < half; i += kLanes) {
    const int n = half - i;
    const F32 a = f32_load_n(head + i, n), b = f32_load_n(head + half + i, n);
    const F32 c = f32_load_n(cos + i, n), s = f32_load_n(sin + i, n);
    f32_store_n(head + i, f32_sub(f32_mul(a, c), f32_mul(b, s)), n);
    f32_store_n(head + half + i, f32_add(f32_mul(b, c), f32_mul(a, s)), n);
  }
}

// Stays finite: a page may be read beyond its last position, with weight zero.
LAMINA_INLINE F32 f16_range(F32 v) {
  return f32_max(f32_min(v, f32_set(65504.0f)), f32_set(-65504.0f));
}

template <typename T>
LAMINA_INLINE void scatter_key(T* keys, int32_t slot, const T* key, int32_t n) {
  for (int32_t i = 0; i < n; ++i) keys[i * kPagePositions + slot] = key[i];
}

// One scale for n values, rounded as in tensor/quantize.h; what is no number becomes zeros.
struct VectorScale {
  float scale;
  float inverse;
};
LAMINA_INLINE VectorScale vector_scale(const float* x, int32_t n) {
  F32 largest_each = f32_zero();
  for (int32_t c = 0; c < n; c += kLanes) {
    largest_each = f32_max(f32_abs(f32_load_n(x + c, n - c)), largest_each);
  }
  const float largest = f32_largest(largest_each);
  const float scale = largest / 127.0f;
  if (!(scale >= 0x1p-126f && scale < 0x1p+120f)) return {0.0f, 0.0f};
  return {scale, 127.0f / largest};
}

LAMINA_INLINE float* block_scales(const KvBlock& b) {
  void* after = static_cast<int8_t*>(b.data) + (b.head_dim + b.value_width) * kPagePositions;
  return static_cast<float*>(after);
}

void key_write(const KvBlock& b, int32_t slot, const float* key) {
  if (b.format == KvFormat::kF32) {
    return scatter_key(static_cast<float*>(b.data), slot, key, b.head_dim);
  }
  const bool i8 = b.format == KvFormat::kI8;
  const VectorScale s = i8 ? vector_scale(key, b.head_dim) : VectorScale{0.0f, 0.0f};
  if (i8) block_scales(b)[slot] = s.scale;
  for (int32_t i = 0; i < b.head_dim; i += kLanes) {
    const int n = b.head_dim - i < kLanes ? b.head_dim - i : kLanes;
    const F32 v = f32_load_n(key + i, n);
    if (i8) {
      int8_t q[kLanes];
      i32_to_i8(q, i32_from_f32(f32_mul(v, f32_set(s.inverse))));
      scatter_key(static_cast<int8_t*>(b.data) + i * kPagePositions, slot, q, n);
    } else {
      uint16_t half[kLanes];
      f32_store_f16(half, f16_range(v));
      scatter_key(static_cast<uint16_t*>(b.data) + i * kPagePositions, slot, half, n);
    }
  }
}

void value_write(const KvBlock& b, int32_t slot, const float* value) {
  const bool i8 = b.format == KvFormat::kI8;
  const VectorScale s = i8 ? vector_scale(value, b.head_dim) : VectorScale{0.0f, 0.0f};
  if (i8) block_scales(b)[kPagePositions + slot] = s.scale;
  const int32_t at = b.head_dim * kPagePositions + slot * b.value_width;
  for (int32_t i = 0; i < b.head_dim; i += kLanes) {
    const F32 v = f32_load_n(value + i, b.head_dim - i);
    if (i8) {
      i32_to_i8(static_cast<int8_t*>(b.data) + at + i,
                i32_from_f32(f32_mul(v, f32_set(s.inverse))));
    } else if (b.format == KvFormat::kF16) {
      f32_store_f16(static_cast<uint16_t*>(b.data) + at + i, f16_range(v));
    } else {
      f32_store(static_cast<float*>(b.data) + at + i, v);
    }
  }
}

}  // namespace
