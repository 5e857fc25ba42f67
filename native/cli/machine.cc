// SPDX-License-Identifier: Apache-2.0
#include "native/cli/machine.h"

#include <algorithm>
#include <chrono>

#include <cstring>
#include <fstream>
#include <functional>
#include <numeric>
#include <vector>

#include "native/platform/mapping.h"
#include "native/platform/parallel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lamina::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr size_t kBytes = size_t{512} << 20;
constexpr size_t kAhead = 4096;  // bytes of prefetch, enough to hide the latency of memory
constexpr int kPasses = 5;
[[maybe_unused]] constexpr int kChains =
    12;  // independent sums, enough to fill two multipliers 4 deep
[[maybe_unused]] constexpr long kRounds = 4 << 20;

#if defined(__x86_64__)

__attribute__((target("avx512f"))) uint64_t read_avx512(const std::byte* p, size_t bytes) {
  __m512i sum = _mm512_setzero_si512();
  for (size_t i = 0; i < bytes; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(p + i + kAhead), _MM_HINT_T0);
    sum = _mm512_xor_si512(sum, _mm512_load_si512(p + i));
  }
  uint64_t parts[8];
  std::memcpy(parts, &sum, sizeof parts);
  return std::accumulate(parts, parts + 8, uint64_t{0});
}

__attribute__((target("avx2"))) uint64_t read_avx2(const std::byte* p, size_t bytes) {
  __m256i sum = _mm256_setzero_si256();
  for (size_t i = 0; i < bytes; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(p + i + kAhead), _MM_HINT_T0);
    const auto* at = static_cast<const __m256i*>(static_cast<const void*>(p + i));
    sum = _mm256_xor_si256(sum, _mm256_xor_si256(_mm256_load_si256(at), _mm256_load_si256(at + 1)));
  }
  uint64_t parts[4];
  std::memcpy(parts, &sum, sizeof parts);
  return std::accumulate(parts, parts + 4, uint64_t{0});
}

__attribute__((target("avx512f,avx512bw,avx512vnni"))) int32_t dots_vnni() {
  __m512i sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_epi32(i);  // else all would be one
  __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
  for (long round = 0; round < kRounds; ++round) {
    asm volatile("" : "+v"(a), "+v"(b));  // or the loop would be folded
#pragma GCC unroll 12                     // the sums are to stay in registers
    for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
  }
  __m512i all = sums[0];
  for (int i = 1; i < kChains; ++i) all = _mm512_add_epi32(all, sums[i]);
  int32_t first;
  std::memcpy(&first, &all, sizeof first);
  return first;
}

__attribute__((target("avx2"))) int32_t dots_avx2() {
  __m256i sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = _mm256_set1_epi32(i);
  __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-2);
  const __m256i ones = _mm256_set1_epi16(1);
  for (long round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (__m256i& sum : sums) {
      asm volatile("" : "+x"(a), "+x"(b));
      const __m256i pairs = _mm256_maddubs_epi16(a, b);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
  }
  __m256i all = sums[0];
  for (int i = 1; i < kChains; ++i) all = _mm256_add_epi32(all, sums[i]);
  return _mm256_extract_epi32(all, 0);
}

#endif

uint64_t read_plain(const std::byte* p, size_t bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes; i += 64) {
    __builtin_prefetch(p + i + kAhead);
    for (size_t j = 0; j < 64; j += 8) {
      uint64_t word;
      std::memcpy(&word, p + i + j, 8);
      sum ^= word;
    }
  }
  return sum;
}

uint64_t read_all(const std::byte* p, size_t bytes) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return read_avx512(p, bytes);
  if (__builtin_cpu_supports("avx2")) return read_avx2(p, bytes);
#endif
  return read_plain(p, bytes);
}

struct Dots {
  int32_t (*run)();
  double macs;  // of one run
};

Dots best_dots() {
#if defined(__x86_64__)
  const double rounds = double{kRounds} * kChains;
  if (__builtin_cpu_supports("avx512vnni")) return {dots_vnni, rounds * 64};
  if (__builtin_cpu_supports("avx2")) return {dots_avx2, rounds * 32};
#endif
  return {nullptr, 0.0};
}

Result<double> best_read(size_t n) {
  LAMINA_ASSIGN(const Mapping memory, Mapping::anonymous(kBytes));
  const size_t share = kBytes / n / 64 * 64;
  const auto each = [&](const std::function<void(size_t)>& work) {
    return parallel_for(static_cast<int>(n), n, [&](size_t i) -> Result<void> {
      work(i);
      return {};
    });
  };
  LAMINA_TRY(each([&](size_t i) { std::memset(memory.data() + i * share, 1, share); }));
  std::vector<uint64_t> sums(n);
  double best = 0.0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const Clock::time_point start = Clock::now();
    LAMINA_TRY(each([&](size_t i) { sums[i] = read_all(memory.data() + i * share, share); }));
    best = std::max(best, static_cast<double>(share * n) / seconds_since(start));
  }
  volatile uint64_t sink = 0;  // the sums are wanted
  for (uint64_t sum : sums) sink = sink ^ sum;
  return best;
}

}  // namespace

Result<double> measure_read_bandwidth(int threads) {
  Result<double> best = best_read(static_cast<size_t>(std::max(threads, 1)));
  std::ofstream("/proc/self/clear_refs") << "5";  // proc(5): the peak falls to what is resident
  return best;
}

double measure_int8_peak(int threads) {
  const Dots dots = best_dots();
  if (dots.run == nullptr) return 0.0;
  const auto n = static_cast<size_t>(std::max(threads, 1));
  std::vector<int32_t> results(n);
  double best = 0.0;
  for (int pass = 0; pass < 3; ++pass) {
    const Clock::time_point start = Clock::now();
    (void)parallel_for(static_cast<int>(n), n, [&](size_t i) -> Result<void> {
      results[i] = dots.run();
      return {};
    });
    best = std::max(best, dots.macs * static_cast<double>(n) / seconds_since(start));
  }
  return best;
}

}  // namespace lamina::cli
