// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/quantize.h"

#include <algorithm>
#include <cmath>

namespace lamina {

namespace {

// q = round(x / scale) with scale = max|x| / 127; returns the scale.
float quantize_block(std::span<const float> x, int8_t* q) {
  float largest = 0.0f;
  for (float v : x) largest = std::max(largest, std::fabs(v));
  const float scale = largest / 127.0f;
  // Below the normal range 1/scale would overflow; such a block counts as zeros.
  if (scale < 0x1p-126f) {
    std::fill_n(q, x.size(), int8_t{0});
    return 0.0f;
  }
  const float inverse = 127.0f / largest;
  for (size_t i = 0; i < x.size(); ++i) {
    const float rounded = std::nearbyint(x[i] * inverse);
    q[i] = static_cast<int8_t>(std::clamp(rounded, -127.0f, 127.0f));
  }
  return scale;
}

}  // namespace

void quantize_activations(std::span<const float> x, int block, int8_t* q, float* scales) {
  for (size_t start = 0, b = 0; start < x.size(); start += static_cast<size_t>(block), ++b) {
    const size_t n = std::min(static_cast<size_t>(block), x.size() - start);
    scales[b] = quantize_block(x.subspan(start, n), q + start);
  }
}

double quantize_weight_row(std::span<const float> row, int group, int8_t* q, float* scales) {
  const size_t step = group == 0 ? row.size() : static_cast<size_t>(group);
  double squared_error = 0.0;
  for (size_t start = 0, g = 0; start < row.size(); start += step, ++g) {
    const auto part = row.subspan(start, std::min(step, row.size() - start));
    scales[g] = quantize_block(part, q + start);
    for (size_t i = 0; i < part.size(); ++i) {
      const double error = part[i] - static_cast<double>(q[start + i]) * scales[g];
      squared_error += error * error;
    }
  }
  return squared_error;
}

}  // namespace lamina
