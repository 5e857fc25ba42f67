// SPDX-License-Identifier: Apache-2.0
// Attention kernels of every instruction set, on one thread, by the CPU time of the thread (a busy
// machine disturbs that least). KV bytes per second for decode, multiplications for prefill.
//
//   bench_attention [ISA]
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "backends/cpu/aligned_buffer.h"
#include "backends/cpu/cpu_kernels.h"

namespace lamina::cpu {
namespace {

double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Case {
  const char* name;
  int32_t rows, group, kv_heads, head_dim, length;
};

constexpr Case kCases[] = {
    {"decode, 8 heads a kv head, 4096", 1, 8, 4, 64, 4096},
    {"decode, 4 heads a kv head, 4096", 1, 4, 8, 64, 4096},
    {"decode, 1 head a kv head, 4096", 1, 1, 32, 128, 4096},
    {"decode, 8 heads a kv head, 128", 1, 8, 4, 64, 128},
    {"prefill of 8 rows x 8 heads at 512", 8, 8, 4, 64, 505},
    {"prefill of 64 rows x 1 head at 512", 64, 1, 32, 128, 449},
};

struct Format {
  KvFormat format;
  const char* name;
  size_t bytes;
};
constexpr Format kFormats[] = {{KvFormat::kF16, "f16", 2}, {KvFormat::kI8, "i8", 1}, {KvFormat::kF32, "f32", 4}};

void run(const KernelTable& k, const Case& c, const Format& f) {
  const int32_t d = c.head_dim, last = c.length + c.rows - 1;
  const int32_t n_pages = (last + kPagePositions - 1) / kPagePositions;
  const size_t block = static_cast<size_t>(2 * d * kPagePositions) * f.bytes +
                       (f.format == KvFormat::kI8 ? 512 : 0);
  const size_t stride = block * static_cast<size_t>(c.kv_heads);
  const auto memory = *AlignedBuffer::create(stride * static_cast<size_t>(n_pages), "bench");
  const int32_t pairs = c.rows * c.group, q_width = c.kv_heads * c.group * d;
  const auto scratch = *AlignedBuffer::create(k.attention_scratch(pairs, d) * 4, "bench");
  const size_t record = k.attention_record(d) * static_cast<size_t>(pairs);
  std::vector<float> q(static_cast<size_t>(c.rows * q_width), 0.1f), out = q, result(record), later(record);
  std::vector<int32_t> pages(static_cast<size_t>(n_pages));
  for (int32_t i = 0; i < n_pages; ++i) pages[static_cast<size_t>(i)] = (i * 7) % n_pages;
  for (int32_t i = 0; n_pages % 7 == 0 && i < n_pages; ++i) pages[static_cast<size_t>(i)] = i;

  double best = 1e9;
  for (int repetition = 0; repetition < 12; ++repetition) {
    const double start = cpu_seconds();
    for (int32_t head = 0; head < c.kv_heads; ++head) {
      const auto at = static_cast<size_t>(head) * block;
      const Attention a{q.data() + head * c.group * d, out.data() + head * c.group * d,
                        static_cast<size_t>(q_width), static_cast<size_t>(q_width), c.rows, c.group,
                        c.length, 0.125f, {memory.data() + at, d, d, f.format}, stride, pages.data(),
                        scratch.as<float>()};
      k.attention_begin(a);
      k.attention_chunk(a, 0, result.data());
      for (int32_t chunk = 1; chunk * kChunkPages < n_pages; ++chunk) {
        k.attention_chunk(a, chunk, later.data());
        k.attention_merge(a, later.data(), result.data());
      }
      k.attention_finish(a, result.data());
    }
    best = std::min(best, cpu_seconds() - start);
  }
  const double bytes = static_cast<double>(stride) * n_pages;
  const double macs = 2.0 * c.kv_heads * pairs * d * (c.length + 0.5 * (c.rows - 1));
  std::printf("%-11s %-4s %-36s %9.1f us %7.1f GB/s %7.1f GMAC/s\n", k.isa, f.name, c.name,
              best * 1e6, bytes / best / 1e9, macs / best / 1e9);
}

}  // namespace
}  // namespace lamina::cpu

int main(int argc, char** argv) {
  for (const auto* kernels : lamina::cpu::available_kernels()) {
    if (argc > 1 && std::strcmp(argv[1], kernels->isa) != 0) continue;
    for (const auto& c : lamina::cpu::kCases) {
      for (const auto& f : lamina::cpu::kFormats) lamina::cpu::run(*kernels, c, f);
    }
  }
}
