// SPDX-License-Identifier: Apache-2.0
// The bits of every kernel are those of every other instruction set: fingerprints of their output,
// computed once, that each machine must give again. Float kernels of instruction sets without an
// fma of one rounding (plain C++, WebAssembly) are left out; int8 products are not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "backends/cpu/aligned_buffer.h"
#include "backends/cpu/cpu_kernels.h"
#include "core/base/half.h"
#include "core/base/numeric.h"
#include "core/tensor/quantize.h"

namespace lamina::cpu {
namespace {

class CpuBits : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  bool has_fma() const {
    const std::string_view isa = k_.isa;
    return isa.starts_with("avx") || isa.starts_with("neon") || isa.starts_with("wasm_relaxed");
  }

  float unit() { return 2.0f * random_.next_unit() - 1.0f; }
  std::vector<float> floats(int32_t n, float scale = 1.0f) {
    std::vector<float> out(static_cast<size_t>(n));
    for (float& v : out) v = unit() * scale;
    return out;
  }

  template <typename T>
  T* take(size_t n) {
    memory_.push_back(*AlignedBuffer::create(n * sizeof(T) + 256, "test"));
    return memory_.back().as<T>();
  }

  // FNV-1a over the values' bits.
  void add(const float* values, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      uint32_t bits;
      std::memcpy(&bits, values + i, sizeof bits);
      print_ = (print_ ^ bits) * 0x100000001b3u;
    }
  }

  void attend(KvFormat format, int32_t rows, int32_t group, int32_t head_dim, int32_t length);

  const KernelTable& k_ = *GetParam();
  Random random_{5};
  std::vector<AlignedBuffer> memory_;
  uint64_t print_ = 0xcbf29ce484222325u;
};

struct Name {
  std::string operator()(const ::testing::TestParamInfo<const KernelTable*>& info) const {
    return info.param->isa;
  }
};
INSTANTIATE_TEST_SUITE_P(Isa, CpuBits, ::testing::ValuesIn(available_kernels()), Name());

constexpr char kNoFma[] = "no fma of one rounding: float sums have bits of their own";

TEST_P(CpuBits, RmsNorm) {
  if (!has_fma()) GTEST_SKIP() << kNoFma;
  for (int32_t n : {1, 15, 31, 63, 65, 80, 129, 257, 2048}) {
    const auto x = floats(n, 30.0f), w = floats(n);
    std::vector<float> y(x.size());
    k_.rms_norm(x.data(), w.data(), n, 1e-5f, y.data());
    add(y.data(), y.size());
  }
  EXPECT_EQ(print_, 0x8b00fa1218b2ce30u);
}

TEST_P(CpuBits, GateUpSilu) {
  if (!has_fma()) GTEST_SKIP() << kNoFma;
  const int32_t n = 1003;
  const auto gate = floats(n, 90.0f), up = floats(n);
  std::vector<float> out(gate.size());
  k_.gate_up_silu({gate.data(), up.data(), 1008, nullptr, nullptr, 1, n, out.data(), 1008});
  add(out.data(), out.size());
  EXPECT_EQ(print_, 0x4b11144e08e533a9u);
}

TEST_P(CpuBits, MatmulFloat) {
  if (!has_fma()) GTEST_SKIP() << kNoFma;
  for (bool f16 : {false, true}) {
    for (int32_t cols : {7, 33, 80, 600}) {
      for (int32_t x_rows : {1, 2, 7}) {
        const int32_t rows = 9;
        MatmulFloat a{};
        a.row_bytes = round_up(static_cast<size_t>(cols) * (f16 ? 2 : 4), 64);
        auto* bytes = take<char>(a.row_bytes * rows);
        std::memset(bytes, 0, a.row_bytes * rows);
        for (int32_t i = 0; i < rows * cols; ++i) {
          const float v = unit();
          const uint16_t half = f32_to_f16(v);
          char* to = bytes + static_cast<size_t>(i / cols) * a.row_bytes;
          if (f16) std::memcpy(to + i % cols * 2, &half, 2);
          if (!f16) std::memcpy(to + i % cols * 4, &v, 4);
        }
        const auto x = floats(x_rows * cols);
        std::vector<float> out(static_cast<size_t>(x_rows * kStripRows));
        a.weights = bytes;
        a.n_rows = rows;
        a.cols = cols;
        a.f16 = f16;
        a.x = x.data();
        a.x_stride = static_cast<size_t>(cols);
        a.x_rows = x_rows;
        a.out = out.data();
        a.out_stride = kStripRows;
        k_.matmul_float(a);
        for (int32_t t = 0; t < x_rows; ++t) add(out.data() + t * kStripRows, rows);
      }
    }
  }
  EXPECT_EQ(print_, 0x063762458717f38cu);
}

