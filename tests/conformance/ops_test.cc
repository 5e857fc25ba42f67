// SPDX-License-Identifier: Apache-2.0
// Every backend against the reference, op by op, on odd sizes, in every precision.
//
// Tolerances, relative to the RMS of the output. f32 arithmetic in another order: sums of n terms
// differ by about sqrt(n) * 2^-24, n < 4096 here, so 1e-5 leaves a factor of two. Weights in f16
// are the same numbers on both sides. int8 products are exact by contract; what differs comes from
// activations that earlier f32 steps left on the two sides of a rounding border: one step of 127,
// times a weight, in few of n terms: 2e-2 is generous, and the plain matmul tests below, whose
// inputs are equal to the bit, hold int8 to 1e-6.
#include <gtest/gtest.h>

#include <algorithm>

#include "backends/reference/reference_backend.h"
#include "tests/conformance/probe.h"
#include "tests/support/engines.h"

namespace lamina {
namespace {

using test::Probe;

struct Precision {
  DType dtype;
  int32_t group;
};

struct Case {
  std::string isa;
  Precision precision;
};

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  const Case& c = info.param;
  std::string name = test::plain_name(c.isa) + "_" + std::string(dtype_name(c.precision.dtype));
  if (c.precision.group) name += "_g" + std::to_string(c.precision.group);
  return name;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  std::vector<std::string> engines = cpu_isas_available();
  const auto gpu = test::vulkan_engines();
  engines.insert(engines.end(), gpu.begin(), gpu.end());
  for (const std::string& isa : engines) {
    for (Precision p : {Precision{DType::kF32, 0}, {DType::kF16, 0}, {DType::kI8, 0},
                        {DType::kI8, 32}, {DType::kI8, 64}, {DType::kI8, 128}}) {
      // Variants of an engine differ in their int8 products and in how rows are made ready.
      const bool plain = isa.find(':') == std::string::npos && isa != test::kNoVulkan;
      if (!plain && (p.dtype != DType::kI8 || p.group != 0)) continue;
      cases.push_back({isa, p});
    }
  }
  return cases;
}

ModelConfig config_of(int32_t hidden, int32_t intermediate, int32_t heads, int32_t kv_heads,
                      int32_t head_dim) {
  ModelConfig c = test::small_config();
  c.hidden_size = hidden;
  c.intermediate_size = intermediate;
  c.n_layers = 1;
  c.n_heads = heads;
  c.n_kv_heads = kv_heads;
  c.head_dim = head_dim;
  return c;
}

// Runs the probe on the reference once and on the CPU with 1 and 2 threads.
void compare_with_reference(const Probe& probe, std::span<const Batch> batches, double tolerance,
                            KvDType kv, const std::string& isa) {
  auto reference = make_reference_backend();
  const auto want = probe.run(*reference, batches, kv);
  ASSERT_TRUE(want) << want.error().message;
  std::vector<float> first;
  for (int threads : {1, 2}) {
    auto backend = test::make_engine_backend(isa, threads);
    ASSERT_TRUE(backend) << backend.error().message;
    const auto got = probe.run(**backend, batches, kv);
    ASSERT_TRUE(got) << got.error().message;
    ASSERT_EQ(got->size(), want->size());
    const test::Difference d = test::difference(*got, *want);
    EXPECT_LE(d.worst, tolerance) << threads << " threads: worst at " << d.at << " of "
                                  << want->size() << ": got " << (*got)[d.at] << ", want "
                                  << (*want)[d.at];
    if (first.empty()) first = *got;
    EXPECT_EQ(first, *got) << "thread count changed the result";
  }
}

class Ops : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { LAMINA_SKIP_WITHOUT(GetParam().isa); }

  WeightShape shape(int32_t rows, int32_t cols) const {
    return {GetParam().precision.dtype, rows, cols, GetParam().precision.group};
  }

  void compare(const Probe& probe, std::span<const Batch> batches, double tolerance) {
    compare_with_reference(probe, batches, tolerance, KvDType::kF32, GetParam().isa);
  }

  static constexpr double kF32Order = 1e-5;
  double after_f32_steps() const {
    return GetParam().precision.dtype == DType::kI8 ? 2e-2 : kF32Order;
  }
};

const std::vector<int32_t> kPages = {3, 0, 6, 2};

TEST_P(Ops, embed) {
  for (int32_t hidden : {32, 80, 129}) {
    Probe probe(config_of(hidden, 64, 4, 2, 32));
    probe.embed(shape(0, 0));
    probe.read_out(Buffer::kHidden);
    const Batch batches[] = {test::rows_of(kPages, 0, 9, 211)};
    compare(probe, batches, 1e-6);
  }
}

