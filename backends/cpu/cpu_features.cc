// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/cpu_features.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace lamina {

namespace {

#if defined(__x86_64__) || defined(__i386__)

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

bool bit(uint32_t word, int n) { return (word >> n) & 1; }

// Which register states the operating system saves (XCR0; Intel SDM volume 1, section 13.3).
uint64_t saved_states() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

std::string brand() {
  char text[49] = {};
  if (cpuid(0x80000000).eax < 0x80000004) return "x86";
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002 + i);
    std::memcpy(text + 16 * i, &r, 16);
  }
  std::string name = text;
  name.erase(0, name.find_first_not_of(' '));
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
}

CpuFeatures read_features() {
  CpuFeatures f;
  f.name = brand();
  const Registers one = cpuid(1);
  if (!bit(one.ecx, 27)) return f;  // OSXSAVE
  const uint64_t states = saved_states();
  const bool ymm = (states & 0x6) == 0x6;
  const bool zmm = ymm && (states & 0xE0) == 0xE0;
  const Registers seven = cpuid(7, 0), seven_one = cpuid(7, 1);
  f.avx2 = ymm && bit(seven.ebx, 5) && bit(one.ecx, 12) && bit(one.ecx, 29);
  f.avx_vnni = f.avx2 && bit(seven_one.eax, 4);
  f.avx512 = zmm && f.avx2 && bit(seven.ebx, 16) && bit(seven.ebx, 30) && bit(seven.ebx, 17) &&
             bit(seven.ebx, 31);
  f.avx512_vnni = f.avx512 && bit(seven.ecx, 11);
  f.avx512_bf16 = f.avx512 && bit(seven_one.eax, 5);
  return f;
}

#elif defined(__aarch64__)

CpuFeatures read_features() {
  CpuFeatures f;
  f.name = "aarch64";
  f.neon = true;
#if defined(__linux__)
  constexpr unsigned long kDotProduct = 1ul << 20;  // HWCAP_ASIMDDP
  f.neon_dotprod = (getauxval(AT_HWCAP) & kDotProduct) != 0;
#endif
  return f;
}

#else

CpuFeatures read_features() {
  CpuFeatures f;
  f.name = "generic";
  return f;
}

#endif

}  // namespace

std::string CpuFeatures::to_text() const {
  std::string text;
  const auto add = [&](bool has, const char* feature) {
    if (has) text += (text.empty() ? "" : " ") + std::string(feature);
  };
  add(avx2, "avx2");
  add(avx_vnni, "avx_vnni");
  add(avx512, "avx512");
  add(avx512_vnni, "avx512_vnni");
  add(avx512_bf16, "avx512_bf16");
  add(neon, "neon");
  add(neon_dotprod, "dotprod");
  return text.empty() ? "none" : text;
}

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = read_features();
  return features;
}

}  // namespace lamina
