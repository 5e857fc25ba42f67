// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "native/convert/checkpoint.h"

namespace lamina {

// What was lost: sums over values w and what is stored for them.
struct ErrorSums {
  double error = 0.0;   // (w - stored)^2
  double weight = 0.0;  // w^2

  void add(const ErrorSums& other) {
    error += other.error;
    weight += other.weight;
  }
  double relative() const;
};

// Some rows of a tensor as they will lie in a shard.
struct EncodedRows {
  std::vector<std::byte> values;  // rows * row_bytes, padding zero
  std::vector<float> scales;      // rows * scales_per_row
  ErrorSums sums;
  std::vector<float> wide;     // scratch
  std::vector<std::byte> raw;  // scratch
};

// Reads and encodes rows [begin, begin + rows). kInvalidModel for a value that is not finite, or
// beyond f16's range when the target is f16.
Result<void> encode_rows(const TensorSource& source, int32_t begin, int32_t rows, EncodedRows* out);

}  // namespace lamina
