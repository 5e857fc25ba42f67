// SPDX-License-Identifier: Apache-2.0
// The tables that this build has. Whether the machine can run one is cpu_features' business.
#pragma once

#include "backends/cpu/kernels/kernel_table.h"

namespace lamina::cpu {

extern const KernelTable kScalarKernels;
#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512VnniKernels;
#elif defined(__aarch64__)
extern const KernelTable kNeonKernels;
extern const KernelTable kNeonDotprodKernels;
#elif defined(__wasm_simd128__)
extern const KernelTable kWasm128Kernels;
// Of builds with LAMINA_WASM_RELAXED; see wasm_probe.h.
extern const KernelTable kWasmRelaxedKernels;
extern const KernelTable kWasmRelaxedU8Kernels;
extern const KernelTable kWasmRelaxedS8Kernels;
#endif

}  // namespace lamina::cpu
