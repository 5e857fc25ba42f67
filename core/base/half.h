// SPDX-License-Identifier: Apache-2.0
// IEEE 754 binary16 and bfloat16 as bit patterns in uint16_t. Round to nearest even.
#pragma once

#include <cstdint>

namespace lamina {

float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);  // overflow gives infinity; NaN stays NaN
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);

}  // namespace lamina
