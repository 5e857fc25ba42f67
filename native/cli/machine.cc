// SPDX-License-Identifier: Apache-2.0
#include "native/cli/machine.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

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

constexpr size_t kLine = 64;
constexpr size_t kLeastBytes = size_t{256} << 20;  // of one measurement
constexpr size_t kAhead = 4096;  // bytes of prefetch, enough to hide the latency of memory
[[maybe_unused]] constexpr int kChains =
    12;  // independent sums, enough to fill two multipliers 4 deep
[[maybe_unused]] constexpr long kRounds = 1 << 20;

#if defined(__x86_64__)

__attribute__((target("avx512f"))) uint64_t read_avx512(const std::byte* p, size_t bytes) {
  __m512i sum = _mm512_setzero_si512();
  for (size_t i = 0; i < bytes; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(p + i + kAhead), _MM_HINT_T0);
    sum = _mm512_xor_si512(sum, _mm512_loadu_si512(p + i));
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
    sum = _mm256_xor_si256(sum, _mm256_xor_si256(_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)));
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

}  // namespace

ReadBandwidth::ReadBandwidth(const std::vector<std::span<const std::byte>>& memory, int threads)
    : shares_(static_cast<size_t>(std::max(threads, 1))), sums_(shares_.size()) {
  size_t total = 0;
  for (const auto& part : memory) total += part.size();
  const size_t share = total / shares_.size() + kLine;
  size_t to = 0, filled = 0;
  for (std::span<const std::byte> part : memory) {
    while (part.size() >= kLine) {
      const size_t n = std::min(part.size(), share - filled) / kLine * kLine;
      if (n == 0) {
        ++to;
        filled = 0;
        continue;
      }
      shares_[to].push_back(part.first(n));
      bytes_ += n;
      filled += n;
      part = part.subspan(n);
    }
  }
}

double ReadBandwidth::measure() {
  if (bytes_ == 0) return 0.0;
  const size_t rounds = std::max<size_t>(1, kLeastBytes / bytes_);
  const Clock::time_point start = Clock::now();
  (void)parallel_for(static_cast<int>(shares_.size()), shares_.size(),
                     [&](size_t i) -> Result<void> {
                       for (size_t round = 0; round < rounds; ++round) {
                         for (const auto& part : shares_[i]) {
                           sums_[i] += read_all(part.data(), part.size());
                         }
                       }
                       return {};
                     });
  const double seconds = seconds_since(start);
  volatile uint64_t sink = 0;  // the sums are wanted
  for (uint64_t sum : sums_) sink = sink ^ sum;
  return static_cast<double>(bytes_ * rounds) / seconds;
}

double measure_int8_peak(int threads) {
  const Dots dots = best_dots();
  if (dots.run == nullptr) return 0.0;
  const auto n = static_cast<size_t>(std::max(threads, 1));
  std::vector<int32_t> results(n);
  const Clock::time_point start = Clock::now();
  (void)parallel_for(static_cast<int>(n), n, [&](size_t i) -> Result<void> {
    results[i] = dots.run();
    return {};
  });
  return dots.macs * static_cast<double>(n) / seconds_since(start);
}

}  // namespace lamina::cli
