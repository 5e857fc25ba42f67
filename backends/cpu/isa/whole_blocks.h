// SPDX-License-Identifier: Apache-2.0
// For vectors of at most 32 bytes: no block is half a vector, so these are named but never called.
#pragma once

namespace {

LAMINA_INLINE Acc acc_low_half(Acc a) { return a; }
LAMINA_INLINE Acc acc_high_half(Acc a) { return a; }

}  // namespace
