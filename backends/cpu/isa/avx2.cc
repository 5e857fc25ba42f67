// SPDX-License-Identifier: Apache-2.0
// AVX2 with FMA and F16C.
#include "backends/cpu/isa/simd_avx2.h"
#include "backends/cpu/isa/plain_panels.h"
#include "backends/cpu/isa/tables.h"
#include "backends/cpu/isa/whole_blocks.h"

namespace lamina::cpu {

namespace {

constexpr int kPrefetchBytes = 4096;
constexpr int kPanelVecs = 2;  // 8 accumulators, 2 weights, a broadcast and its magnitude, ones
constexpr int kGemmRows = 4;
constexpr int kGemmUnroll = 4;
constexpr int kGemmColumns = 1024;
constexpr int kGemmFrom = 5;
constexpr int kPairTile = 4;
constexpr int kPairVecs = 2;

}  // namespace

#include "backends/cpu/isa/kernels.inl"

const KernelTable kAvx2Kernels = kernel_table("avx2");

}  // namespace lamina::cpu
