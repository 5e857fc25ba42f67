// SPDX-License-Identifier: Apache-2.0
// Plain C++: the fallback, and what every other room is checked against at start.
#include "backends/cpu/isa/simd_scalar.h"
#include "backends/cpu/isa/plain_panels.h"
#include "backends/cpu/isa/tables.h"
#include "backends/cpu/isa/whole_blocks.h"

namespace lamina::cpu {

namespace {

constexpr int kPrefetchBytes = 0;
constexpr int kPanelVecs = 4;
constexpr int kGemmRows = 2;
constexpr int kGemmUnroll = 4;
constexpr int kGemmColumns = 1024;
constexpr int kGemmFrom = 1 << 30;  // one lane gains nothing from packing
constexpr int kPairTile = 2;
constexpr int kPairVecs = 4;

}  // namespace

#include "backends/cpu/isa/kernels.inl"

const KernelTable kScalarKernels = kernel_table("scalar");

}  // namespace lamina::cpu
