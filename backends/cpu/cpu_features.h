// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace lamina {

// What the processor offers and the operating system lets programs use. Read once, from the
// processor itself.
struct CpuFeatures {
  std::string name;  // "AMD EPYC 9654", or the architecture where the processor has no name
  bool avx2 = false;         // AVX2, FMA and F16C together
  bool avx_vnni = false;     // vpdpbusd on 256 bits, VEX encoded
  bool avx512 = false;       // F, BW, DQ and VL together
  bool avx512_vnni = false;  // with avx512
  bool avx512_bf16 = false;
  bool neon = false;
  bool neon_dotprod = false;

  std::string to_text() const;  // "avx2 avx512 avx512vnni"
};

const CpuFeatures& cpu_features();

}  // namespace lamina
