// SPDX-License-Identifier: Apache-2.0
// Advanced SIMD, which every AArch64 has.
#include "backends/cpu/isa/simd_neon.h"
#include "backends/cpu/isa/plain_panels.h"
#include "backends/cpu/isa/tables.h"
#include "backends/cpu/isa/whole_blocks.h"

namespace lamina::cpu {

namespace {

constexpr int kPrefetchBytes = 1024;
constexpr int kPanelVecs = 4;  // 16 accumulators, 4 weights, a broadcast, of 32 registers
constexpr int kGemmRows = 4;
constexpr int kGemmUnroll = 4;
constexpr int kGemmColumns = 1024;
constexpr int kGemmFrom = 5;
constexpr int kPairTile = 4;
constexpr int kPairVecs = 4;

}  // namespace

#include "backends/cpu/isa/kernels.inl"

const KernelTable kNeonKernels = kernel_table("neon");

}  // namespace lamina::cpu
