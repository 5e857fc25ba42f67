// SPDX-License-Identifier: Apache-2.0
// Relaxed SIMD on x86 with VNNI: one dot of 16 bytes an instruction.
#define LAMINA_RELAXED_LANES
#define LAMINA_UNSIGNED_DOT
#include "backends/cpu/isa/simd_wasm128.h"
#include "backends/cpu/isa/tables.h"
#include "backends/cpu/isa/wasm_dot_bytes.h"
#include "backends/cpu/isa/wasm_sizes.h"
#include "backends/cpu/isa/whole_blocks.h"

namespace lamina::cpu {

#include "backends/cpu/isa/kernels.inl"

const KernelTable kWasmRelaxedU8Kernels = kernel_table("wasm_relaxed_u8");

}  // namespace lamina::cpu
