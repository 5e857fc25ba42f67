// SPDX-License-Identifier: Apache-2.0
// SIMD128, which every browser of today has.
#include "backends/cpu/isa/simd_wasm128.h"
#include "backends/cpu/isa/tables.h"
#include "backends/cpu/isa/wasm_dot_words.h"
#include "backends/cpu/isa/wasm_sizes.h"
#include "backends/cpu/isa/whole_blocks.h"

namespace lamina::cpu {

#include "backends/cpu/isa/kernels.inl"

const KernelTable kWasm128Kernels = kernel_table("wasm128");

}  // namespace lamina::cpu
