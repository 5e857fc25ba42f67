// SPDX-License-Identifier: Apache-2.0
// A weight matrix as every engine reads it.
//
// Values lie row by row; a row is padded with zeros to a multiple of 64 bytes. An i8 matrix has
// scales in a region of their own:
//   group == 0: one f32 scale per row:                       value[r][c] = q[r][c] * scale[r]
//   group in {32, 64, 128}: div_up(cols, group) f32 scales per row, row-major:
//                                          value[r][c] = q[r][c] * scale[r][c / group]
// q is symmetric, -127..127 (never -128). A vector (norm weight, bias) is a matrix of one f32 row.
#pragma once

#include <cstdint>

#include "core/base/numeric.h"
#include "core/tensor/dtype.h"

namespace lamina {

constexpr size_t kRowAlignment = 64;      // bytes
constexpr size_t kTensorAlignment = 256;  // bytes, of values and of scales

struct WeightShape {
  DType dtype = DType::kF32;
  int32_t rows = 0;
  int32_t cols = 0;
  int32_t group = 0;  // i8 only: 0 per row, else 32, 64 or 128

  size_t row_bytes() const { return round_up(static_cast<size_t>(cols) * dtype_bytes(dtype), kRowAlignment); }
  size_t value_bytes() const { return static_cast<size_t>(rows) * row_bytes(); }
  size_t scales_per_row() const {
    if (dtype != DType::kI8) return 0;
    return group == 0 ? 1 : div_up(static_cast<size_t>(cols), static_cast<size_t>(group));
  }
  size_t scale_bytes() const { return static_cast<size_t>(rows) * scales_per_row() * 4; }
  bool operator==(const WeightShape&) const = default;
};

// Borrowed memory, 64-byte aligned; the owner outlives the view.
struct WeightView : WeightShape {
  const void* values = nullptr;
  const float* scales = nullptr;  // null unless i8
};

}  // namespace lamina
