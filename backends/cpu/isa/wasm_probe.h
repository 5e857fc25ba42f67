// SPDX-License-Identifier: Apache-2.0
// What relaxed SIMD does on this machine where WebAssembly leaves it open. An engine decides once
// for all instances and tiers (the relaxed SIMD proposal: one choice per operator and environment).
#pragma once

namespace lamina::cpu {

struct RelaxedSimd {
  enum class Dot { kOther, kUnsigned, kSigned };
  bool fused_madd = false;  // relaxed_madd has one rounding
  // relaxed_dot's second operand beyond 127. Unsigned ones are exact up to 255: nothing saturates.
  Dot dot = Dot::kOther;
};

RelaxedSimd probe_relaxed_simd();

}  // namespace lamina::cpu
