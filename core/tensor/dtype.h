// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace lamina {

enum class DType : uint8_t { kF32, kF16, kBF16, kI8 };

std::string_view dtype_name(DType dtype);  // "f32" "f16" "bf16" "i8"
std::optional<DType> dtype_from_name(std::string_view name);
constexpr size_t dtype_bytes(DType dtype) {
  return dtype == DType::kF32 ? 4 : dtype == DType::kI8 ? 1 : 2;
}

}  // namespace lamina
