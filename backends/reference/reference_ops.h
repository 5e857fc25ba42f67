// SPDX-License-Identifier: Apache-2.0
// The arithmetic of each op on one row. Sums over f32 and f16 weights are kept in double, so that
// an engine's own rounding is what a comparison shows; int8 products follow the contract in
// core/tensor/quantize.h to the bit.
#pragma once

#include <functional>
#include <span>

#include "core/tensor/weight.h"

namespace lamina::reference {

// Row `row` of w as floats; out has w.cols values.
void dequantize_row(const WeightView& w, int32_t row, std::span<float> out);

// y[r] = sum_c w[r][c] x[c] (+ bias[r] when bias is not null), for all rows of w.
void matmul(const WeightView& w, const float* bias, std::span<const float> x, std::span<float> y);

void rms_norm(std::span<const float> x, const float* weight, float eps, std::span<float> y);

// Turns the pair (i, i + d/2) of one head by the angle whose cos[i] and sin[i] are given.
void rope(std::span<float> head, std::span<const float> cos, std::span<const float> sin);

// out = sum_i softmax(q . key(i) / sqrt(d))[i] * value(i), i in 0..n-1. `fetch(i, k, v)` gives the
// i-th key and value.
using FetchKv = std::function<void(int32_t index, float* key, float* value)>;
void attention(std::span<const float> q, int32_t n, const FetchKv& fetch, std::span<float> out);

float silu(float x);  // x / (1 + e^-x)

}  // namespace lamina::reference
