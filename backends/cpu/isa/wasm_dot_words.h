// SPDX-License-Identifier: Apache-2.0
// Dots of bytes on SIMD128 alone: even and odd bytes widened to 16 bits, each pair's products
// summed in 32 (pmaddwd on x86). To be included after simd_wasm128.h.
#pragma once

namespace {

constexpr bool kOffsetWeights = false;
constexpr bool kPlacedWeights = false;
constexpr int kPanelParts = 2;

// Even or odd bytes. Panels of weights and packed rows of x come so, for many dots each.
template <int Part>
LAMINA_INLINE I32 panel_part(I32 v) {
  return wasm_i16x8_shr(Part == 0 ? wasm_i16x8_shl(v, 8) : v, 8);
}
LAMINA_INLINE Acc panel_dot(Acc acc, I32 w, I32 x) {
  return wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(w, x));
}
LAMINA_INLINE int32_t panel_start(int32_t) { return 0; }

LAMINA_INLINE I32 weight_bytes(const void* p) { return i32_load(p); }
// acc + the dot products of the four bytes of each lane; w comes from weight_bytes. What depends on
// one operand alone is computed once for all that meet it.
LAMINA_INLINE Acc dot(Acc acc, I32 w, I32 x) {
  const Acc sum = panel_dot(acc, panel_part<0>(w), panel_part<0>(x));
  return panel_dot(sum, panel_part<1>(w), panel_part<1>(x));
}
LAMINA_INLINE Acc dot_at(Acc acc, I32 w, const int8_t* x) { return dot(acc, w, i32_load(x)); }

}  // namespace
