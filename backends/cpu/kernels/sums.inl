// SPDX-License-Identifier: Apache-2.0
// The order of float sums, the same for vectors of any width: 16 lanes, element i of a row in lane
// i % 16 of one sum or of one of several in turn, and halves added to halves at the end.

namespace {

constexpr int kSumLanes = 16;
constexpr int kSumVecs = kSumLanes / kLanes;  // vectors that are those lanes

// Of v[0 .. kSumVecs): lane i + lane i + 8, then + 4, + 2, + 1.
LAMINA_INLINE float sum_lanes(const F32* v) {
  F32 t[kSumVecs];
  each<kSumVecs>([&](auto i) LAMINA_LAMBDA { t[i] = v[i]; });
  each<4>([&](auto level) LAMINA_LAMBDA {
    constexpr int half = kSumVecs >> (level + 1);
    each<half>([&](auto i) LAMINA_LAMBDA { t[i] = f32_add(t[i], t[i + half]); });
  });
  return f32_sum(t[0]);
}

}  // namespace
