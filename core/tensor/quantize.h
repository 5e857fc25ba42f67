// SPDX-License-Identifier: Apache-2.0
// int8 quantization: symmetric, round to nearest even.
//
// The contract of every int8 matrix product in Lamina, so that engines agree:
//   activations  x[c] of one row are cut into blocks of B columns: B = the weight's group, or 128
//                for per-row weights. Per block: sx = max|x| / 127, q = round(x / sx) (0 if sx = 0).
//   product      acc[b] = sum over the block of qw * qx, exact in int32
//     per-row weights:  y = sw[row] * (sum over b, in order, of fma(sx[b], float(acc[b]), ...))
//     grouped weights:  y = sum over b, in order, of fma(sx[b] * sw[row][b], float(acc[b]), ...)
// Starting from 0.0f. Whoever keeps that order gets the same bits for any batch, tile or thread
// count; WebAssembly too, whose kernels make up the fma that it lacks.
#pragma once

#include <cstdint>
#include <span>

#include "core/tensor/weight.h"

namespace lamina {

constexpr int kActivationBlock = 128;  // columns per activation scale under per-row weights

inline int activation_block(const WeightShape& w) { return w.group == 0 ? kActivationBlock : w.group; }

// One row of activations: x[n] to q[n] and scales[div_up(n, block)].
void quantize_activations(std::span<const float> x, int block, int8_t* q, float* scales);

// One row of weights to q[cols] (the caller pads) and scales (1, or one per group). Returns the
// sum of squared errors, for reports.
double quantize_weight_row(std::span<const float> row, int group, int8_t* q, float* scales);

}  // namespace lamina
