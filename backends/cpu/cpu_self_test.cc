// SPDX-License-Identifier: Apache-2.0
// Every kernel of a table on small odd shapes against the formula it stands for. Runs at each start
// on the machine that will do the work.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backends/cpu/aligned_buffer.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/cpu_kernels.h"
#include "core/base/half.h"
#include "core/base/numeric.h"
#include "core/tensor/quantize.h"

namespace lamina {

namespace cpu {

namespace {

// Relative to the largest magnitude that goes into a result.
constexpr double kTolerance = 1e-5;

bool close(double got, double want, double scale) {
  return std::fabs(got - want) <= kTolerance * scale;  // false for NaN
}

class SelfTest {
 public:
  explicit SelfTest(const KernelTable& kernels) : k_(kernels), random_(7) {}

  // The name of the first kernel found wrong, or null.
  Result<const char*> run() {
    LAMINA_ASSIGN(memory_, AlignedBuffer::create(kMemory, "self-test"));
    if (!elementwise()) return "rms_norm, rope, gate_up_silu or matmul_add";
    for (int32_t group : {0, 32, 64, 128}) {
      for (int32_t cols : {33, 200, 577}) {
        if (!matmul_i8(group, cols)) return "matmul_i8";
      }
    }
    for (bool f16 : {false, true}) {
      if (!matmul_float(f16)) return "matmul_float";
    }
    for (KvFormat format : {KvFormat::kF32, KvFormat::kF16, KvFormat::kI8}) {
      if (!attention(format)) return "attention";
    }
    return nullptr;
  }

 private:
  static constexpr size_t kMemory = size_t{1} << 20;

  float unit() { return 2.0f * random_.next_unit() - 1.0f; }

  std::vector<float> floats(size_t n) {
    std::vector<float> out(n);
    for (float& v : out) v = unit();
    return out;
  }

  // Takes the next `n` values of the test's memory; `reset` starts over.
  template <typename T>
  T* take(size_t n) {
    T* p = memory_.as<T>(used_);
    used_ += round_up(n * sizeof(T), kRowAlignment);
    LAMINA_CHECK(used_ <= kMemory);
    return p;
  }
  void reset() { used_ = 0; }

  bool elementwise() {
    constexpr int n = 77;
    const auto x = floats(n), w = floats(n), b = floats(n);
    std::vector<float> y(n), out = b;
    k_.rms_norm(x.data(), w.data(), n, 1e-5f, y.data());
    double squares = 0.0;
    for (float v : x) squares += static_cast<double>(v) * v;
    bool good = true;
    for (size_t i = 0; i < n; ++i) {
      good &= close(y[i], x[i] / std::sqrt(squares / n + 1e-5) * w[i], 4.0);
    }
    k_.matmul_add(x.data(), n, w.data(), 1, n, out.data(), n);
    for (size_t i = 0; i < n; ++i) good &= close(out[i], b[i] + (x[i] + w[i]), 3.0);
    k_.gate_up_silu({x.data(), w.data(), n, nullptr, nullptr, 1, n, out.data(), n});
    for (size_t i = 0; i < n; ++i) good &= close(out[i], x[i] / (1 + std::exp(-x[i])) * w[i], 1.0);
    constexpr int half = n / 2;
    y = x;
    k_.rope(y.data(), w.data(), b.data(), half);
    for (size_t i = 0; i < half; ++i) {
      good &= close(y[i], x[i] * w[i] - x[i + half] * b[i], 2.0);
      good &= close(y[i + half], x[i + half] * w[i] + x[i] * b[i], 2.0);
    }
    return good;
  }

