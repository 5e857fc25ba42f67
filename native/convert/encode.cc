// SPDX-License-Identifier: Apache-2.0
#include "native/convert/encode.h"

#include <bit>
#include <cmath>

#include "core/base/half.h"
#include "core/tensor/quantize.h"

namespace lamina {

namespace {

bool all_finite(std::span<const float> row) {
  uint32_t bad = 0;
  for (float v : row) bad |= (std::bit_cast<uint32_t>(v) & 0x7f800000u) == 0x7f800000u;
  return bad == 0;
}

Error bad_value(const TensorSource& source, uint64_t row, std::span<const float> values,
                bool (*is_bad)(float), const char* what) {
  size_t column = 0;
  while (column + 1 < values.size() && !is_bad(values[column])) ++column;
  const uint64_t index = row * values.size() + column;
  return make_error(Code::kInvalidModel, "tensor %s: value %g of row %llu, column %zu of %s %s",
                    source.name_at(index).c_str(), static_cast<double>(values[column]),
                    static_cast<unsigned long long>(row), column, source.target.name.c_str(), what);
}

double square_sum(std::span<const float> row) {
  double sum = 0.0;
  for (float v : row) sum += static_cast<double>(v) * v;
  return sum;
}

bool overflows_f16(float v) { return std::isinf(f16_to_f32(f32_to_f16(v))); }
bool not_finite(float v) { return !std::isfinite(v); }

// Returns the sum of squared errors, infinite when a value does not fit.
double encode_f16(std::span<const float> row, std::byte* out) {
  double error = 0.0;
  for (size_t i = 0; i < row.size(); ++i) {
    const uint16_t bits = f32_to_f16(row[i]);
    const double lost = static_cast<double>(row[i]) - f16_to_f32(bits);
    error += lost * lost;
    std::memcpy(out + 2 * i, &bits, 2);
  }
  return error;
}

Result<void> encode_row(const TensorSource& source, uint64_t index, std::span<const float> row,
                        std::byte* values, float* scales, ErrorSums* sums) {
  const WeightShape& s = source.target.shape;
  if (!all_finite(row)) {
    return bad_value(source, index, row, not_finite,
                     "is not a finite number: the checkpoint is damaged");
  }
  sums->weight += square_sum(row);
  switch (s.dtype) {
    case DType::kF32: std::memcpy(values, row.data(), row.size_bytes()); return {};
    case DType::kI8:
      sums->error += quantize_weight_row(row, s.group, reinterpret_cast<int8_t*>(values), scales);
      return {};
    case DType::kF16: break;
    case DType::kBF16: return make_error(Code::kUnsupported, "bf16 is not written");
  }
  const double error = encode_f16(row, values);
  if (std::isinf(error)) {
    return bad_value(source, index, row, overflows_f16,
                     "is beyond the range of f16; convert with --dtype f32 or i8");
  }
  sums->error += error;
  return {};
}

}  // namespace

double ErrorSums::relative() const { return weight > 0.0 ? std::sqrt(error / weight) : 0.0; }

Result<void> encode_rows(const TensorSource& source, int32_t begin, int32_t rows,
                         EncodedRows* out) {
  const WeightShape& s = source.target.shape;
  const auto n = static_cast<size_t>(rows);
  const auto cols = static_cast<size_t>(s.cols);
  out->wide.resize(n * cols);
  out->values.assign(n * s.row_bytes(), std::byte{0});
  out->scales.resize(n * s.scales_per_row());
  out->sums = {};
  LAMINA_TRY(source.read(static_cast<uint64_t>(begin) * cols, out->wide, &out->raw));
  for (size_t r = 0; r < n; ++r) {
    LAMINA_TRY(encode_row(source, static_cast<uint64_t>(begin) + r,
                          std::span(out->wide).subspan(r * cols, cols),
                          out->values.data() + r * s.row_bytes(),
                          out->scales.data() + r * s.scales_per_row(), &out->sums));
  }
  return {};
}

}  // namespace lamina
