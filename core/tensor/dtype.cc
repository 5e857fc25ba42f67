// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/dtype.h"

namespace lamina {

std::string_view dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "f32";
    case DType::kF16: return "f16";
    case DType::kBF16: return "bf16";
    case DType::kI8: return "i8";
  }
  return "?";
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (DType d : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8}) {
    if (dtype_name(d) == name) return d;
  }
  return std::nullopt;
}

}  // namespace lamina