// Pages of one kv head, written by the kernels themselves, and rows that attend to them.
void CpuBits::attend(KvFormat format, int32_t rows, int32_t group, int32_t head_dim,
                     int32_t length) {
  const int32_t width = (head_dim + kVectorFloats - 1) / kVectorFloats * kVectorFloats;
  const int32_t positions = length + rows - 1;
  const int32_t pages = (positions + kPagePositions - 1) / kPagePositions;
  const size_t page_bytes = static_cast<size_t>(head_dim + width + 2) * kPagePositions * 4;
  auto* kv = take<char>(page_bytes * static_cast<size_t>(pages));
  std::memset(kv, 0, page_bytes * static_cast<size_t>(pages));
  std::vector<int32_t> table;
  for (int32_t page = 0; page < pages; ++page) table.push_back(page);
  for (int32_t i = 0; i < positions; ++i) {
    const KvBlock block{kv + static_cast<size_t>(i / kPagePositions) * page_bytes, head_dim, width,
                        format};
    auto key = floats(head_dim), value = floats(width);
    key.resize(static_cast<size_t>(width));
    k_.key_write(block, i % kPagePositions, key.data());
    k_.value_write(block, i % kPagePositions, value.data());
  }
  const auto q = floats(rows * group * head_dim, 3.0f);
  std::vector<float> out(q.size());
  const size_t record = k_.attention_record(head_dim) * static_cast<size_t>(rows * group);
  auto* first = take<float>(record);
  auto* later = take<float>(record);
  Attention a{};
  a.q = q.data();
  a.out = out.data();
  a.q_stride = a.out_stride = static_cast<size_t>(group * head_dim);
  a.rows = rows;
  a.group = group;
  a.first_length = length;
  a.scale = 0.2f;
  a.page_zero = {kv, head_dim, width, format};
  a.page_stride = page_bytes;
  a.pages = table.data();
  a.scratch = take<float>(k_.attention_scratch(rows * group, head_dim));
  k_.attention_begin(a);
  k_.attention_chunk(a, 0, first);
  for (int32_t chunk = 1; chunk * kChunkPages < pages; ++chunk) {
    k_.attention_chunk(a, chunk, later);
    k_.attention_merge(a, later, first);
  }
  k_.attention_finish(a, first);
  add(out.data(), out.size());
}

TEST_P(CpuBits, Attention) {
  if (!has_fma()) GTEST_SKIP() << kNoFma;
  for (KvFormat format : {KvFormat::kF32, KvFormat::kF16, KvFormat::kI8}) {
    attend(format, 1, 1, 16, 1);
    attend(format, 1, 4, 64, 300);
    attend(format, 9, 3, 20, 60);
    attend(format, 5, 2, 80, 513);
  }
  EXPECT_EQ(print_, 0x79b2ca3b12897cf3u);
}

TEST_P(CpuBits, MatmulI8) {
  for (bool grouped : {false, true}) {
    for (int32_t x_rows : {1, 3, 40}) {
      const int32_t cols = 200, rows = 21, block = grouped ? 32 : 128;
      const int32_t blocks = (cols + block - 1) / block;
      const size_t stride = round_up(static_cast<size_t>(cols), 64);
      MatmulI8 a{};
      auto* weights = take<int8_t>(stride * (rows + 1));
      std::memset(weights, 0, stride * (rows + 1));
      for (int32_t i = 0; i < rows * cols; ++i) {
        weights[static_cast<size_t>(i / cols) * stride + static_cast<size_t>(i % cols)] =
            static_cast<int8_t>(127.0f * unit());
      }
      if (k_.place_i8) k_.place_i8(weights, stride * (rows + 1));
      const auto scales = floats(rows * blocks, 0.01f), x = floats(x_rows * cols);
      const int32_t tiles = (x_rows + k_.gemm_rows - 1) / k_.gemm_rows * k_.gemm_rows;
      auto* q = take<int8_t>(stride * static_cast<size_t>(tiles));
      const auto parts = static_cast<size_t>(k_.packed_parts);
      auto* packed = take<int8_t>(stride * static_cast<size_t>(tiles) * parts);
      auto* sx = take<float>(static_cast<size_t>(tiles * blocks));
      auto* offsets = take<int32_t>(static_cast<size_t>(tiles * blocks));
      for (int32_t t = 0; t < x_rows; ++t) {
        k_.quantize_row(x.data() + t * cols, cols, block, q + static_cast<size_t>(t) * stride,
                        sx + t * blocks, offsets + t * blocks);
      }
      for (int32_t t = 0; t < x_rows; t += k_.gemm_rows) {
        k_.pack_rows(q + static_cast<size_t>(t) * stride, stride,
                     std::min(k_.gemm_rows, x_rows - t), stride,
                     packed + static_cast<size_t>(t) * stride * parts);
      }
      std::vector<float> out(static_cast<size_t>(x_rows * kStripRows));
      a.weights = weights;
      a.scales = scales.data();
      a.row_bytes = stride;
      a.n_rows = rows;
      a.cols = cols;
      a.block = block;
      a.grouped = grouped;
      a.x = {q, packed, sx, offsets, stride, static_cast<size_t>(blocks), x_rows};
      a.out = out.data();
      a.out_stride = kStripRows;
      a.scratch = take<char>(k_.matmul_i8_scratch(stride));
      k_.matmul_i8(a);
      for (int32_t t = 0; t < x_rows; ++t) add(out.data() + t * kStripRows, rows);
    }
  }
  EXPECT_EQ(print_, 0xa9318238fdff9836u);
}

}  // namespace
}  // namespace lamina::cpu