TEST_P(Ops, rms_norm) {
  for (int32_t hidden : {31, 80, 257}) {
    Probe probe(config_of(hidden, 64, 4, 2, 32));
    probe.embed();
    const auto norm = probe.random_weight("norm", {DType::kF32, 1, hidden, 0}, 1.0f);
    probe.op(OpKind::kRmsNorm, Buffer::kHidden, Buffer::kNormed, norm);
    probe.read_out(Buffer::kNormed);
    const Batch batches[] = {test::rows_of(kPages, 0, 1, 211), test::rows_of(kPages, 1, 17, 211)};
    compare(probe, batches, kF32Order);
  }
}

TEST_P(Ops, matmul_add) {
  for (int32_t hidden : {33, 128, 259}) {
    ModelConfig config = config_of(hidden, hidden, 1, 1, 32);
    Probe probe(config);
    probe.graph.buffer_width[static_cast<size_t>(Buffer::kNormed)] = hidden;
    probe.embed();
    const auto w = probe.random_weight("w", shape(hidden, hidden), 0.3f);
    const auto bias = probe.random_weight("bias", {DType::kF32, 1, hidden, 0}, 1.0f);
    // hidden += hidden x w: the input is the embedding itself, equal to the bit on both sides.
    const auto ones = probe.add_weight(
        "ones", probe.pool.store({DType::kF32, 1, hidden, 0},
                                 std::vector<float>(static_cast<size_t>(hidden), 1.0f)));
    probe.op(OpKind::kRmsNorm, Buffer::kHidden, Buffer::kNormed, ones);
    probe.op(OpKind::kMatmulAdd, Buffer::kNormed, Buffer::kHidden, w, bias);
    probe.read_out(Buffer::kHidden);
    const Batch batches[] = {test::rows_of(kPages, 0, 1, 211), test::rows_of(kPages, 1, 3, 211),
                             test::rows_of(kPages, 4, 67, 211), test::rows_of(kPages, 71, 150, 211)};
    compare(probe, batches, after_f32_steps());
  }
}

TEST_P(Ops, gate_up_silu) {
  for (int32_t intermediate : {31, 64, 172}) {
    Probe probe(config_of(96, intermediate, 4, 2, 32));
    probe.embed();
    const auto w = probe.random_weight("w", shape(2 * intermediate, 96), 0.3f);
    const auto bias = probe.random_weight("bias", {DType::kF32, 1, 2 * intermediate, 0}, 1.0f);
    probe.op(OpKind::kGateUpSilu, Buffer::kHidden, Buffer::kGated, w, bias);
    probe.read_out(Buffer::kGated);
    const Batch batches[] = {test::rows_of(kPages, 0, 1, 211), test::rows_of(kPages, 1, 2, 211),
                             test::rows_of(kPages, 3, 7, 211), test::rows_of(kPages, 10, 35, 211)};
    compare(probe, batches, kF32Order);
  }
}

TEST_P(Ops, logits) {
  for (int32_t vocab : {1, 33, 211}) {
    Probe probe(config_of(257, 64, 4, 2, 32));
    probe.embed();
    probe.graph.buffer_width[static_cast<size_t>(Buffer::kLogits)] = vocab;
    probe.graph.ops.push_back({OpKind::kLogits, -1, Buffer::kHidden, Buffer::kLogits,
                               probe.random_weight("w", shape(vocab, 257), 0.3f), -1, true});
    Batch batches[] = {test::rows_of(kPages, 0, 1, 211), test::rows_of(kPages, 1, 12, 211)};
    compare(probe, batches, kF32Order);
  }
}

TEST_P(Ops, qkv_rope) {
  struct Heads { int32_t heads, kv_heads, dim; };
  for (Heads h : {Heads{1, 1, 16}, {4, 2, 32}, {6, 3, 20}, {5, 1, 80}}) {
    ModelConfig config = config_of(96, 64, h.heads, h.kv_heads, h.dim);
    Probe probe(config);
    probe.embed();
    const auto w = probe.random_weight("w", shape(config.qkv_width(), 96), 0.3f);
    const auto bias = probe.random_weight("bias", {DType::kF32, 1, config.qkv_width(), 0}, 1.0f);
    probe.op(OpKind::kQkvRope, Buffer::kHidden, Buffer::kQuery, w, bias);
    probe.read_out(Buffer::kQuery);
    const Batch batches[] = {test::rows_of(kPages, 0, 1, 211), test::rows_of(kPages, 1, 7, 211),
                             test::rows_of(kPages, 8, 20, 211)};
    compare(probe, batches, kF32Order);
  }
}

struct Heads { int32_t heads, kv_heads, dim; };
constexpr Heads kAttentionHeads[] = {{1, 1, 16}, {8, 1, 64}, {6, 3, 20}, {4, 4, 128}, {6, 2, 80}};

// From one row to pages that rows cross the borders of.
std::vector<Batch> attention_batches() {
  std::vector<Batch> batches;
  for (auto [start, n] : {std::pair{0, 1}, {1, 62}, {63, 1}, {64, 1}, {65, 100}}) {
    batches.push_back(test::rows_of(kPages, start, n, 211));
  }
  return batches;
}

