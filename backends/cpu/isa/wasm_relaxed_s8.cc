// SPDX-License-Identifier: Apache-2.0
// Relaxed SIMD on ARM with dotprod: one dot of 16 bytes an instruction.
#define LAMINA_RELAXED_LANES
#include "backends/cpu/isa/simd_wasm128.h"
#include "backends/cpu/isa/tables.h"
#include "backends/cpu/isa/wasm_dot_bytes.h"
#include "backends/cpu/isa/wasm_sizes.h"
#include "backends/cpu/isa/whole_blocks.h"

namespace lamina::cpu {

#include "backends/cpu/isa/kernels.inl"

const KernelTable kWasmRelaxedS8Kernels = kernel_table("wasm_relaxed_s8");

}  // namespace lamina::cpu
