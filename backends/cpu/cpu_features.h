// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace lamina::cpu {

// What this machine, its operating system included, can run of what the kernels need.
struct CpuFeatures {
  std::string name;           // "AMD EPYC 9R45", as the CPU says
  bool avx2 = false;          // with FMA and F16C
  bool avx512vnni = false;    // F BW DQ VL VNNI, with the above
  bool neon_dotprod = false;  // sdot; NEON itself belongs to AArch64
};

const CpuFeatures& cpu_features();

}  // namespace lamina::cpu
