// SPDX-License-Identifier: Apache-2.0
// Sessions and the driver, on the reference backend with a small random model.
#include "core/engine/engine.h"

#include <gtest/gtest.h>

#include "backends/reference/reference_backend.h"
#include "core/engine/llama.h"
#include "core/engine/sampler.h"
#include "tests/support/random_model.h"

namespace lamina {
namespace {

class EngineTest : public ::testing::Test {
 protected:
  std::unique_ptr<Engine> engine(int32_t context = 256, int32_t n_sequences = 3,
                                 int32_t max_rows = 40) {
    auto made = Engine::create(make_reference_backend(), model_->config, model_->weights,
                               {context, n_sequences, max_rows, 40, KvDType::kF32});
    EXPECT_TRUE(made) << made.error().message;
    return std::move(*made);
  }

  static std::vector<int32_t> prompt(int32_t n, int32_t salt = 0) {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < n; ++i) ids.push_back((i * 37 + salt * 11 + 5) % 211);
    return ids;
  }

  static AnswerOptions greedy(int32_t n) {
    AnswerOptions options;
    options.sampling.temperature = 0.0f;
    options.max_new_tokens = n;
    options.ignore_eos = true;
    return options;
  }

  static std::vector<int32_t> answer(Engine& e, Session& s) {
    const size_t before = s.tokens().size();
    const auto done = e.generate(s, [](const TokenEvent&) { return true; });
    EXPECT_TRUE(done) << done.error().message;
    return {s.tokens().begin() + static_cast<std::ptrdiff_t>(before), s.tokens().end()};
  }

  std::unique_ptr<test::RandomModel> model_ = test::random_model(test::small_config(), DType::kF32);
};

TEST_F(EngineTest, ChunkedPrefillEqualsOneByOne) {
  const auto ids = prompt(70);
  std::vector<std::vector<int32_t>> answers;
  for (int32_t max_rows : {1, 7, 40}) {
    auto e = engine(256, 1, max_rows);
    auto s = *e->new_session(nullptr);
    ASSERT_TRUE(s.set_prompt(ids, greedy(12)));
    answers.push_back(answer(*e, s));
    EXPECT_EQ(s.finish_reason(), FinishReason::kLength);
  }
  EXPECT_EQ(answers[0].size(), 12u);
  EXPECT_EQ(answers[0], answers[1]);
  EXPECT_EQ(answers[0], answers[2]);
}

TEST_F(EngineTest, BatchCompositionDoesNotChangeSampledText) {
  AnswerOptions options = greedy(20);
  options.sampling.temperature = 1.0f;
  options.sampling.seed = 42;
  std::vector<std::vector<int32_t>> alone;
  for (int32_t n : {5, 64, 100}) {
    auto e = engine();
    auto s = *e->new_session(nullptr);
    ASSERT_TRUE(s.set_prompt(prompt(n, n), options));
    alone.push_back(answer(*e, s));
  }
  auto e = engine();
  std::vector<Session> together;
  std::vector<Session*> pointers;
  for (int32_t n : {5, 64, 100}) {
    together.push_back(*e->new_session(nullptr));
    ASSERT_TRUE(together.back().set_prompt(prompt(n, n), options));
  }
  for (Session& s : together) pointers.push_back(&s);
  for (;;) {
    const auto worked = e->step(pointers, [](Session&, const TokenEvent&) {});
    ASSERT_TRUE(worked) << worked.error().message;
    if (!*worked) break;
  }
  for (size_t i = 0; i < alone.size(); ++i) {
    const auto tokens = together[i].tokens().last(20);
    EXPECT_EQ(alone[i], std::vector<int32_t>(tokens.begin(), tokens.end())) << "session " << i;
  }
}

TEST_F(EngineTest, SecondTurnReusesTheCache) {
  auto e = engine();
  auto s = *e->new_session(nullptr);
  ASSERT_TRUE(s.set_prompt(prompt(30), greedy(10)));
  answer(*e, s);
  std::vector<int32_t> longer(s.tokens().begin(), s.tokens().end());
  for (int32_t id : prompt(15, 3)) longer.push_back(id);
  ASSERT_TRUE(s.set_prompt(longer, greedy(10)));
  EXPECT_EQ(s.reused_tokens(), 39);  // the 40th was sampled last and never computed
  const auto reused = answer(*e, s);

  auto fresh = *e->new_session(nullptr);
  ASSERT_TRUE(fresh.set_prompt(longer, greedy(10)));
  EXPECT_EQ(fresh.reused_tokens(), 0);
  EXPECT_EQ(reused, answer(*e, fresh));
}

TEST_F(EngineTest, ForkSharesWholePagesAndDoesNotDisturb) {
  auto e = engine(256, 3);
  auto a = *e->new_session(nullptr);
  ASSERT_TRUE(a.set_prompt(prompt(150), greedy(30)));
  const int32_t free_before = e->pool().n_free();
  Session* const only_a[] = {&a};
  while (a.n_generated() < 5) ASSERT_TRUE(*e->step(only_a, [](Session&, const TokenEvent&) {}));
  auto b = *a.fork();
  EXPECT_EQ(e->pool().n_free(), free_before - 3);
  EXPECT_EQ(b.n_cached(), 128);
  const auto rest_b = answer(*e, b);
  const auto rest_a = answer(*e, a);
  EXPECT_EQ(rest_a, rest_b);
  // A rewind into a shared page falls back to its start rather than writing into it.
  auto c = *a.fork();
  ASSERT_TRUE(c.set_prompt(prompt(100), greedy(4)));
  EXPECT_EQ(c.reused_tokens(), 64);
}

TEST_F(EngineTest, StopsWhenTheContextIsFull) {
  auto e = engine(70, 1);
  auto s = *e->new_session(nullptr);
  ASSERT_TRUE(s.set_prompt(prompt(60), greedy(-1)));
  answer(*e, s);
  EXPECT_EQ(s.finish_reason(), FinishReason::kContext);
  EXPECT_EQ(s.tokens().size(), 71u);  // the last one is known but has no place in the cache

  ASSERT_TRUE(s.set_prompt(prompt(70), greedy(5)));
  EXPECT_EQ(answer(*e, s).size(), 1u);
  const auto refused = s.set_prompt(prompt(71), greedy(5));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kContextExceeded);
}

