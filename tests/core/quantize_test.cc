// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/base/numeric.h"

namespace lamina {
namespace {

std::vector<float> noise(size_t n, float scale) {
  Random rng(n);
  std::vector<float> x(n);
  for (float& v : x) v = (rng.next_unit() * 2 - 1) * scale;
  return x;
}

TEST(Quantize, ErrorIsAtMostHalfAStep) {
  for (size_t n : {1, 31, 128, 129, 300}) {
    for (int block : {32, 64, 128}) {
      const auto x = noise(n, 3.0f);
      std::vector<int8_t> q(n);
      std::vector<float> scales(div_up(n, static_cast<size_t>(block)));
      quantize_activations(x, block, q.data(), scales.data());
      for (size_t i = 0; i < n; ++i) {
        const float scale = scales[i / static_cast<size_t>(block)];
        EXPECT_LE(std::fabs(q[i] * scale - x[i]), scale * 0.5001f);
        EXPECT_GE(q[i], -127);
      }
    }
  }
}

TEST(Quantize, ExtremesAndZeros) {
  std::vector<float> x(256, 0.0f);
  x[3] = -5.0f;
  x[4] = 5.0f;
  std::vector<int8_t> q(256, 99);
  float scales[2];
  quantize_activations(x, 128, q.data(), scales);
  EXPECT_EQ(q[3], -127);
  EXPECT_EQ(q[4], 127);
  EXPECT_EQ(scales[1], 0.0f);
  EXPECT_EQ(q[200], 0);

  std::vector<float> tiny(128, 1e-42f);
  quantize_activations(tiny, 128, q.data(), scales);
  EXPECT_EQ(scales[0], 0.0f);
  EXPECT_EQ(q[0], 0);
}

TEST(Quantize, WeightRowsPerRowAndPerGroup) {
  const auto row = noise(200, 0.1f);
  for (int group : {0, 32, 64, 128}) {
    const size_t step = group ? static_cast<size_t>(group) : row.size();
    std::vector<int8_t> q(row.size());
    std::vector<float> scales(div_up(row.size(), step));
    const double error = quantize_weight_row(row, group, q.data(), scales.data());
    double want = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      want += std::pow(row[i] - static_cast<double>(q[i]) * scales[i / step], 2);
    }
    EXPECT_DOUBLE_EQ(error, want);
    EXPECT_GT(error, 0);
  }
}

TEST(WeightShape, RowsArePaddedAndScalesCounted) {
  const WeightShape per_row{DType::kI8, 3, 65, 0};
  EXPECT_EQ(per_row.row_bytes(), 128u);
  EXPECT_EQ(per_row.scale_bytes(), 12u);
  const WeightShape grouped{DType::kI8, 3, 65, 32};
  EXPECT_EQ(grouped.scales_per_row(), 3u);
  const WeightShape half{DType::kF16, 2, 33, 0};
  EXPECT_EQ(half.row_bytes(), 128u);
  EXPECT_EQ(half.scale_bytes(), 0u);
}

}  // namespace
}  // namespace lamina
