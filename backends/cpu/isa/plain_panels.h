// SPDX-License-Identifier: Apache-2.0
// For instruction sets whose dot takes panels of weights as gemv takes rows.
#pragma once

#include "backends/cpu/isa/inline.h"

namespace {

constexpr int kPanelParts = 1;

template <int Part>
LAMINA_INLINE I32 panel_part(I32 w) {
  return w;
}
LAMINA_INLINE Acc panel_dot(Acc acc, I32 w, I32 x) {
  return dot(acc, w, x);
}
LAMINA_INLINE int32_t panel_start(int32_t offset) { return kOffsetWeights ? offset : 0; }

}  // namespace