TEST_F(EngineTest, SlidesPastTheLimitWithBoundedMemory) {
  auto e = engine(256, 1);
  auto s = *e->new_session(nullptr, AtLimit::kSlide);
  ASSERT_TRUE(s.set_prompt(prompt(100), greedy(300)));
  const auto tokens = answer(*e, s);
  EXPECT_EQ(tokens.size(), 300u);
  EXPECT_EQ(s.finish_reason(), FinishReason::kLength);
  EXPECT_EQ(s.n_evicted(), 192);
  EXPECT_LE(s.n_cached(), 256);

  // Recomputing from the tokens alone takes the same decisions.
  auto again = *e->new_session(nullptr, AtLimit::kSlide);
  std::vector<int32_t> history(s.tokens().begin(), s.tokens().end() - 1);
  s.drop_kv();
  ASSERT_TRUE(again.set_prompt(history, greedy(1)));
  EXPECT_EQ(answer(*e, again).front(), tokens.back());
}

TEST_F(EngineTest, TurnedSinksEqualKeysComputedAtTheLaterPosition) {
  // One layer: its keys depend on token and position alone, so turning by n must equal computing
  // the same tokens n positions later.
  ModelConfig config = test::small_config();
  config.n_layers = 1;
  model_ = test::random_model(config, DType::kF32);
  auto e = engine(192, 1);
  auto s = *e->new_session(nullptr, AtLimit::kSlide);
  ASSERT_TRUE(s.set_prompt(prompt(193), greedy(1)));
  answer(*e, s);
  ASSERT_EQ(s.n_evicted(), 64);
  std::vector<uint16_t> turned(kv_export_size(config, kPageSize));
  ASSERT_TRUE(e->backend().export_kv(s.pages().first(1), kPageSize, turned));

  Batch batch;
  const std::vector<int32_t> pages = {2};
  batch.sequences.push_back({pages});
  const auto ids = prompt(193);
  for (int32_t i = 0; i < 40; ++i) batch.rows.push_back({ids[static_cast<size_t>(i)], i + 64, i, 0, false});
  ASSERT_TRUE(e->backend().submit(batch));
  std::vector<uint16_t> later(kv_export_size(config, 40));
  ASSERT_TRUE(e->backend().export_kv(pages, 40, later));
  for (int32_t h = 0; h < config.n_kv_heads; ++h) {
    for (int32_t i = 0; i < 40 * config.head_dim; ++i) {
      const float a = f16_to_f32(turned[static_cast<size_t>(h * kPageSize * config.head_dim + i)]);
      const float b = f16_to_f32(later[static_cast<size_t>(h * 40 * config.head_dim + i)]);
      EXPECT_NEAR(a, b, 4e-3) << "head " << h << " value " << i;
    }
  }
}

