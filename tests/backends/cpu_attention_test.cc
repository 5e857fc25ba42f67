// SPDX-License-Identifier: Apache-2.0
// Attention of every instruction set against a softmax in double precision over what the cache
// really holds (after rounding to f16 or int8), so only the kernel's own arithmetic is judged.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backends/cpu/aligned_buffer.h"
#include "backends/cpu/cpu_kernels.h"
#include "core/base/half.h"
#include "core/base/numeric.h"

namespace lamina::cpu {
namespace {

constexpr int32_t kChunkPositions = kChunkPages * kPagePositions;

struct Shape {
  int32_t head_dim, group, rows, first_length;
};

class CpuAttention : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  // A sequence of `n` positions in scattered pages of one head.
  void make(int32_t head_dim, int32_t n, KvFormat format) {
    d_ = head_dim;
    width_ = static_cast<int32_t>(round_up(static_cast<size_t>(d_), kVectorFloats));
    format_ = format;
    const int32_t n_pages = (n + kPagePositions - 1) / kPagePositions;
    const size_t element = format == KvFormat::kF32 ? 4 : format == KvFormat::kF16 ? 2 : 1;
    stride_ = static_cast<size_t>((d_ + width_) * kPagePositions) * element +
              (format == KvFormat::kI8 ? 512 : 0);
    memory_ = *AlignedBuffer::create(static_cast<size_t>(n_pages) * stride_, "pages");
    pages_.clear();
    for (int32_t i = 0; i < n_pages; ++i) pages_.push_back(n_pages - 1 - i);
    keys_.clear();
    values_.clear();
    for (int32_t p = 0; p < n; ++p) {
      std::vector<float> key = floats(d_, 2.0f), value = floats(d_, 1.0f);
      k_.key_write(block(p), p % kPagePositions, key.data());
      k_.value_write(block(p), p % kPagePositions, value.data());
      store(key, keys_);
      store(value, values_);
    }
  }

  KvBlock block(int32_t position) const {
    const auto page = static_cast<size_t>(pages_[static_cast<size_t>(position / kPagePositions)]);
    return {memory_.data() + page * stride_, d_, width_, format_};
  }

  std::vector<float> floats(int32_t n, float scale) {
    std::vector<float> out(static_cast<size_t>(n));
    for (float& v : out) v = (2.0f * random_.next_unit() - 1.0f) * scale;
    return out;
  }

  // What the cache keeps of a vector.
  void store(const std::vector<float>& x, std::vector<float>& to) const {
    float largest = 0.0f;
    for (float v : x) largest = std::max(largest, std::fabs(v));
    const float scale = largest / 127.0f;
    for (float v : x) {
      if (format_ == KvFormat::kF16) v = f16_to_f32(f32_to_f16(v));
      if (format_ == KvFormat::kI8) v = scale * std::nearbyint(v * (127.0f / largest));
      to.push_back(v);
    }
  }

  Attention task(const Shape& s, const float* q, float* out) {
    scratch_ = *AlignedBuffer::create(k_.attention_scratch(s.rows * s.group, d_) * 4, "scratch");
    const auto stride = static_cast<size_t>(s.group * d_);
    return {q, out, stride, stride, s.rows, s.group, s.first_length,
            1.0f / std::sqrt(static_cast<float>(d_)), {memory_.data(), d_, width_, format_},
            stride_, pages_.data(), scratch_.as<float>()};
  }

  std::vector<float> run(const Shape& s, const std::vector<float>& q) {
    std::vector<float> out(q.size());
    const Attention a = task(s, q.data(), out.data());
    const size_t record = k_.attention_record(d_) * static_cast<size_t>(s.rows * s.group);
    const auto total = *AlignedBuffer::create(record * 4, "total");
    const auto later = *AlignedBuffer::create(record * 4, "later");
    k_.attention_begin(a);
    k_.attention_chunk(a, 0, total.as<float>());
    for (int32_t c = 1; c * kChunkPositions < s.first_length + s.rows - 1; ++c) {
      k_.attention_chunk(a, c, later.as<float>());
      k_.attention_merge(a, later.as<float>(), total.as<float>());
    }
    k_.attention_finish(a, total.as<float>());
    return out;
  }

  std::vector<double> want(const float* q, int32_t n) const {
    const auto d = static_cast<size_t>(d_);
    std::vector<double> scores, sum(d, 0.0);
    double largest = -std::numeric_limits<double>::infinity(), total = 0.0;
    for (size_t p = 0; p < static_cast<size_t>(n); ++p) {
      double score = 0.0;
      for (size_t i = 0; i < d; ++i) score += static_cast<double>(q[i]) * keys_[p * d + i];
      scores.push_back(score / std::sqrt(static_cast<double>(d)));
      largest = std::max(largest, scores.back());
    }
    for (size_t p = 0; p < scores.size(); ++p) {
      const double weight = std::exp(scores[p] - largest);
      total += weight;
      for (size_t i = 0; i < d; ++i) sum[i] += weight * values_[p * d + i];
    }
    for (double& v : sum) v /= total;
    return sum;
  }

