// SPDX-License-Identifier: Apache-2.0
// Kernels of every instruction set that this machine has, against plain arithmetic written here.
// int8 products must match to the bit (tensor/quantize.h). Sums of n floats in another order may
// differ by n * 2^-24 of the sum of magnitudes; exp and division add a few units more.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "backends/cpu/aligned_buffer.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/cpu_kernels.h"
#include "core/base/half.h"
#include "core/base/numeric.h"
#include "core/tensor/quantize.h"

namespace lamina::cpu {
namespace {

constexpr int32_t kSizes[] = {1, 31, 33, 63, 65, 127, 129, 257};

struct PrintTable {
  std::string operator()(const ::testing::TestParamInfo<const KernelTable*>& info) const {
    return info.param->isa;
  }
};

class CpuKernels : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  std::vector<float> floats(int32_t n, float scale = 1.0f) {
    std::vector<float> out(static_cast<size_t>(n));
    for (float& v : out) v = (2.0f * random_.next_unit() - 1.0f) * scale;
    return out;
  }
  template <typename T>
  static T* in(AlignedBuffer& buffer, size_t n) {
    buffer = *AlignedBuffer::create(n * sizeof(T), "test");
    return buffer.as<T>();
  }

  const KernelTable& k_ = *GetParam();
  Random random_{11};
};

INSTANTIATE_TEST_SUITE_P(Isa, CpuKernels, ::testing::ValuesIn(available_kernels()), PrintTable());

TEST_P(CpuKernels, RmsNorm) {
  for (int32_t n : kSizes) {
    const auto x = floats(n, 30.0f), w = floats(n);
    std::vector<float> y(static_cast<size_t>(n) + 1, 77.0f);
    k_.rms_norm(x.data(), w.data(), n, 1e-5f, y.data());
    double squares = 0.0;
    for (float v : x) squares += static_cast<double>(v) * v;
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = x[i] / std::sqrt(squares / n + 1e-5) * w[i];
      EXPECT_NEAR(y[i], want, std::fabs(want) * (n + 8) * 0x1p-24) << n << " at " << i;
    }
    EXPECT_EQ(y.back(), 77.0f) << "wrote beyond " << n;
  }
  const std::vector<float> zeros(33, 0.0f);
  std::vector<float> y(33, 1.0f);
  k_.rms_norm(zeros.data(), zeros.data(), 33, 1e-5f, y.data());
  EXPECT_EQ(y, zeros);
}

TEST_P(CpuKernels, MatmulAddWithAndWithoutBias) {
  for (int32_t n : {1, 5, 16, 31, 32}) {
    const int32_t rows = 3, stride = 40;
    const auto y = floats(rows * stride), bias = floats(n), before = floats(rows * stride);
    for (const float* b : {bias.data(), static_cast<const float*>(nullptr)}) {
      auto out = before;
      k_.matmul_add(y.data(), stride, b, rows, n, out.data(), stride);
      for (int32_t i = 0; i < rows * stride; ++i) {
        const auto at = static_cast<size_t>(i);
        const int32_t c = i % stride;
        const float add = b && c < n ? y[at] + b[c] : y[at];
        EXPECT_EQ(out[at], c < n ? before[at] + add : before[at]) << n << " at " << i;
      }
    }
  }
}

TEST_P(CpuKernels, GateUpSilu) {
  const int32_t rows = 2, n = 29, stride = 32;
  auto gate = floats(rows * stride, 12.0f);
  gate[0] = 0.0f, gate[1] = 100.0f, gate[2] = -100.0f, gate[3] = -87.5f, gate[4] = 1e-20f;
  const auto up = floats(rows * stride), gate_bias = floats(n), up_bias = floats(n);
  for (bool biased : {false, true}) {
    std::vector<float> out(static_cast<size_t>(rows * stride), 5.0f);
    k_.gate_up_silu({gate.data(), up.data(), stride, biased ? gate_bias.data() : nullptr,
                     biased ? up_bias.data() : nullptr, rows, n, out.data(), stride});
    for (int32_t i = 0; i < rows * stride; ++i) {
      const auto at = static_cast<size_t>(i), c = at % stride;
      if (c >= n) {
        EXPECT_EQ(out[at], 5.0f);
        continue;
      }
      const double g = biased ? gate[at] + gate_bias[c] : gate[at];
      const double want = g / (1 + std::exp(-g)) * (biased ? up[at] + up_bias[c] : up[at]);
      EXPECT_NEAR(out[at], want, std::fabs(want) * 1e-6 + 1e-35) << "gate " << g;
    }
  }
}

