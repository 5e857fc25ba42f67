// SPDX-License-Identifier: Apache-2.0
// The CPU backend as a whole on a small random model. Op by op it is held to the reference in
// tests/conformance; here: that results depend on nothing they should not, and what is refused.
#include "backends/cpu/cpu_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "backends/cpu/cpu_kernels.h"
#include "backends/reference/reference_backend.h"
#include "core/engine/llama.h"
#include "tests/support/random_model.h"

namespace lamina {
namespace {

constexpr int32_t kPages = 24, kMaxRows = 160, kMaxLogits = 160;

class CpuBackendTest : public ::testing::Test {
 protected:
  std::unique_ptr<CpuBackend> backend(int threads, const std::string& isa = "",
                                      KvDType kv = KvDType::kF16, int32_t max_rows = kMaxRows) {
    auto made = make_cpu_backend({threads, isa});
    EXPECT_TRUE(made) << made.error().message;
    prepare(**made, kv, max_rows);
    return std::move(*made);
  }

  void prepare(Backend& b, KvDType kv = KvDType::kF16, int32_t max_rows = kMaxRows) {
    const auto graph = build_llama(model_->config, model_->weights);
    ASSERT_TRUE(graph) << graph.error().message;
    const auto done = b.prepare(*graph, model_->weights, {kPages, kv},
                                rope_frequencies(model_->config, 512), max_rows, kMaxLogits);
    ASSERT_TRUE(done) << done.error().message;
  }

  static Row row(int32_t sequence, int32_t at) {
    return {(sequence * 31 + at * 7 + 3) % 211, at, at, sequence, true};
  }

  // The batch borrows `tables`.
  static Batch batch(std::initializer_list<std::pair<int32_t, int32_t>> spans,
                     const std::vector<std::vector<int32_t>>& tables) {
    Batch b;
    for (const auto& pages : tables) b.sequences.push_back({pages});
    int32_t sequence = 0;
    for (const auto& [begin, end] : spans) {
      for (int32_t at = begin; at < end; ++at) b.rows.push_back(row(sequence, at));
      ++sequence;
    }
    return b;
  }

  static std::vector<float> step(Backend& b, const Batch& work) {
    const auto done = b.submit(work);
    EXPECT_TRUE(done) << done.error().message;
    const auto out = b.read();
    EXPECT_TRUE(out);
    return {out->logits.begin(), out->logits.end()};
  }

  static std::vector<float> tail(const std::vector<float>& all, size_t rows) {
    return {all.end() - static_cast<std::ptrdiff_t>(rows * 211), all.end()};
  }

