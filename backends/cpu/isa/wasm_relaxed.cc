// SPDX-License-Identifier: Apache-2.0
// SIMD128 with a madd of one rounding, for machines whose relaxed dot is good for seven bits only.
#define LAMINA_RELAXED_LANES
#include "backends/cpu/isa/simd_wasm128.h"
#include "backends/cpu/isa/tables.h"
#include "backends/cpu/isa/wasm_dot_words.h"
#include "backends/cpu/isa/wasm_sizes.h"
#include "backends/cpu/isa/whole_blocks.h"

namespace lamina::cpu {

#include "backends/cpu/isa/kernels.inl"

const KernelTable kWasmRelaxedKernels = kernel_table("wasm_relaxed");

}  // namespace lamina::cpu