TEST_P(CpuKernels, RopeTurnsPairsAndNothingElse) {
  for (int32_t half : {1, 8, 10, 16, 33, 64}) {
    const auto x = floats(2 * half), cos = floats(half), sin = floats(half);
    auto y = x;
    y.push_back(3.0f);
    k_.rope(y.data(), cos.data(), sin.data(), half);
    for (size_t i = 0, h = static_cast<size_t>(half); i < h; ++i) {
      EXPECT_EQ(y[i], x[i] * cos[i] - x[i + h] * sin[i]);
      EXPECT_EQ(y[i + h], x[i + h] * cos[i] + x[i] * sin[i]);
    }
    EXPECT_EQ(y.back(), 3.0f);
  }
}

TEST_P(CpuKernels, Dequantize) {
  for (int32_t n : kSizes) {
    AlignedBuffer a, b;
    auto* half = in<uint16_t>(a, static_cast<size_t>(n) + 64);
    auto* q = in<int8_t>(b, static_cast<size_t>(n) + 64);
    for (int32_t i = 0; i < n; ++i) {
      half[i] = f32_to_f16(2.0f * random_.next_unit() - 1.0f);
      q[i] = static_cast<int8_t>(i * 37 % 255 - 127);
    }
    std::vector<float> out(static_cast<size_t>(n) + 1, 9.0f);
    k_.dequantize_f16(half, n, out.data());
    for (int32_t i = 0; i < n; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], f16_to_f32(half[i]));
    const std::vector<int8_t> plain(q, q + n);
    if (k_.place_i8) k_.place_i8(q, static_cast<size_t>(n));
    k_.dequantize_i8(q, 0.3f, n, out.data());
    for (int32_t i = 0; i < n; ++i) {
      EXPECT_EQ(out[static_cast<size_t>(i)], 0.3f * plain[static_cast<size_t>(i)]);
    }
    EXPECT_EQ(out.back(), 9.0f);
  }
}

TEST_P(CpuKernels, QuantizeRowIsQuantizeActivations) {
  for (int32_t n : kSizes) {
    for (int block : {32, 64, 128}) {
      for (float scale : {0.0f, 1e-44f, 1e-30f, 1.0f, 1e30f}) {
        auto x = floats(n, scale);
        const auto blocks = div_up(static_cast<size_t>(n), static_cast<size_t>(block));
        if (scale == 1.0f) x[0] = -x[0] * 3, x.back() = 0.5f;
        AlignedBuffer a;
        const size_t padded = round_up(static_cast<size_t>(n), 64);
        auto* q = in<int8_t>(a, padded);
        std::memset(q, 99, padded);
        std::vector<float> scales(blocks), want_scales(blocks);
        std::vector<int32_t> offsets(blocks);
        std::vector<int8_t> want(static_cast<size_t>(n));
        k_.quantize_row(x.data(), n, block, q, scales.data(), offsets.data());
        quantize_activations(x, block, want.data(), want_scales.data());
        EXPECT_EQ(scales, want_scales) << n << " block " << block << " scale " << scale;
        for (size_t i = 0; i < padded; ++i) {
          ASSERT_EQ(q[i], i < want.size() ? want[i] : 0) << n << " at " << i << " scale " << scale;
        }
        for (size_t b = 0; b < blocks; ++b) {
          int32_t sum = 0;
          for (size_t i = b * static_cast<size_t>(block);
               i < std::min(want.size(), (b + 1) * static_cast<size_t>(block)); ++i) {
            sum += want[i];
          }
          EXPECT_EQ(offsets[b], -128 * sum);
        }
      }
    }
  }
}

// An i8 strip with its quantized activations, and the contract's answer.
class I8Case {
 public:
  using Fill = int8_t (*)(Random&);

  I8Case(const KernelTable& k, int32_t rows, int32_t cols, int32_t group, int32_t x_rows, Fill fill)
      : k_(k), shape_{DType::kI8, rows, cols, group}, x_rows_(x_rows) {
    block_ = activation_block(shape_);
    stride_ = shape_.row_bytes();
    blocks_ = div_up(static_cast<size_t>(cols), static_cast<size_t>(block_));
    const auto n_x = static_cast<size_t>(x_rows);
    // Exactly as long as promised, so that a sanitizer sees a read beyond.
    weights_ = *AlignedBuffer::create(shape_.value_bytes(), "weights");
    placed_ = *AlignedBuffer::create(shape_.value_bytes(), "placed weights");
    q_ = *AlignedBuffer::create(n_x * stride_, "q");
    const auto parts = static_cast<size_t>(k.packed_parts);
    packed_ = *AlignedBuffer::create(
        round_up(n_x, static_cast<size_t>(k.gemm_rows)) * stride_ * parts, "packed");
    out_stride_ = static_cast<size_t>(std::max(kStripRows, x_rows == 1 ? k.strip_rows : 0));
    out_ = *AlignedBuffer::create(n_x * out_stride_ * 4, "out");
    scratch_ = *AlignedBuffer::create(k.matmul_i8_scratch(stride_), "scratch");
    fill_matrix(weights_.as<int8_t>(), rows, fill);
    std::copy_n(weights_.as<int8_t>(), shape_.value_bytes(), placed_.as<int8_t>());
    if (k.place_i8) k.place_i8(placed_.as<int8_t>(), shape_.value_bytes());
    fill_matrix(q_.as<int8_t>(), x_rows, fill);
    for (size_t i = 0; i < shape_.scale_bytes() / 4; ++i) scales_.push_back(random_.next_unit());
    for (size_t t = 0; t < n_x; ++t) {
      for (size_t b = 0; b < blocks_; ++b) {
        sx_.push_back(random_.next_unit() - 0.3f);
        offsets_.push_back(-128 * block_sum(t, b));
      }
    }
    for (int32_t t = 0; t < x_rows; t += k.gemm_rows) {
      const size_t at = static_cast<size_t>(t) * stride_;
      k.pack_rows(q_.as<int8_t>() + at, stride_, std::min(k.gemm_rows, x_rows - t), stride_,
                  packed_.as<int8_t>() + at * parts);
    }
  }

