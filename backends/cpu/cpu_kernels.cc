// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/cpu_kernels.h"

#include "backends/cpu/cpu_features.h"
#include "backends/cpu/isa/tables.h"
#if defined(LAMINA_WASM_RELAXED)
#include "backends/cpu/isa/wasm_probe.h"
#endif

namespace lamina::cpu {

namespace {

constexpr const char* kNames[] = {"avx512vnni",      "avx2",         "neon_dotprod", "neon",
                                  "wasm_relaxed_u8", "wasm_relaxed_s8", "wasm_relaxed", "wasm128",
                                  "scalar"};

std::string join_names(const std::vector<const KernelTable*>& tables) {
  std::string out;
  for (const KernelTable* t : tables) out += (out.empty() ? "" : ", ") + std::string(t->isa);
  return out;
}

}  // namespace

std::vector<const KernelTable*> available_kernels() {
  std::vector<const KernelTable*> out;
  [[maybe_unused]] const CpuFeatures& f = cpu_features();
#if defined(__x86_64__)
  if (f.avx512vnni) out.push_back(&kAvx512VnniKernels);
  if (f.avx2) out.push_back(&kAvx2Kernels);
#elif defined(__aarch64__)
  if (f.neon_dotprod) out.push_back(&kNeonDotprodKernels);
  out.push_back(&kNeonKernels);
#elif defined(__wasm_simd128__)
#if defined(LAMINA_WASM_RELAXED)
  static const RelaxedSimd relaxed = probe_relaxed_simd();
  if (relaxed.fused_madd) {
    if (relaxed.dot == RelaxedSimd::Dot::kUnsigned) out.push_back(&kWasmRelaxedU8Kernels);
    if (relaxed.dot == RelaxedSimd::Dot::kSigned) out.push_back(&kWasmRelaxedS8Kernels);
    out.push_back(&kWasmRelaxedKernels);
  }
#endif
  out.push_back(&kWasm128Kernels);
#endif
  out.push_back(&kScalarKernels);
  return out;
}

Result<const KernelTable*> choose_kernels(const std::string& force_isa) {
  const auto tables = available_kernels();
  if (force_isa.empty()) return tables.front();
  for (const KernelTable* t : tables) {
    if (force_isa == t->isa) return t;
  }
  for (const char* name : kNames) {
    if (force_isa == name) {
      return make_error(Code::kUnsupported, "instruction set %s: %s cannot run it; it has %s", name,
                        cpu_features().name.c_str(), join_names(tables).c_str());
    }
  }
  return make_error(Code::kInvalidArgument, "instruction set %s is unknown; this machine has %s",
                    quote(force_isa).c_str(), join_names(tables).c_str());
}

}  // namespace lamina::cpu