TEST_F(EngineTest, MovesBetweenEnginesInMidAnswer) {
  auto first = engine();
  auto second = engine();
  auto s = *first->new_session(nullptr);
  auto stay = *first->new_session(nullptr);
  ASSERT_TRUE(s.set_prompt(prompt(90), greedy(24)));
  ASSERT_TRUE(stay.set_prompt(prompt(90), greedy(24)));
  Session* const only[] = {&s};
  while (s.n_generated() < 10) ASSERT_TRUE(*first->step(only, [](Session&, const TokenEvent&) {}));
  ASSERT_TRUE(second->adopt(s, *first));
  EXPECT_EQ(first->pool().n_free(), first->pool().n_pages());
  answer(*second, s);
  answer(*first, stay);
  EXPECT_TRUE(std::ranges::equal(s.tokens(), stay.tokens()));
}

// The reference, which counts its decodes and fails at number `fails_at`.
class DecodesAhead final : public Backend {
 public:
  explicit DecodesAhead(int* decodes, int fails_at = 0) : decodes_(decodes), fails_at_(fails_at) {}
  BackendInfo info() const override { return inner_->info(); }
  Result<void> prepare(const Graph& graph, const WeightMap& weights, const KvShape& kv,
                       const RopeFrequencies& rope, int32_t rows, int32_t logit_rows) override {
    return inner_->prepare(graph, weights, kv, rope, rows, logit_rows);
  }
  Result<void> submit(const Batch& batch) override { return inner_->submit(batch); }
  Result<StepOutput> read() override { return inner_->read(); }
  int32_t most_steps(const TokenChoice& choice) const override { return inner_->most_steps(choice); }
  Result<std::span<const int32_t>> decode(const Batch& batch, int32_t steps, const TokenChoice& choice) override {
    if (++*decodes_ == fails_at_) return make_error(Code::kDevice, "gone");
    return inner_->decode(batch, steps, choice);
  }
  Result<void> export_kv(std::span<const int32_t> pages, int32_t n, std::span<uint16_t> out) override {
    return inner_->export_kv(pages, n, out);
  }
  Result<void> import_kv(std::span<const int32_t> pages, int32_t n, std::span<const uint16_t> in) override {
    return inner_->import_kv(pages, n, in);
  }
  MemoryUse memory() const override { return inner_->memory(); }

 private:
  std::unique_ptr<Backend> inner_ = make_reference_backend(32);
  int* decodes_;
  int fails_at_;
};

TEST_F(EngineTest, DecodingAheadChangesNothingButTheNumberOfCalls) {
  for (int32_t context : {256, 101}) {  // the second ends within a submission
    for (int32_t most : {1, 13, 27}) {
      for (auto [eos, sampled] : {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
        AnswerOptions options = greedy(most == 1 ? 1 : context > 200 ? most * 3 : 1000);
        options.ignore_eos = !eos;
        if (sampled) options.sampling = {.temperature = 1.5f, .logit_bias = {}, .seed = 4};
        std::vector<int32_t> answers[2];
        std::vector<int32_t> second[2];
        FinishReason reasons[2];
        int decodes = 0;
        for (bool ahead : {false, true}) {
          auto e = *Engine::create(std::make_unique<DecodesAhead>(&decodes), model_->config, model_->weights,
                                   {context, 1, 40, 40, KvDType::kF32, ahead ? 8 : 1});
          EXPECT_EQ(ahead ? decodes : 0, 0);
          auto s = *e->new_session(nullptr);
          ASSERT_TRUE(s.set_prompt(prompt(70), options));
          answers[ahead] = answer(*e, s);
          reasons[ahead] = s.finish_reason();
          // What was computed beyond the end is not in the way of the next turn.
          std::vector<int32_t> again(s.tokens().begin(), s.tokens().begin() + 71);
          ASSERT_TRUE(s.set_prompt(again, greedy(9)));
          second[ahead] = answer(*e, s);
        }
        EXPECT_EQ(answers[0], answers[1]) << context << " " << most << " " << eos;
        EXPECT_EQ(second[0], second[1]);
        EXPECT_EQ(reasons[0], reasons[1]);
        EXPECT_GT(decodes, 0);
        EXPECT_LT(decodes, 1 + static_cast<int>(answers[1].size() + 9) / 4);
      }
    }
  }
}

TEST_F(EngineTest, DecodingAheadHeedsTheCallerAndFailures) {
  int decodes = 0;
  auto e = *Engine::create(std::make_unique<DecodesAhead>(&decodes, 3), model_->config,
                           model_->weights, {256, 1, 40, 40, KvDType::kF32});
  auto s = *e->new_session(nullptr);
  ASSERT_TRUE(s.set_prompt(prompt(30), greedy(100)));
  int events = 0;
  ASSERT_TRUE(e->generate(s, [&](const TokenEvent&) { return ++events < 5; }));
  EXPECT_EQ(events, 6);  // five tokens, then the end
  EXPECT_EQ(s.finish_reason(), FinishReason::kCancelled);
  EXPECT_EQ(s.tokens().size(), 35u);

  ASSERT_TRUE(s.set_prompt(prompt(31), greedy(100)));
  const auto lost = e->generate(s, [](const TokenEvent&) { return true; });
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::kDevice);
  EXPECT_EQ(s.n_pending(), 1);  // the failed step is undone

  // Sampling that is more than the largest logit asks for every step.
  const int before = decodes;
  AnswerOptions options = greedy(10);
  options.sampling.repeat_penalty = 1.3f;
  ASSERT_TRUE(s.set_prompt(prompt(20), options));
  answer(*e, s);
  EXPECT_EQ(decodes, before);
}