  // Runs rows [first, first + n) of x; first must be a multiple of gemm_rows.
  const float* run(int32_t first, int32_t n) {
    const auto at = static_cast<size_t>(first), parts = static_cast<size_t>(k_.packed_parts);
    k_.matmul_i8({placed_.as<int8_t>(), scales_.data(), stride_, shape_.rows, shape_.cols, block_,
                  shape_.group != 0,
                  {q_.as<int8_t>() + at * stride_, packed_.as<int8_t>() + at * stride_ * parts,
                   sx_.data() + at * blocks_, offsets_.data() + at * blocks_, stride_, blocks_, n},
                  out_.as<float>() + at * out_stride_, out_stride_, scratch_.data()});
    return out_.as<float>() + at * out_stride_;
  }

  float want(int32_t x_row, int32_t row) const {
    const auto* w = weights_.as<int8_t>() + static_cast<size_t>(row) * stride_;
    const auto* x = q_.as<int8_t>() + static_cast<size_t>(x_row) * stride_;
    const float* sw = scales_.data() + static_cast<size_t>(row) * shape_.scales_per_row();
    const float* sx = sx_.data() + static_cast<size_t>(x_row) * blocks_;
    float sum = 0.0f;
    for (int32_t start = 0, b = 0; start < shape_.cols; start += block_, ++b) {
      int32_t acc = 0;
      for (int32_t c = start; c < std::min(shape_.cols, start + block_); ++c) acc += w[c] * x[c];
      sum = std::fma(shape_.group ? sx[b] * sw[b] : sx[b], static_cast<float>(acc), sum);
    }
    return shape_.group ? sum : sum * sw[0];
  }

  void expect_all(const std::string& what) {
    const float* out = run(0, x_rows_);
    for (int32_t t = 0; t < x_rows_; ++t) {
      for (int32_t r = 0; r < shape_.rows; ++r) {
        ASSERT_EQ(out[static_cast<size_t>(t) * out_stride_ + static_cast<size_t>(r)], want(t, r))
            << what << ": " << shape_.rows << " x " << shape_.cols << " group " << shape_.group
            << ", x row " << t << " of " << x_rows_ << ", weight row " << r;
      }
    }
  }

 private:
  void fill_matrix(int8_t* to, int32_t rows, Fill fill) {
    for (int32_t r = 0; r < rows; ++r) {
      for (int32_t c = 0; c < shape_.cols; ++c) to[static_cast<size_t>(r) * stride_ + static_cast<size_t>(c)] = fill(random_);
    }
  }
  int32_t block_sum(size_t row, size_t block) const {
    int32_t sum = 0;
    for (size_t c = block * static_cast<size_t>(block_);
         c < std::min(stride_, (block + 1) * static_cast<size_t>(block_)); ++c) {
      sum += q_.as<int8_t>()[row * stride_ + c];
    }
    return sum;
  }

  const KernelTable& k_;
  WeightShape shape_;
  int32_t x_rows_;
  int block_;
  size_t stride_, blocks_, out_stride_;
  AlignedBuffer weights_, placed_, q_, packed_, out_, scratch_;
  std::vector<float> scales_, sx_;
  std::vector<int32_t> offsets_;
  Random random_{5};
};

int8_t any_byte(Random& random) {
  return static_cast<int8_t>(static_cast<int32_t>(random.next_u32() % 255) - 127);
}

TEST_P(CpuKernels, MatmulI8OddColumns) {
  for (int32_t cols : {1, 31, 33, 63, 65, 127, 129, 257, 576, 2112}) {
    for (int32_t group : {0, 32, 64, 128}) {
      for (int32_t x_rows : {1, 2, 3, 7, k_.gemm_rows, 17}) {
        I8Case(k_, 19, cols, group, x_rows, any_byte).expect_all("columns");
      }
    }
  }
}

