// SPDX-License-Identifier: Apache-2.0
// AVX-512 F BW DQ VL with VNNI.
#include "backends/cpu/isa/simd_avx512vnni.h"
#include "backends/cpu/isa/plain_panels.h"
#include "backends/cpu/isa/tables.h"

namespace lamina::cpu {

namespace {

constexpr int kPrefetchBytes = 4096;
constexpr int kPanelVecs = 2;  // 16 accumulators, 2 weights, a broadcast; 24 were slower
constexpr int kGemmRows = 8;
constexpr int kGemmUnroll = 4;
constexpr int kGemmColumns = 512;  // a panel's 16 KiB stay in L1
constexpr int kGemmFrom = 5;
constexpr int kPairTile = 8;
constexpr int kPairVecs = 2;

}  // namespace

#include "backends/cpu/isa/kernels.inl"

const KernelTable kAvx512VnniKernels = kernel_table("avx512vnni");

}  // namespace lamina::cpu