TEST_F(EngineTest, BadPromptsAreErrors) {
  auto e = engine();
  auto s = *e->new_session(nullptr);
  EXPECT_FALSE(s.set_prompt({}, greedy(3)));
  EXPECT_FALSE(s.set_prompt(std::vector<int32_t>{3, 211}, greedy(3)));
  EXPECT_FALSE(s.set_prompt(std::vector<int32_t>{-1}, greedy(3)));
  AnswerOptions bad = greedy(3);
  bad.sampling.top_p = 2.0f;
  EXPECT_FALSE(s.set_prompt(prompt(3), bad));
  EXPECT_TRUE(s.finished());
}

TEST_F(EngineTest, BatchesOutOfRangeAreRefusedByTheBackend) {
  auto e = engine();
  const std::vector<int32_t> pages = {0, 1};
  const auto submit = [&](Row row, std::vector<int32_t> table) {
    Batch batch;
    batch.sequences.push_back({table});
    batch.rows.push_back(row);
    return e->backend().submit(batch).has_value();
  };
  EXPECT_TRUE(submit({5, 0, 0, 0, true}, pages));
  EXPECT_FALSE(submit({211, 0, 0, 0, true}, pages));
  EXPECT_FALSE(submit({-1, 0, 0, 0, true}, pages));
  EXPECT_FALSE(submit({5, -1, 0, 0, true}, pages));
  EXPECT_FALSE(submit({5, 0, 128, 0, true}, pages));
  EXPECT_FALSE(submit({5, 0, 0, 1, true}, pages));
  EXPECT_FALSE(submit({5, 0, 0, 0, true}, {4000}));
  EXPECT_FALSE(e->backend().submit(Batch{}));
}

TEST_F(EngineTest, GraphReadsLikeThePaper) {
  ModelConfig config = test::small_config();
  config.n_layers = 1;
  config.tied_embeddings = true;
  config.attention_bias = true;
  const auto model = test::random_model(config, DType::kI8, 32);
  const auto graph = build_llama(config, model->weights);
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(graph->to_text(),
            "embed - -> hidden weight=token_embedding i8/32[211,80]\n"
            "rms_norm layer=0 hidden -> normed weight=layers.0.attention_norm f32[1,80]\n"
            "qkv_rope layer=0 normed -> query weight=layers.0.qkv i8/32[256,80]"
            " bias=layers.0.qkv_bias f32[1,256]\n"
            "attention layer=0 query -> mixed\n"
            "matmul_add layer=0 mixed -> hidden weight=layers.0.attention_out i8/32[80,128]"
            " bias=layers.0.attention_out_bias f32[1,80]\n"
            "rms_norm layer=0 hidden -> normed weight=layers.0.mlp_norm f32[1,80]\n"
            "gate_up_silu layer=0 normed -> gated weight=layers.0.gate_up i8/32[344,80]\n"
            "matmul_add layer=0 gated -> hidden weight=layers.0.down i8/32[80,172]\n"
            "rms_norm hidden -> normed weight=final_norm f32[1,80] selected\n"
            "logits normed -> logits weight=token_embedding i8/32[211,80] selected\n");
}

TEST_F(EngineTest, MissingOrMisshapenTensorIsNamed) {
  WeightMap weights = model_->weights;
  weights.erase("layers.1.down");
  const auto missing = build_llama(model_->config, weights);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("layers.1.down"), std::string::npos);
  weights = model_->weights;
  weights["final_norm"].cols = 79;
  const auto misshapen = build_llama(model_->config, weights);
  ASSERT_FALSE(misshapen);
  EXPECT_NE(misshapen.error().message.find("final_norm"), std::string::npos);
}

}  // namespace
}  // namespace lamina