TEST_P(CpuKernels, MatmulI8OddRowsAndBatches) {
  for (int32_t rows : {1, 2, 8, 15, 16, 17, 31, 32}) {
    for (int32_t x_rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 65}) {
      I8Case(k_, rows, 200, rows % 2 ? 32 : 0, x_rows, any_byte).expect_all("rows");
    }
  }
}

TEST_P(CpuKernels, MatmulI8WideStrips) {
  if (k_.strip_rows < 128) GTEST_SKIP() << "strips have " << k_.strip_rows << " rows";
  for (int32_t rows : {33, 61, 96, 127, 128}) {
    for (int32_t group : {0, 32, 64, 128}) I8Case(k_, rows, 330, group, 1, any_byte).expect_all("wide");
  }
}

TEST_P(CpuKernels, MatmulI8Extremes) {
  const I8Case::Fill fills[] = {[](Random&) { return int8_t{127}; },
                                [](Random&) { return int8_t{-127}; },
                                [](Random& r) { return static_cast<int8_t>(r.next_u32() & 1 ? 127 : -127); },
                                [](Random&) { return int8_t{0}; }};
  for (const auto fill : fills) {
    for (int32_t group : {0, 32, 64, 128}) {
      for (int32_t x_rows : {1, 4, 13}) I8Case(k_, 32, 640, group, x_rows, fill).expect_all("extreme");
    }
  }
}

TEST_P(CpuKernels, MatmulI8RowDoesNotDependOnCompany) {
  I8Case c(k_, 32, 700, 0, 3 * k_.gemm_rows, any_byte);
  std::vector<float> together(c.run(0, 3 * k_.gemm_rows), c.run(0, 3 * k_.gemm_rows) + 3 * k_.gemm_rows * kStripRows);
  for (int32_t first : {0, k_.gemm_rows, 2 * k_.gemm_rows}) {
    for (int32_t n : {1, 2, k_.gemm_rows}) {
      const float* part = c.run(first, n);
      for (int32_t i = 0; i < n * kStripRows; ++i) {
        ASSERT_EQ(part[i], together[static_cast<size_t>(first * kStripRows + i)]);
      }
    }
  }
}

TEST_P(CpuKernels, MatmulFloat) {
  for (bool f16 : {false, true}) {
    for (int32_t cols : kSizes) {
      const int32_t rows = 6, x_rows = 7;
      const WeightShape shape{f16 ? DType::kF16 : DType::kF32, rows, cols, 0};
      AlignedBuffer memory, out_memory;
      auto* bytes = in<std::byte>(memory, shape.value_bytes());
      const auto values = floats(rows * cols), x = floats(x_rows * cols);
      for (int32_t i = 0; i < rows * cols; ++i) {
        std::byte* row = bytes + static_cast<size_t>(i / cols) * shape.row_bytes();
        const float v = values[static_cast<size_t>(i)];
        const uint16_t h = f32_to_f16(v);
        if (f16) std::memcpy(row + i % cols * 2, &h, 2);
        if (!f16) std::memcpy(row + i % cols * 4, &v, 4);
      }
      auto* out = in<float>(out_memory, x_rows * kStripRows);
      k_.matmul_float({bytes, shape.row_bytes(), rows, cols, f16, x.data(),
                       static_cast<size_t>(cols), x_rows, out, kStripRows});
      std::vector<float> alone(kStripRows);
      for (int32_t t = 0; t < x_rows; ++t) {
        const float* x_row = &x[static_cast<size_t>(t * cols)];
        k_.matmul_float({bytes, shape.row_bytes(), rows, cols, f16, x_row,
                         static_cast<size_t>(cols), 1, alone.data(), kStripRows});
        for (int32_t r = 0; r < rows; ++r) {
          double want = 0.0, magnitude = 0.0;
          for (int32_t c = 0; c < cols; ++c) {
            const float v = values[static_cast<size_t>(r * cols + c)];
            const double term = static_cast<double>(f16 ? f16_to_f32(f32_to_f16(v)) : v) * x_row[c];
            want += term;
            magnitude += std::fabs(term);
          }
          EXPECT_NEAR(out[t * kStripRows + r], want, magnitude * (cols + 1) * 0x1p-24);
          EXPECT_EQ(out[t * kStripRows + r], alone[static_cast<size_t>(r)]) << "batch changed it";
        }
      }
    }
  }
}

TEST_P(CpuKernels, SelfTestPasses) {
  const auto result = cpu_self_test(k_.isa);
  EXPECT_TRUE(result) << result.error().message;
}

}  // namespace
}  // namespace lamina::cpu
