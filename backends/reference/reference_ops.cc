// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/check.h"
#include "core/base/half.h"
#include "core/tensor/quantize.h"

namespace lamina::reference {

namespace {

const std::byte* row_bytes(const WeightView& w, int32_t row) {
  return static_cast<const std::byte*>(w.values) + static_cast<size_t>(row) * w.row_bytes();
}

float weight_at(const WeightView& w, int32_t row, int32_t col) {
  const std::byte* bytes = row_bytes(w, row);
  const auto c = static_cast<size_t>(col);
  switch (w.dtype) {
    case DType::kF32: return reinterpret_cast<const float*>(bytes)[c];
    case DType::kF16: return f16_to_f32(reinterpret_cast<const uint16_t*>(bytes)[c]);
    case DType::kBF16: return bf16_to_f32(reinterpret_cast<const uint16_t*>(bytes)[c]);
    case DType::kI8: break;
  }
  const size_t group = w.group == 0 ? 0 : c / static_cast<size_t>(w.group);
  const float scale = w.scales[static_cast<size_t>(row) * w.scales_per_row() + group];
  return scale * static_cast<float>(reinterpret_cast<const int8_t*>(bytes)[c]);
}

// The int8 product of one weight row with one quantized activation row.
float dot_i8(const WeightView& w, int32_t row, const int8_t* x, const float* x_scales, int block) {
  const auto* q = reinterpret_cast<const int8_t*>(row_bytes(w, row));
  const float* scales = w.scales + static_cast<size_t>(row) * w.scales_per_row();
  float sum = 0.0f;
  for (int32_t start = 0, b = 0; start < w.cols; start += block, ++b) {
    int32_t acc = 0;
    for (int32_t c = start; c < std::min(w.cols, start + block); ++c) acc += q[c] * x[c];
    const float scale = w.group == 0 ? x_scales[b] : x_scales[b] * scales[b];
    sum = std::fma(scale, static_cast<float>(acc), sum);
  }
  return w.group == 0 ? sum * scales[0] : sum;
}

void matmul_i8(const WeightView& w, std::span<const float> x, std::span<float> y) {
  const int block = activation_block(w);
  std::vector<int8_t> q(x.size());
  std::vector<float> scales(div_up(x.size(), static_cast<size_t>(block)));
  quantize_activations(x, block, q.data(), scales.data());
  for (int32_t r = 0; r < w.rows; ++r) {
    y[static_cast<size_t>(r)] = dot_i8(w, r, q.data(), scales.data(), block);
  }
}

void matmul_float(const WeightView& w, std::span<const float> x, std::span<float> y) {
  for (int32_t r = 0; r < w.rows; ++r) {
    double sum = 0.0;
    for (int32_t c = 0; c < w.cols; ++c) {
      sum += static_cast<double>(weight_at(w, r, c)) * x[static_cast<size_t>(c)];
    }
    y[static_cast<size_t>(r)] = static_cast<float>(sum);
  }
}

}  // namespace

void dequantize_row(const WeightView& w, int32_t row, std::span<float> out) {
  for (int32_t c = 0; c < w.cols; ++c) out[static_cast<size_t>(c)] = weight_at(w, row, c);
}

void matmul(const WeightView& w, const float* bias, std::span<const float> x, std::span<float> y) {
  LAMINA_CHECK(x.size() == static_cast<size_t>(w.cols));
  LAMINA_CHECK(y.size() == static_cast<size_t>(w.rows));
  if (w.dtype == DType::kI8) {
    matmul_i8(w, x, y);
  } else {
    matmul_float(w, x, y);
  }
  if (!bias) return;
  for (size_t r = 0; r < y.size(); ++r) y[r] += bias[r];
}

void rms_norm(std::span<const float> x, const float* weight, float eps, std::span<float> y) {
  double squares = 0.0;
  for (float v : x) squares += static_cast<double>(v) * v;
  const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
  for (size_t c = 0; c < x.size(); ++c) y[c] = static_cast<float>(x[c] * inverse) * weight[c];
}

void rope(std::span<float> head, std::span<const float> cos, std::span<const float> sin) {
  const size_t half = head.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    const float a = head[i], b = head[i + half];
    head[i] = a * cos[i] - b * sin[i];
    head[i + half] = b * cos[i] + a * sin[i];
  }
}

void attention(std::span<const float> q, int32_t n, const FetchKv& fetch, std::span<float> out) {
  const size_t d = q.size();
  std::vector<float> key(d), value(d);
  std::vector<double> scores(static_cast<size_t>(n));
  double largest = -std::numeric_limits<double>::infinity();
  for (int32_t i = 0; i < n; ++i) {
    fetch(i, key.data(), value.data());
    double dot = 0.0;
    for (size_t c = 0; c < d; ++c) dot += static_cast<double>(q[c]) * key[c];
    scores[static_cast<size_t>(i)] = dot / std::sqrt(static_cast<double>(d));
    largest = std::max(largest, scores[static_cast<size_t>(i)]);
  }
  std::vector<double> sums(d, 0.0);
  double total = 0.0;
  for (int32_t i = 0; i < n; ++i) {
    fetch(i, key.data(), value.data());
    const double p = std::exp(scores[static_cast<size_t>(i)] - largest);
    total += p;
    for (size_t c = 0; c < d; ++c) sums[c] += p * value[c];
  }
  for (size_t c = 0; c < d; ++c) out[c] = static_cast<float>(sums[c] / total);
}

float silu(float x) { return static_cast<float>(x / (1.0 + std::exp(-static_cast<double>(x)))); }

}  // namespace lamina::reference