  bool matmul_i8(int32_t group, int32_t cols) {
    reset();
    const int32_t rows = 19, x_rows = k_.gemm_rows + 2;
    const WeightShape shape{DType::kI8, rows, cols, group};
    const int block = activation_block(shape);
    const size_t stride = shape.row_bytes();
    const size_t blocks = div_up(static_cast<size_t>(cols), static_cast<size_t>(block));
    auto* weights = take<int8_t>(rows * stride);
    for (size_t i = 0; i < rows * stride; ++i) {
      weights[i] = i % stride < static_cast<size_t>(cols)
                       ? static_cast<int8_t>(static_cast<int>(random_.next_u32() % 255) - 127)
                       : int8_t{0};
    }
    auto* placed = take<int8_t>(rows * stride);
    std::copy_n(weights, rows * stride, placed);
    if (k_.place_i8) k_.place_i8(placed, rows * stride);
    const auto scales = floats(shape.scale_bytes() / 4);
    const auto n_x = static_cast<size_t>(x_rows);
    auto* q = take<int8_t>(n_x * stride);
    const auto parts = static_cast<size_t>(k_.packed_parts);
    auto* packed = take<int8_t>((n_x + static_cast<size_t>(k_.gemm_rows)) * stride * parts);
    auto* sx = take<float>(n_x * blocks);
    auto* offsets = take<int32_t>(n_x * blocks);
    if (!quantize(q, sx, offsets, n_x, cols, block, stride, blocks)) return false;
    for (int32_t t = 0; t < x_rows; t += k_.gemm_rows) {
      const auto at = static_cast<size_t>(t) * stride;
      k_.pack_rows(q + at, stride, std::min(k_.gemm_rows, x_rows - t), stride, packed + at * parts);
    }
    auto* out = take<float>(n_x * kStripRows);
    void* scratch = take<std::byte>(k_.matmul_i8_scratch(stride));
    for (int32_t n : {1, 3, x_rows}) {
      k_.matmul_i8({placed, scales.data(), stride, rows, cols, block, group != 0,
                    {q, packed, sx, offsets, stride, blocks, n}, out, kStripRows, scratch});
      for (size_t t = 0; t < static_cast<size_t>(n); ++t) {
        for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
          const float want = product(weights + r * stride, q + t * stride, sx + t * blocks,
                                     scales.data() + r * shape.scales_per_row(), cols, block,
                                     group != 0);
          if (out[t * kStripRows + r] != want) return false;
        }
      }
    }
    return true;
  }

  bool quantize(int8_t* q, float* sx, int32_t* offsets, size_t rows, int32_t cols, int block,
                size_t stride, size_t blocks) {
    const auto n = static_cast<size_t>(cols);
    std::vector<int8_t> want_q(n);
    std::vector<float> want_sx(blocks);
    for (size_t t = 0; t < rows; ++t) {
      auto x = floats(n);
      if (t == 1) x.assign(n, 0.0f);
      k_.quantize_row(x.data(), cols, block, q + t * stride, sx + t * blocks, offsets + t * blocks);
      quantize_activations(x, block, want_q.data(), want_sx.data());
      if (!std::equal(want_q.begin(), want_q.end(), q + t * stride)) return false;
      if (!std::equal(want_sx.begin(), want_sx.end(), sx + t * blocks)) return false;
    }
    return true;
  }

  static float product(const int8_t* w, const int8_t* x, const float* sx, const float* sw,
                       int32_t cols, int block, bool grouped) {
    float sum = 0.0f;
    for (int32_t start = 0, b = 0; start < cols; start += block, ++b) {
      int32_t acc = 0;
      for (int32_t c = start; c < std::min(cols, start + block); ++c) acc += w[c] * x[c];
      sum = std::fma(grouped ? sx[b] * sw[b] : sx[b], static_cast<float>(acc), sum);
    }
    return grouped ? sum : sum * sw[0];
  }

