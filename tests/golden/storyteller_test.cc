// SPDX-License-Identifier: Apache-2.0
// The demo model against transformers: greedy answers, perplexity, and what int8 costs.
#include <gtest/gtest.h>

#include <cmath>

#include "core/engine/sampler.h"
#include "tests/golden/golden_support.h"
#include "tests/support/engines.h"

namespace lamina {
namespace {

using namespace test;

const char kStoryteller[] = "tests/models/storyteller";
const char kDraft[] = "tests/models/storyteller-draft";

// ISAs are listed best first, after the reference.
std::string fastest() { return engine_names()[1]; }

struct Score {
  double perplexity = 0.0;
  int64_t tokens = 0;
};

// Over the ids of eval.jsonl; a document's first token is not scored. `most` documents.
Score perplexity(Engine& engine, int most) {
  const std::string text = read_file_text(source_path("tests/models/storyteller/eval.jsonl"));
  double sum = 0.0;
  int64_t tokens = 0;
  size_t at = 0;
  for (int n = 0; n < most && at < text.size(); ++n) {
    const size_t end = text.find('\n', at);
    const auto line = JsonDocument::parse(std::string_view(text).substr(at, end - at), "eval.jsonl");
    at = end == std::string::npos ? text.size() : end + 1;
    const auto ids = ints((*line)->root().find("ids"));
    const auto logits = logits_of(engine, ids);
    const size_t vocab = logits.size() / ids.size();
    for (size_t i = 0; i + 1 < ids.size(); ++i, ++tokens) {
      sum -= log_probability(std::span(logits).subspan(i * vocab, vocab), ids[i + 1]);
    }
  }
  return {std::exp(sum / static_cast<double>(tokens)), tokens};
}

class Storyteller : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { LAMINA_SKIP_WITHOUT(GetParam()); }
};

TEST_P(Storyteller, GreedyAnswersInF16) {
  for (const char* folder : {kStoryteller, kDraft}) {
    const auto reference = read_json(source_path(std::string(folder) + "/reference.json"));
    const GoldenModel& model = golden_model(folder, DType::kF16);
    const auto engine = make_engine(model, GetParam());
    int answers = 0;
    const JsonValue list = reference->root().find("greedy");
    for (JsonValue c = list.first_child(); !c.is_missing(); c = c.next_sibling(), ++answers) {
      EncodeOptions options;
      options.add_special = false;
      options.parse_special = true;
      const auto prompt = ints(c.find("prompt_ids"));
      EXPECT_EQ(model.tokenizer->encode(c.find("prompt").as_string(), options).value(), prompt);
      const auto want = ints(c.find("greedy_ids"));
      expect_greedy(*engine, prompt, want, 0.01);
      EXPECT_EQ(model.tokenizer->decode(want, {.skip_special = false}),
                c.find("greedy_text").as_string());
    }
    EXPECT_EQ(answers, 6);
  }
}

std::string engine_name(const ::testing::TestParamInfo<std::string>& info) {
  return plain_name(info.param);
}

INSTANTIATE_TEST_SUITE_P(All, Storyteller, ::testing::ValuesIn(engine_names()), engine_name);

TEST(StorytellerPerplexity, F16IsTransformersAndInt8IsClose) {
  const GoldenModel& f16 = golden_model(kStoryteller, DType::kF16);
  const Score want = perplexity(*make_engine(f16, fastest()), 120);
  EXPECT_EQ(want.tokens, 19887);
  EXPECT_NEAR(want.perplexity, 1.383307, 5e-5);
  // KV in f16 and int8 costs little.
  EXPECT_NEAR(perplexity(*make_engine(f16, fastest(), KvDType::kF16), 120).perplexity / want.perplexity, 1.0, 5e-4);
  EXPECT_NEAR(perplexity(*make_engine(f16, fastest(), KvDType::kI8), 120).perplexity / want.perplexity, 1.0, 3e-3);
  for (int32_t group : {0, 32, 64, 128}) {
    const GoldenModel& i8 = golden_model(kStoryteller, DType::kI8, group);
    const Score got = perplexity(*make_engine(i8, fastest()), 120);
    printf("int8 group %d: perplexity %.6f, f16 %.6f, %+.4f%%\n", group, got.perplexity,
           want.perplexity, 100 * (got.perplexity / want.perplexity - 1));
    EXPECT_NEAR(got.perplexity / want.perplexity, 1.0, 3e-3) << "group " << group;
  }
  const Score draft = perplexity(*make_engine(golden_model(kDraft, DType::kF16), fastest()), 120);
  EXPECT_NEAR(draft.perplexity, 1.386446, 5e-5);
}

TEST(StorytellerPerplexity, Int8LogitsError) {
  const auto reference = read_json(source_path("tests/models/storyteller/reference.json"));
  const JsonValue first = reference->root().find("greedy").first_child();
  auto ids = ints(first.find("prompt_ids"));
  for (int32_t id : ints(first.find("greedy_ids"))) ids.push_back(id);
  const auto exact = logits_of(*make_engine(golden_model(kStoryteller, DType::kF32), "reference"), ids);
  for (int32_t group : {0, 32}) {
    const auto got =
        logits_of(*make_engine(golden_model(kStoryteller, DType::kI8, group), fastest()), ids);
    const double error = row_error(got, exact);
    printf("int8 group %d: relative error of the logits %.4f\n", group, error);
    EXPECT_LT(error, 0.03);
  }
}

}  // namespace
}  // namespace lamina
