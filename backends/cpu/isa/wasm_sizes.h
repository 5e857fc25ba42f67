// SPDX-License-Identifier: Apache-2.0
// Sizes of tiles for V8's 15 vector registers: 8 accumulators, 2 weights, a broadcast.
#pragma once

namespace {

constexpr int kPrefetchBytes = 0;
constexpr int kPanelVecs = 2;
constexpr int kGemmRows = 4;
constexpr int kGemmUnroll = 1;  // more, and V8 computes sum by sum, all operands at hand: spills
constexpr int kGemmColumns = 1024;
constexpr int kGemmFrom = 5;
constexpr int kPairTile = 4;
constexpr int kPairVecs = 2;

}  // namespace