  static constexpr std::initializer_list<std::pair<int32_t, int32_t>> kTwo = {{0, 70}, {0, 65}};
  const std::vector<std::vector<int32_t>> tables_ = {{5, 0, 9, 2, 7, 8, 10, 11}, {3, 1, 4, 6, 12, 13, 14, 15}};
  std::unique_ptr<test::RandomModel> model_ = test::random_model(test::small_config(), DType::kI8);
};

TEST_F(CpuBackendTest, SameBitsForAnyNumberOfThreads) {
  for (const std::string& isa : cpu_isas_available()) {
    const Batch prefill = batch(kTwo, tables_), decode = batch({{70, 71}, {65, 66}}, tables_);
    std::vector<float> first;
    for (int threads : {1, 2, 3}) {
      auto b = backend(threads, isa);
      auto logits = step(*b, prefill);
      const auto more = step(*b, decode);
      logits.insert(logits.end(), more.begin(), more.end());
      if (first.empty()) first = logits;
      EXPECT_EQ(first, logits) << isa << ", " << threads << " threads";
    }
  }
}

// Two chunks of a prompt, each layer over both before the next one.
TEST_F(CpuBackendTest, LayerByLayerIsTheSameBits) {
  const std::vector<std::vector<int32_t>> tables{{0, 1, 2}};
  const Batch first = batch({{0, 100}}, tables), second = batch({{100, 130}}, tables);
  auto whole = backend(2), parts = backend(2);
  const std::vector<float> want_first = step(*whole, first), want = step(*whole, second);
  const auto hidden = static_cast<size_t>(model_->config.hidden_size);
  std::vector<float> x1(first.rows.size() * hidden), x2(second.rows.size() * hidden);
  const int32_t n_layers = model_->config.n_layers;
  ASSERT_GE(n_layers, 2);
  for (int32_t layer = 0; layer < n_layers; ++layer) {
    ASSERT_TRUE(parts->submit_layers(first, layer, layer + 1, x1));
    ASSERT_TRUE(parts->submit_layers(second, layer, layer + 1, x2));
  }
  const auto logits_of = [&](const Batch& work, std::span<float> x) {
    EXPECT_TRUE(parts->submit_layers(work, n_layers, n_layers + 1, x));
    const auto out = parts->read();
    EXPECT_TRUE(out);
    return std::vector<float>(out->logits.begin(), out->logits.end());
  };
  EXPECT_EQ(logits_of(first, x1), want_first);
  EXPECT_EQ(logits_of(second, x2), want);
  ASSERT_TRUE(parts->submit_layers(second, 0, n_layers + 1, x2));
  const auto again = parts->read();
  ASSERT_TRUE(again);
  EXPECT_EQ(std::vector<float>(again->logits.begin(), again->logits.end()), want);
  Batch bad = second;
  bad.rows[0].token = -1;
  EXPECT_EQ(parts->submit_layers(bad, 0, 1, x2).error().code, Code::kInvalidArgument);
}

TEST_F(CpuBackendTest, LongContextSameBitsWhenChunksAreSpread) {
  // One sequence and two kv heads on three threads: attention is split by chunks of pages.
  std::vector<int32_t> pages;
  for (int32_t p = 0; p < kPages; ++p) pages.push_back((p * 5) % kPages);
  std::vector<float> first;
  for (int threads : {1, 3}) {
    auto b = backend(threads);
    std::vector<float> last;
    for (int32_t at = 0; at < 1400; at += 140) last = tail(step(*b, batch({{at, at + 140}}, {pages})), 1);
    const auto decoded = step(*b, batch({{1400, 1401}}, {pages}));
    last.insert(last.end(), decoded.begin(), decoded.end());
    if (first.empty()) first = last;
    EXPECT_EQ(first, last) << threads << " threads";
  }
}

TEST_F(CpuBackendTest, ARowDoesNotDependOnItsCompany) {
  for (DType dtype : {DType::kI8, DType::kF16, DType::kF32}) {
    model_ = test::random_model(test::small_config(), dtype);
    auto together = backend(2);
    const auto both = step(*together, batch(kTwo, tables_));
    // One by one, then in uneven chunks: every prefix gives the same logits.
    auto single = backend(1);
    std::vector<float> alone;
    for (int32_t at = 0; at < 65; ++at) {
      const auto logits = step(*single, batch({{0, 0}, {at, at + 1}}, tables_));
      alone.insert(alone.end(), logits.begin(), logits.end());
    }
    EXPECT_EQ(tail(both, 65), alone) << dtype_name(dtype);
    auto chunked = backend(2);
    for (int32_t at : {0, 13, 26, 39, 52}) {
      alone = step(*chunked, batch({{0, 0}, {at, at + 13}}, tables_));
    }
    EXPECT_EQ(tail(both, 13), alone) << dtype_name(dtype);
  }
}

TEST_F(CpuBackendTest, MoreRowsThanASliceOfActivations) {
  model_->config.max_positions = 1024;
  auto b = backend(2, "", KvDType::kF16, 700);
  std::vector<int32_t> pages;
  for (int32_t p = 0; p < 12; ++p) pages.push_back(p);
  const std::vector<std::vector<int32_t>> table = {pages};
  Batch big = batch({{0, 700}}, table);
  for (size_t i = 0; i + 1 < big.rows.size(); ++i) big.rows[i].wants_logits = false;
  const auto whole = step(*b, big);
  auto c = backend(1);
  std::vector<float> last;
  for (int32_t at = 0; at < 700; at += 100) last = tail(step(*c, batch({{at, at + 100}}, table)), 1);
  EXPECT_EQ(whole, last);
}

TEST_F(CpuBackendTest, AgreesWithTheReference) {
  for (int32_t group : {0, 32}) {
    model_ = test::random_model(test::small_config(), DType::kI8, group);
    auto reference = make_reference_backend();
    prepare(*reference);
    const auto want = step(*reference, batch(kTwo, tables_));
    double power = 0.0;
    for (float v : want) power += static_cast<double>(v) * v;
    const double rms = std::sqrt(power / static_cast<double>(want.size()));
    for (const std::string& isa : cpu_isas_available()) {
      auto b = backend(2, isa);
      const auto got = step(*b, batch(kTwo, tables_));
      ASSERT_EQ(got.size(), want.size());
      double error = 0.0;
      for (size_t i = 0; i < got.size(); ++i) error += std::pow(got[i] - want[i], 2.0);
      // Rounding borders move single int8 activations by a step of 1/127 of their block.
      EXPECT_LE(std::sqrt(error / static_cast<double>(got.size())), 1e-2 * rms) << isa;
    }
  }
}

TEST_F(CpuBackendTest, KvMovesBetweenBackends) {
  auto source = backend(2);
  step(*source, batch(kTwo, tables_));
  std::vector<uint16_t> kv(kv_export_size(model_->config, 70));
  ASSERT_TRUE(source->export_kv(tables_[0], 70, kv));
  const auto want = step(*source, batch({{70, 71}}, tables_));
  for (int threads : {1, 2}) {
    auto target = backend(threads);
    const std::vector<std::vector<int32_t>> other = {{20, 21}, {}};
    ASSERT_TRUE(target->import_kv(other[0], 70, kv));
    EXPECT_EQ(step(*target, batch({{70, 71}}, other)), want);
    std::vector<uint16_t> again(kv.size());
    ASSERT_TRUE(target->export_kv(other[0], 70, again));
    EXPECT_EQ(again, kv);
  }
  auto reference = make_reference_backend();
  prepare(*reference);
  ASSERT_TRUE(reference->import_kv(tables_[0], 70, kv));
  std::vector<uint16_t> through(kv.size());
  ASSERT_TRUE(reference->export_kv(tables_[0], 70, through));
  EXPECT_EQ(through, kv);
}

TEST_F(CpuBackendTest, KvTypesStayClose) {
  auto exact = backend(1, "", KvDType::kF32);
  const auto want = step(*exact, batch(kTwo, tables_));
  double power = 0.0;
  for (float v : want) power += static_cast<double>(v) * v;
  for (const auto& [dtype, limit] : {std::pair{KvDType::kF16, 0.02}, {KvDType::kI8, 0.1}}) {
    auto b = backend(1, "", dtype);
    const auto got = step(*b, batch(kTwo, tables_));
    double error = 0.0;
    for (size_t i = 0; i < got.size(); ++i) error += std::pow(got[i] - want[i], 2.0);
    EXPECT_LE(std::sqrt(error / power), limit) << kv_dtype_name(dtype);
    EXPECT_GT(error, 0.0) << "the cache type had no effect";
    EXPECT_LT(b->memory().kv_bytes, exact->memory().kv_bytes);
  }
}

TEST_F(CpuBackendTest, ForcedIsaIsTheOneUsed) {
  const auto isas = cpu_isas_available();
  ASSERT_EQ(isas.back(), "scalar");
  for (const std::string& isa : isas) {
    auto b = backend(1, isa);
    EXPECT_THAT(b->info().device, ::testing::EndsWith(", 1 thread, " + isa));
    const auto table = cpu::choose_kernels(isa);
    ASSERT_TRUE(table);
    EXPECT_EQ((*table)->isa, isa);
  }
  const auto fastest = cpu::choose_kernels("");
  EXPECT_EQ((*fastest)->isa, isas.front());
}

TEST_F(CpuBackendTest, RefusesIsasItCannotRun) {
  const auto unknown = make_cpu_backend({1, "mmx"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kInvalidArgument);
  EXPECT_THAT(unknown.error().message, ::testing::HasSubstr("'mmx'"));
#if defined(__x86_64__)
  const auto foreign = make_cpu_backend({1, "neon"});
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, Code::kUnsupported);
#endif
  EXPECT_FALSE(make_cpu_backend({-1, ""}));
}

TEST_F(CpuBackendTest, RefusesImpossibleBatches) {
  auto b = backend(2);
  const std::vector<std::vector<int32_t>> table = {{0, 1}};
  const auto refused = [&](const char* what, auto change) {
    Batch work = batch({{0, 3}}, table);
    change(work);
    const auto done = b->submit(work);
    ASSERT_FALSE(done) << what;
    EXPECT_EQ(done.error().code, Code::kInvalidArgument) << what;
  };
  refused("token", [](Batch& w) { w.rows[1].token = 211; });
  refused("token", [](Batch& w) { w.rows[1].token = -1; });
  refused("position", [](Batch& w) { w.rows[0].position = -1; });
  refused("kv index", [](Batch& w) { w.rows[2].kv_index = 500; });
  refused("kv index", [](Batch& w) { w.rows[0].kv_index = -1; });
  refused("sequence", [](Batch& w) { w.rows[0].sequence = 1; });
  refused("rows", [](Batch& w) { w.rows.resize(kMaxRows + 1); });
  refused("no rows", [](Batch& w) { w.rows.clear(); });
  const std::vector<int32_t> outside = {kPages};
  refused("page", [&](Batch& w) { w.sequences[0].pages = outside; });
  step(*b, batch({{0, 3}}, {{0, 1}}));  // and works on
  std::vector<uint16_t> kv(kv_export_size(model_->config, 1));
  EXPECT_FALSE(b->export_kv(outside, 1, kv));
}

TEST_F(CpuBackendTest, RefusesWeightsItCannotUse) {
  model_ = test::random_model(test::small_config(), DType::kBF16);
  auto made = make_cpu_backend({1, ""});
  const auto graph = build_llama(model_->config, model_->weights);
  const auto done = (*made)->prepare(*graph, model_->weights, {kPages, KvDType::kF16},
                                     rope_frequencies(model_->config, 512), 8, 8);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kUnsupported);
  EXPECT_THAT(done.error().message, ::testing::HasSubstr("token_embedding"));
}

TEST_F(CpuBackendTest, BiasesAndUnevenHeads) {
  ModelConfig c = test::small_config();
  c.attention_bias = c.mlp_bias = true;
  c.n_heads = 6, c.n_kv_heads = 3, c.head_dim = 20;
  c.hidden_size = 97, c.intermediate_size = 61;
  model_ = test::random_model(c, DType::kF32);
  auto reference = make_reference_backend();
  prepare(*reference, KvDType::kF32);
  const auto want = step(*reference, batch(kTwo, tables_));
  for (const std::string& isa : cpu_isas_available()) {
    auto b = backend(3, isa, KvDType::kF32);
    const auto got = step(*b, batch(kTwo, tables_));
    ASSERT_EQ(got.size(), want.size());
    double error = 0.0, power = 0.0;
    for (size_t i = 0; i < got.size(); ++i) {
      error += std::pow(got[i] - want[i], 2.0);
      power += std::pow(want[i], 2.0);
    }
    EXPECT_LE(std::sqrt(error / power), 1e-5) << isa;
  }
}

TEST_F(CpuBackendTest, ProfileCountsOps) {
  auto b = backend(2);
  step(*b, batch({{0, 4}}, {{0, 1}}));
  for (const auto& entry : b->profile().entries()) EXPECT_EQ(entry.calls, 0u);
  b->set_profile(true);
  step(*b, batch({{4, 8}}, {{0, 1}}));
  const auto& matmul = b->profile().entries()[static_cast<size_t>(OpKind::kMatmulAdd)];
  EXPECT_EQ(matmul.calls, 4u);
  EXPECT_GT(matmul.seconds, 0.0);
  EXPECT_GT(matmul.weight_bytes, 0u);
}

}  // namespace
}  // namespace lamina
