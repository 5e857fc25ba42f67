// SPDX-License-Identifier: Apache-2.0
// Dots of bytes by relaxed SIMD's i32x4.relaxed_dot_i8x16_i7x16_add. Beyond 0..127 its second operand
// is what the machine makes of it; wasm_probe.h finds out. To be included after simd_wasm128.h.
//   LAMINA_UNSIGNED_DOT   read as 0..255, nothing saturates (x86's vpdpbusd): it gets w + 128, as
//                         place_i8 has left it in memory, and sums start from -128 times the sum of x
//   otherwise             signed, like the first (ARM's sdot)
#pragma once

namespace {

#if defined(LAMINA_UNSIGNED_DOT)
constexpr bool kOffsetWeights = true;
constexpr bool kPlacedWeights = true;
#else
constexpr bool kOffsetWeights = false;
constexpr bool kPlacedWeights = false;
#endif

LAMINA_INLINE I32 weight_bytes(const void* p) { return i32_load(p); }
// acc + the dot products of the four bytes of each lane; w comes from weight_bytes.
LAMINA_INLINE Acc dot(Acc acc, I32 w, I32 x) {
  return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, w, acc);
}
LAMINA_INLINE Acc dot_at(Acc acc, I32 w, const int8_t* x) { return dot(acc, w, i32_load(x)); }

}  // namespace

#include "backends/cpu/isa/plain_panels.h"
