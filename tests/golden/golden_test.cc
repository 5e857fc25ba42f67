// SPDX-License-Identifier: Apache-2.0
// The three golden checkpoints against transformers: ids, text, logits, greedy continuations.
//
// Tolerance of a logits row, |error| / |row|. The stored weights are the same numbers on both sides
// and both compute in f32; transformers' own rounding is of the order of sqrt(layers * width) *
// 2^-24, about 1e-6 here, amplified by softmax and normalisation to a few 1e-5. The oracle keeps
// double sums and is held to 1e-4; SIMD engines round like transformers does, in another order:
// 3e-4. A checkpoint in bf16 loses nothing when stored as f16 unless a weight is tiny.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/golden/golden_support.h"
#include "tests/support/engines.h"

namespace lamina {
namespace {

using namespace test;

const char* const kFolders[] = {"llama2-mha-f16", "llama3-gqa-ropescaled-bf16",
                                "llama-bias-headdim-f16"};

struct Case {
  std::string folder;
  std::string engine;
  DType dtype;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const char* folder : kFolders) {
    for (const std::string& engine : engine_names()) {
      for (DType dtype : {DType::kF32, DType::kF16}) {
        // Slow where it is software; tests/conformance has its f32.
        if ((is_vulkan(engine) || engine == kNoVulkan) && dtype == DType::kF32) continue;
        cases.push_back({folder, engine, dtype});
      }
    }
  }
  return cases;
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = info.param.folder + "_" + info.param.engine + "_" +
                     std::string(dtype_name(info.param.dtype));
  return plain_name(name);
}

class Golden : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { LAMINA_SKIP_WITHOUT(GetParam().engine); }

  std::string folder() const { return "tests/golden/" + GetParam().folder; }
  const GoldenModel& model() const { return golden_model(folder(), GetParam().dtype); }
  double tolerance() const { return GetParam().engine == "reference" ? 1e-4 : 3e-4; }
};

TEST_P(Golden, LogitsAndGreedyContinuations) {
  const auto golden = read_json(source_path(folder() + "/golden.json"));
  const auto engine = make_engine(model(), GetParam().engine);
  const auto vocab = static_cast<size_t>(model().loaded->manifest.config.vocab_size);
  double worst = 0.0;
  int cases = 0;
  const JsonValue list = golden->root().find("cases");
  for (JsonValue c = list.first_child(); !c.is_missing(); c = c.next_sibling(), ++cases) {
    const auto ids = ints(c.find("ids"));
    const auto want = read_f32_tensor(source_path(folder() + "/golden.safetensors"),
                                      std::string(c.find("logits").as_string()));
    const auto got = logits_of(*engine, ids);
    ASSERT_EQ(got.size(), want.size());
    for (size_t row = 0; row < ids.size(); ++row) {
      const double error = row_error(std::span(got).subspan(row * vocab, vocab),
                                     std::span(want).subspan(row * vocab, vocab));
      EXPECT_LE(error, tolerance()) << "case " << cases << " row " << row;
      worst = std::max(worst, error);
    }
    const auto prompt = std::span(ids).first(std::min<size_t>(ids.size(), 32));
    expect_greedy(*engine, prompt, ints(c.find("greedy_from_first_32")), 0.01);
  }
  EXPECT_EQ(cases, 6);
  RecordProperty("worst_row_error", std::to_string(worst));
  printf("worst row error %.2e\n", worst);
}

INSTANTIATE_TEST_SUITE_P(All, Golden, ::testing::ValuesIn(all_cases()), case_name);

// Instruction sets whose every bit is the same (tests/backends/cpu_bits_test.cc), as whole engines.
TEST(GoldenBits, InstructionSetsWithFmaAgreeToTheBit) {
  std::vector<std::string> isas = cpu_isas_available();
  std::erase_if(isas, [](const std::string& isa) { return isa == "scalar"; });
  if (isas.size() < 2) GTEST_SKIP() << "one instruction set with fma here";
  for (const char* folder : kFolders) {
    const std::string path = std::string("tests/golden/") + folder;
    const auto golden = read_json(source_path(path + "/golden.json"));
    const auto ids = ints(golden->root().find("cases").first_child().find("ids"));
    for (DType dtype : {DType::kF32, DType::kF16, DType::kI8}) {
      for (KvDType kv : {KvDType::kF16, KvDType::kI8}) {
        const GoldenModel& model = golden_model(path, dtype);
        const auto want = logits_of(*make_engine(model, isas[0], kv), ids);
        for (size_t i = 1; i < isas.size(); ++i) {
          EXPECT_EQ(logits_of(*make_engine(model, isas[i], kv), ids), want)
              << folder << " " << dtype_name(dtype) << ": " << isas[i] << " and " << isas[0];
        }
      }
    }
  }
}

class GoldenTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenTokenizer, IdsAndTextAreIdentical) {
  const std::string folder = std::string("tests/golden/") + GetParam();
  const auto golden = read_json(source_path(folder + "/golden.json"));
  const Tokenizer& tokenizer = *golden_model(folder, DType::kF32).tokenizer;
  int cases = 0;
  const JsonValue list = golden->root().find("cases");
  for (JsonValue c = list.first_child(); !c.is_missing(); c = c.next_sibling(), ++cases) {
    const auto ids = ints(c.find("ids"));
    EXPECT_EQ(tokenizer.encode(c.find("prompt").as_string()).value(), ids) << cases;
    EXPECT_EQ(tokenizer.decode(ids), c.find("decoded").as_string()) << cases;
  }
  EXPECT_EQ(cases, 6);
}

std::string folder_name(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTokenizer, ::testing::ValuesIn(kFolders), folder_name);

}  // namespace
}  // namespace lamina