// K and V are written by qkv_rope, so this probes both ops.
TEST_P(Ops, attention) {
  if (GetParam().precision.dtype != DType::kF32) return;  // attention knows nothing of weights
  for (Heads h : kAttentionHeads) {
    ModelConfig config = config_of(96, 64, h.heads, h.kv_heads, h.dim);
    Probe probe(config);
    probe.embed();
    const auto w = probe.random_weight("w", shape(config.qkv_width(), 96), 0.3f);
    probe.op(OpKind::kQkvRope, Buffer::kHidden, Buffer::kQuery, w);
    probe.op(OpKind::kAttention, Buffer::kQuery, Buffer::kMixed, -1);
    probe.read_out(Buffer::kMixed);
    compare(probe, attention_batches(), 3e-5);
  }
}

class StoredKv : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { LAMINA_SKIP_WITHOUT(GetParam()); }
};

// A key that is not the same to the bit may be stored as another f16 or int8, and then a score moves
// far more than f32 order explains (2.5e-3 of the output was seen). So here q, k and v are multiples
// of 1/32 below 64, which f32 sums in any order and f16 give exactly: position 0 turns nothing.
Probe exact_probe(Heads h) {
  const ModelConfig config = config_of(96, 64, h.heads, h.kv_heads, h.dim);
  Probe probe(config);
  probe.embed_values(probe.whole_numbers(config.vocab_size * 96, 4, 0.25f));
  const WeightShape qkv{DType::kF32, config.qkv_width(), 96, 0};
  const auto w = probe.add_weight(
      "w", probe.pool.store(qkv, probe.whole_numbers(qkv.rows * qkv.cols, 2, 0.125f)));
  probe.op(OpKind::kQkvRope, Buffer::kHidden, Buffer::kQuery, w);
  probe.op(OpKind::kAttention, Buffer::kQuery, Buffer::kMixed, -1);
  probe.read_out(Buffer::kMixed);
  return probe;
}

std::vector<Batch> exact_batches() {
  std::vector<Batch> batches = attention_batches();
  for (Batch& batch : batches) {
    for (Row& row : batch.rows) row.position = 0;
  }
  return batches;
}

TEST_P(StoredKv, attention) {
  for (Heads h : kAttentionHeads) {
    for (KvDType kv : {KvDType::kF32, KvDType::kF16, KvDType::kI8}) {
      compare_with_reference(exact_probe(h), exact_batches(), 3e-5, kv, GetParam());
    }
  }
}

std::vector<uint16_t> exported(Backend& backend, std::span<const int32_t> pages, int32_t n, size_t size) {
  std::vector<uint16_t> kv(size);
  EXPECT_TRUE(backend.export_kv(pages, n, kv));
  std::ranges::replace(kv, uint16_t{0x8000}, uint16_t{0});  // bytes know no negative zero
  return kv;
}

// Whoever writes a vector to a cache, a step or an import, it is stored as the reference stores it.
TEST_P(StoredKv, SameInTheCacheToTheBit) {
  constexpr int32_t kPositions = 165;
  const std::vector<int32_t> elsewhere = {5, 1, 7};
  for (Heads h : {kAttentionHeads[2], kAttentionHeads[4]}) {
    for (KvDType kv : {KvDType::kF32, KvDType::kF16, KvDType::kI8}) {
      const Probe probe = exact_probe(h);
      std::vector<uint16_t> computed[2], imported[2];
      const size_t n = kv_export_size(probe.graph.config, kPositions);
      std::vector<uint16_t> noise(n);
      Random random(3);
      for (uint16_t& v : noise) v = f32_to_f16(random.next_unit() * 2.0f - 1.0f);
      for (const bool oracle : {false, true}) {
        const auto backend = oracle ? make_reference_backend()
                                    : std::move(test::make_engine_backend(GetParam(), 1)).value();
        ASSERT_TRUE(probe.run(*backend, exact_batches(), kv));
        computed[oracle] = exported(*backend, kPages, kPositions, n);
        ASSERT_TRUE(backend->import_kv(elsewhere, kPositions, noise));
        imported[oracle] = exported(*backend, elsewhere, kPositions, n);
      }
      EXPECT_EQ(computed[0], computed[1]) << kv_dtype_name(kv) << " " << h.dim;
      EXPECT_EQ(imported[0], imported[1]) << kv_dtype_name(kv) << " " << h.dim;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Ops, ::testing::ValuesIn(all_cases()), case_name);
std::string engine_name(const ::testing::TestParamInfo<std::string>& info) {
  return test::plain_name(info.param);
}
INSTANTIATE_TEST_SUITE_P(Cpu, StoredKv, ::testing::ValuesIn(cpu_isas_available()), engine_name);
INSTANTIATE_TEST_SUITE_P(Gpu, StoredKv, ::testing::ValuesIn(test::vulkan_engines(1)), engine_name);

}  // namespace
}  // namespace lamina
