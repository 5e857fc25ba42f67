// SPDX-License-Identifier: Apache-2.0
// SIMD128 with a madd of one rounding, for machines whose relaxed dot is good for seven bits only.
#define LAMINA_RELAXED_LANES
#include "backends/cpu/isa/simd_wasm128.h"
#include "backends/cpu/isa/tables.h"
#include "backends/cpu/isa/wasm_dot_words.h"
#include "backends/cpu/isa/whole_blocks.h"

namespace lamina::cpu {

namespace {

constexpr int kPrefetchBytes = 0;
constexpr int kPanelVecs = 2;  // 8 accumulators, 2 weights in halves, a broadcast, of 15
constexpr int kGemmRows = 4;
constexpr int kGemmUnroll = 1;  // more, and V8 computes sum by sum, all operands at hand: spills
constexpr int kGemmColumns = 1024;
constexpr int kGemmFrom = 5;
constexpr int kPairTile = 4;
constexpr int kPairVecs = 2;

}  // namespace

#include "backends/cpu/isa/kernels.inl"

const KernelTable kWasmRelaxedKernels = kernel_table("wasm_relaxed");

}  // namespace lamina::cpu