  void expect_close(const Shape& s, const std::vector<float>& q, const std::vector<float>& out) {
    // A score of magnitude m carries an error of some d * 2^-24 * m; weights sum to one.
    const double tolerance = 4.0 * 2.0 * std::sqrt(d_) * (d_ + 16) * 0x1p-24 + 2e-6;
    for (int32_t pair = 0; pair < s.rows * s.group; ++pair) {
      const float* row = &q[static_cast<size_t>(pair * d_)];
      const auto expected = want(row, s.first_length + pair / s.group);
      for (int32_t i = 0; i < d_; ++i) {
        ASSERT_NEAR(out[static_cast<size_t>(pair * d_ + i)], expected[static_cast<size_t>(i)], tolerance)
            << "head_dim " << d_ << " group " << s.group << " rows " << s.rows << " length "
            << s.first_length << " format " << static_cast<int>(format_) << " pair " << pair;
      }
    }
  }

  const KernelTable& k_ = *GetParam();
  Random random_{23};
  int32_t d_ = 0, width_ = 0;
  KvFormat format_ = KvFormat::kF16;
  size_t stride_ = 0;
  AlignedBuffer memory_, scratch_;
  std::vector<int32_t> pages_;
  std::vector<float> keys_, values_;
};

INSTANTIATE_TEST_SUITE_P(Isa, CpuAttention, ::testing::ValuesIn(available_kernels()),
                         [](const auto& made) { return std::string(made.param->isa); });

TEST_P(CpuAttention, MatchesSoftmaxInDouble) {
  const Shape shapes[] = {{16, 1, 1, 1},   {32, 3, 1, 63},  {64, 8, 1, 64},  {64, 8, 5, 60},
                          {80, 2, 3, 129}, {96, 1, 9, 250}, {128, 4, 2, 64}, {2, 1, 1, 5},
                          {20, 5, 7, 100}, {64, 71, 1, 65}, {64, 1, 64, 1},  {64, 4, 16, 700}};
  for (const Shape& s : shapes) {
    for (KvFormat format : {KvFormat::kF32, KvFormat::kF16, KvFormat::kI8}) {
      make(s.head_dim, s.first_length + s.rows - 1, format);
      const auto q = floats(s.rows * s.group * d_, 2.0f);
      expect_close(s, q, run(s, q));
    }
  }
}

TEST_P(CpuAttention, RowDoesNotDependOnRowsBesideIt) {
  const Shape all{64, 3, 20, kChunkPositions - 10};
  make(all.head_dim, all.first_length + all.rows - 1, KvFormat::kF16);
  const auto q = floats(all.rows * all.group * d_, 2.0f);
  const auto together = run(all, q);
  for (int32_t row = 0; row < all.rows; ++row) {
    const auto at = static_cast<std::ptrdiff_t>(row * all.group * d_);
    const auto n = static_cast<std::ptrdiff_t>(all.group * d_);
    const auto alone = run({64, 3, 1, all.first_length + row}, {q.begin() + at, q.begin() + at + n});
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + at)) << "row " << row;
  }
}

TEST_P(CpuAttention, PositionsNotSeenDoNotMatter) {
  for (KvFormat format : {KvFormat::kF32, KvFormat::kF16}) {
    make(32, 40, format);
    const auto q = floats(2 * d_, 1.0f);
    const auto before = run({32, 2, 1, 7}, q);
    const std::vector<float> key(32, std::numeric_limits<float>::quiet_NaN()), value(32, 60000.0f);
    for (int32_t p = 7; p < kPagePositions; ++p) {
      k_.key_write(block(0), p, key.data());
      k_.value_write(block(0), p, value.data());
    }
    EXPECT_EQ(run({32, 2, 1, 7}, q), before);
  }
}

TEST_P(CpuAttention, LargeScoresAndSharpSoftmax) {
  make(16, 300, KvFormat::kF32);
  auto q = floats(16, 2.0f);
  for (float& v : q) v *= 400.0f;  // scores in the thousands: one position takes it all
  const auto out = run({16, 1, 1, 300}, q);
  const auto expected = want(q.data(), 300);
  for (size_t i = 0; i < 16; ++i) EXPECT_NEAR(out[i], expected[i], 2e-3);
}

TEST_P(CpuAttention, StoredHalvesAreFinite) {
  make(16, 2, KvFormat::kF16);
  const std::vector<float> huge(16, 1e30f);
  k_.value_write(block(0), 1, huge.data());
  const auto out = run({16, 1, 1, 2}, floats(16, 1.0f));
  for (float v : out) EXPECT_TRUE(std::isfinite(v));
}

}  // namespace
}  // namespace lamina::cpu