  bool matmul_float(bool f16) {
    reset();
    const int32_t rows = 7, cols = 67, x_rows = 6;
    const WeightShape shape{f16 ? DType::kF16 : DType::kF32, rows, cols, 0};
    const auto values = floats(static_cast<size_t>(rows * cols));
    auto* weights = take<std::byte>(shape.value_bytes());
    std::fill_n(weights, shape.value_bytes(), std::byte{0});
    for (size_t i = 0; i < values.size(); ++i) {
      void* row = weights + i / cols * shape.row_bytes();
      if (f16) static_cast<uint16_t*>(row)[i % cols] = f32_to_f16(values[i]);
      if (!f16) static_cast<float*>(row)[i % cols] = values[i];
    }
    const auto x = floats(static_cast<size_t>(x_rows * cols));
    auto* out = take<float>(static_cast<size_t>(x_rows) * kStripRows);
    k_.matmul_float({weights, shape.row_bytes(), rows, cols, f16, x.data(), cols, x_rows, out,
                     kStripRows});
    for (size_t t = 0; t < x_rows; ++t) {
      for (size_t r = 0; r < rows; ++r) {
        double want = 0.0;
        for (size_t c = 0; c < cols; ++c) {
          const float v = values[r * cols + c];
          want += static_cast<double>(f16 ? f16_to_f32(f32_to_f16(v)) : v) * x[t * cols + c];
        }
        if (!close(out[t * kStripRows + r], want, cols)) return false;
      }
    }
    return true;
  }

  bool attention(KvFormat format) {
    reset();
    constexpr int32_t d = 20, width = 32, positions = 70, rows = 2, group = 3;
    constexpr size_t block_bytes = (d + width) * kPagePositions * 4 + 512;
    std::byte* memory = take<std::byte>(2 * block_bytes);
    const auto keys = floats(positions * d), values = floats(positions * d);
    for (int32_t p = 0; p < positions; ++p) {
      const KvBlock b{memory + (1 - p / kPagePositions) * block_bytes, d, width, format};
      k_.key_write(b, p % kPagePositions, &keys[static_cast<size_t>(p * d)]);
      k_.value_write(b, p % kPagePositions, &values[static_cast<size_t>(p * d)]);
    }
    const int32_t pages[2] = {1, 0};
    const auto q = floats(rows * group * d);
    std::vector<float> out(q.size());
    Attention a{q.data(), out.data(), group * d, group * d, rows, group, positions - 1, 0.5f,
                {memory, d, width, format}, block_bytes, pages,
                take<float>(k_.attention_scratch(rows * group, d))};
    auto* result = take<float>(rows * group * k_.attention_record(d));
    k_.attention_begin(a);
    k_.attention_chunk(a, 0, result);
    k_.attention_finish(a, result);
    const double tolerance = format == KvFormat::kF32 ? 1e-5 : format == KvFormat::kF16 ? 2e-3 : 3e-2;
    for (size_t pair = 0; pair < rows * group; ++pair) {
      const auto want = softmax_sum(&q[pair * d], keys, values, positions - 1 + pair / group, d);
      for (size_t i = 0; i < d; ++i) {
        if (!(std::fabs(out[pair * d + i] - want[i]) <= tolerance)) return false;
      }
    }
    return true;
  }

  static std::vector<double> softmax_sum(const float* q, const std::vector<float>& keys,
                                         const std::vector<float>& values, size_t n, size_t d) {
    std::vector<double> sum(d);
    double total = 0.0;
    for (size_t p = 0; p < n; ++p) {
      double score = 0.0;
      for (size_t i = 0; i < d; ++i) score += static_cast<double>(q[i]) * keys[p * d + i];
      const double weight = std::exp(0.5 * score);
      total += weight;
      for (size_t i = 0; i < d; ++i) sum[i] += weight * values[p * d + i];
    }
    for (double& v : sum) v /= total;
    return sum;
  }

  const KernelTable& k_;
  Random random_;
  AlignedBuffer memory_;
  size_t used_ = 0;
};

}  // namespace

}  // namespace cpu

Result<void> cpu_self_test(const std::string& isa) {
  LAMINA_ASSIGN(const cpu::KernelTable* kernels, cpu::choose_kernels(isa));
  LAMINA_ASSIGN(const char* wrong, cpu::SelfTest(*kernels).run());
  if (!wrong) return {};
  return make_error(Code::kDevice, "CPU self-test: %s of %s gives wrong results on this machine",
                    wrong, kernels->isa);
}

}  // namespace lamina
