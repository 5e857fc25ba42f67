// SPDX-License-Identifier: Apache-2.0
#include "core/model/tokenizer.h"
#include "native/convert/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "native/convert/shard_plan.h"
#include "native/platform/model_loader.h"
#include "tests/support/checkpoint_writer.h"
#include "tests/support/temp_dir.h"

namespace lamina {
namespace {

using testing::HasSubstr;
using namespace test;

class Convert : public testing::Test {
 protected:
  ConvertOptions options() {
    ConvertOptions o;
    o.source = dir / "source";
    o.destination = dir / "model";
    o.shard_bytes = 16384;
    o.threads = 2;
    return o;
  }

  std::unique_ptr<LoadedModel> load(const std::string& folder) {
    LoadOptions o;
    o.cache_directory = dir / "cache";
    auto model = load_model(folder, o);
    EXPECT_TRUE(model) << model.error().message;
    return model ? std::move(*model) : nullptr;
  }

  Error refused(const ConvertOptions& o) {
    const auto report = convert(o);
    EXPECT_FALSE(report);
    EXPECT_FALSE(std::filesystem::exists(o.destination));
    return report ? Error{} : report.error();
  }

  TempDir dir;
};

float value_at(const WeightView& w, int32_t row, int32_t col) {
  const auto r = static_cast<size_t>(row);
  const auto c = static_cast<size_t>(col);
  const auto* value =
      static_cast<const char*>(w.values) + r * w.row_bytes() + c * dtype_bytes(w.dtype);
  float f32 = 0;
  uint16_t half = 0;
  std::memcpy(w.dtype == DType::kF32 ? static_cast<void*>(&f32) : &half, value,
              dtype_bytes(w.dtype));
  switch (w.dtype) {
    case DType::kF32: return f32;
    case DType::kF16: return f16_to_f32(half);
    case DType::kBF16: return bf16_to_f32(half);
    case DType::kI8: break;
  }
  const size_t group = w.group == 0 ? 0 : c / static_cast<size_t>(w.group);
  return static_cast<float>(static_cast<int8_t>(*value)) * w.scales[r * w.scales_per_row() + group];
}

const RawTensor& find(const std::vector<RawTensor>& tensors, const std::string& name) {
  for (const RawTensor& t : tensors) {
    if (t.name == name) return t;
  }
  ADD_FAILURE() << name;
  return tensors[0];
}

// Rows [row, row + theirs.rows) of `ours` hold `theirs`, each value within `tolerance`.
void expect_rows(const WeightView& ours, int32_t row, const RawTensor& theirs, float tolerance) {
  const auto cols = static_cast<size_t>(ours.cols);
  for (size_t i = 0; i < theirs.values.size(); ++i) {
    const float got =
        value_at(ours, row + static_cast<int32_t>(i / cols), static_cast<int32_t>(i % cols));
    ASSERT_NEAR(got, theirs.values[i], tolerance) << theirs.name << " element " << i;
  }
}

TEST_F(Convert, EveryTensorLandsInItsPlace) {
  const auto tensors = write_checkpoint(dir / "source", {});
  for (const auto& [dtype, group, tolerance] : {std::tuple{DType::kF32, 0, 0.0f},
                                                {DType::kF16, 0, 2.5e-4f},
                                                {DType::kI8, 0, 0.5f / 254},
                                                {DType::kI8, 32, 0.5f / 254},
                                                {DType::kI8, 64, 0.5f / 254},
                                                {DType::kI8, 128, 0.5f / 254}}) {
    ConvertOptions o = options();
    o.dtype = dtype;
    o.group = group;
    o.force = true;
    const auto report = convert(o);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_GT(report->shards, 2u);
    const auto model = load(o.destination);
    ASSERT_TRUE(model);
    const float t = tolerance * 1.01f;
    const auto& w = model->weights;
    expect_rows(w.find("token_embedding")->second, 0, find(tensors, "model.embed_tokens.weight"),
                t);
    expect_rows(w.find("lm_head")->second, 0, find(tensors, "lm_head.weight"), t);
    expect_rows(w.find("final_norm")->second, 0, find(tensors, "model.norm.weight"), 0);
    for (int n = 0; n < 3; ++n) {
      const std::string ours = "layers." + std::to_string(n) + ".";
      const std::string theirs = "model." + ours;
      const WeightView& qkv = w.find(ours + "qkv")->second;
      expect_rows(qkv, 0, find(tensors, theirs + "self_attn.q_proj.weight"), t);
      expect_rows(qkv, 64, find(tensors, theirs + "self_attn.k_proj.weight"), t);
      expect_rows(qkv, 96, find(tensors, theirs + "self_attn.v_proj.weight"), t);
      const WeightView& gate_up = w.find(ours + "gate_up")->second;
      expect_rows(gate_up, 0, find(tensors, theirs + "mlp.gate_proj.weight"), t);
      expect_rows(gate_up, 80, find(tensors, theirs + "mlp.up_proj.weight"), t);
      expect_rows(w.find(ours + "attention_out")->second, 0,
                  find(tensors, theirs + "self_attn.o_proj.weight"), t);
      expect_rows(w.find(ours + "down")->second, 0, find(tensors, theirs + "mlp.down_proj.weight"),
                  t);
      expect_rows(w.find(ours + "attention_norm")->second, 0,
                  find(tensors, theirs + "input_layernorm.weight"), 0);
      expect_rows(w.find(ours + "mlp_norm")->second, 0,
                  find(tensors, theirs + "post_attention_layernorm.weight"), 0);
    }
  }
}

TEST_F(Convert, ReportsTheErrorItMade) {
  const auto tensors = write_checkpoint(dir / "source", {});
  ConvertOptions o = options();
  const auto report = convert(o);
  ASSERT_TRUE(report) << report.error().message;
  const auto model = load(o.destination);
  double worst = 0.0;
  std::string name;
  const std::vector<std::pair<std::string, std::string>> pairs = {
      {"token_embedding", "model.embed_tokens.weight"},
      {"lm_head", "lm_head.weight"},
      {"layers.0.down", "model.layers.0.mlp.down_proj.weight"},
      {"layers.1.down", "model.layers.1.mlp.down_proj.weight"},
      {"layers.2.down", "model.layers.2.mlp.down_proj.weight"}};
  for (const auto& [ours, theirs] : pairs) {
    const WeightView& w = model->weights.find(ours)->second;
    const RawTensor& t = find(tensors, theirs);
    double error = 0, norm = 0;
    for (size_t i = 0; i < t.values.size(); ++i) {
      const auto cols = static_cast<size_t>(w.cols);
      const double v = value_at(w, static_cast<int32_t>(i / cols), static_cast<int32_t>(i % cols));
      error += (v - t.values[i]) * (v - t.values[i]);
      norm += static_cast<double>(t.values[i]) * t.values[i];
    }
    if (std::sqrt(error / norm) > worst) {
      worst = std::sqrt(error / norm);
      name = ours;
    }
  }
  EXPECT_GE(report->worst_error, worst * (1 - 1e-6));
  if (report->worst_tensor == name) {
    EXPECT_NEAR(report->worst_error, worst, worst * 1e-5);
  }
  EXPECT_GT(report->mean_error, 0.001);
  EXPECT_LE(report->mean_error, report->worst_error);
  EXPECT_EQ(report->source_bytes, std::accumulate(tensors.begin(), tensors.end(), uint64_t{0},
                                                  [](uint64_t n, const RawTensor& t) {
                                                    return n + 4 * t.values.size();
                                                  }));
  o.dtype = DType::kF32;
  o.force = true;
  const auto exact = convert(o);
  ASSERT_TRUE(exact);
  EXPECT_EQ(exact->worst_error, 0.0);
  EXPECT_EQ(exact->worst_tensor, "");
}

TEST_F(Convert, SameBytesForAnyThreadsFilesAndRuns) {
  CheckpointSpec spec;
  spec.dtype = "BF16";
  write_checkpoint(dir / "source", spec);
  ConvertOptions o = options();
  o.group = 32;
  o.name = "m";
  ASSERT_TRUE(convert(o));
  const auto want = files_below(o.destination);
  EXPECT_GT(want.size(), 4u);
  for (int threads : {1, 3, 8}) {
    o.threads = threads;
    o.destination = dir / ("t" + std::to_string(threads));
    ASSERT_TRUE(convert(o));
    EXPECT_EQ(files_below(o.destination), want);
  }
  spec.files = 3;
  std::filesystem::remove_all(o.source);
  write_checkpoint(o.source, spec);
  o.destination = dir / "sharded";
  ASSERT_TRUE(convert(o));
  EXPECT_EQ(files_below(o.destination), want);
}

TEST_F(Convert, BiasesAreJoinedAndMissingOnesAreZero) {
  CheckpointSpec spec;
  spec.biases = true;
  spec.edit = [](RawTensor& t) { return t.name != "model.layers.1.self_attn.k_proj.bias"; };
  const auto tensors = write_checkpoint(dir / "source", spec);
  ASSERT_TRUE(convert(options()));
  const auto model = load(options().destination);
  EXPECT_TRUE(model->manifest.config.attention_bias);
  EXPECT_TRUE(model->manifest.config.mlp_bias);
  const WeightView& b = model->weights.find("layers.1.qkv_bias")->second;
  const auto& q = find(tensors, "model.layers.1.self_attn.q_proj.bias");
  const auto& v = find(tensors, "model.layers.1.self_attn.v_proj.bias");
  for (int i = 0; i < 64; ++i) EXPECT_EQ(value_at(b, 0, i), q.values[static_cast<size_t>(i)]);
  for (int i = 64; i < 96; ++i) EXPECT_EQ(value_at(b, 0, i), 0.0f);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(value_at(b, 0, 96 + i), v.values[static_cast<size_t>(i)]);
  const auto& up = find(tensors, "model.layers.2.mlp.up_proj.bias");
  EXPECT_EQ(value_at(model->weights.find("layers.2.gate_up_bias")->second, 0, 80 + 7),
            up.values[7]);
}

TEST_F(Convert, TakesTextsFromWhereTheyStand) {
  write_checkpoint(dir / "source", {});
  const auto texts = [&](const std::string& config) {
    spill(dir / "source/tokenizer_config.json", config);
    ConvertOptions o = options();
    o.force = true;
    const auto report = convert(o);
    EXPECT_TRUE(report) << report.error().message;
    const Manifest m = load(o.destination)->manifest;
    return m.chat_template + "|" + m.bos_text + "|" + m.eos_text;
  };
  EXPECT_EQ(
      texts(
          R"({"chat_template":"T","bos_token":"<s>","eos_token":{"content":"</s>","lstrip":false}})"),
      "T|<s>|</s>");
  EXPECT_EQ(texts(R"({"bos_token":null})"), "||");
  EXPECT_EQ(
      texts(
          R"({"chat_template":[{"name":"tool_use","template":"A"},{"name":"default","template":"B"}]})"),
      "B||");
  EXPECT_EQ(
      texts(R"({"chat_template":[{"name":"rag","template":"A"},{"name":"x","template":"B"}]})"),
      "||");
  spill(dir / "source/chat_template.jinja", "from file");
  EXPECT_EQ(texts(R"({"chat_template":"T"})"), "from file||");
  spill(dir / "source/tokenizer_config.json", R"({"bos_token":7})");
  ConvertOptions o = options();
  o.force = true;
  EXPECT_THAT(convert(o).error().message, HasSubstr("bos_token"));
}

TEST_F(Convert, RefusesValuesThatAreNoWeights) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    CheckpointSpec spec;
    spec.edit = [&](RawTensor& t) {
      if (t.name == "model.layers.1.mlp.up_proj.weight") t.values[3 * 48 + 5] = bad;
      return true;
    };
    write_checkpoint(dir / "source", spec);
    const Error e = refused(options());
    EXPECT_EQ(e.code, Code::kInvalidModel);
    EXPECT_THAT(e.message, HasSubstr("model.layers.1.mlp.up_proj.weight"));
    EXPECT_THAT(e.message, HasSubstr("row 83, column 5"));
  }
}

TEST_F(Convert, RefusesWhatF16CannotHold) {
  CheckpointSpec spec;
  spec.dtype = "BF16";
  spec.edit = [](RawTensor& t) {
    if (t.name == "lm_head.weight") t.values[7] = 70000.0f;
    return true;
  };
  write_checkpoint(dir / "source", spec);
  ConvertOptions o = options();
  o.dtype = DType::kF16;
  const Error e = refused(o);
  EXPECT_THAT(e.message, HasSubstr("lm_head.weight"));
  EXPECT_THAT(e.message, HasSubstr("f32"));
  o.dtype = DType::kF32;
  EXPECT_TRUE(convert(o));
}

TEST_F(Convert, NamesWhatIsMissing) {
  write_checkpoint(dir / "source", {});
  const auto without = [&](const std::string& file) {
    std::filesystem::remove_all(dir / "copy");
    std::filesystem::copy(dir / "source", dir / "copy");
    std::filesystem::remove(dir / ("copy/" + file));
    ConvertOptions o = options();
    o.source = dir / "copy";
    return refused(o).message;
  };
  EXPECT_THAT(without("config.json"), HasSubstr("no config.json: it is no Hugging Face"));
  EXPECT_THAT(without("tokenizer.json"), HasSubstr("tokenizer.json"));
  EXPECT_THAT(without("model.safetensors"), HasSubstr("model.safetensors"));
  ConvertOptions o = options();
  o.source = dir / "nowhere";
  EXPECT_THAT(refused(o).message, HasSubstr("nowhere: no such folder"));
  o.source = dir / "source/config.json";
  EXPECT_THAT(refused(o).message, HasSubstr("is a file"));

  CheckpointSpec spec;
  spec.edit = [](RawTensor& t) { return t.name != "model.layers.2.mlp.down_proj.weight"; };
  write_checkpoint(dir / "source", spec);
  EXPECT_THAT(refused(options()).message,
              HasSubstr("model.layers.2.mlp.down_proj.weight is missing"));
  spec.edit = [](RawTensor& t) { return t.name != "lm_head.weight"; };
  write_checkpoint(dir / "source", spec);
  EXPECT_THAT(refused(options()).message, HasSubstr("tie_word_embeddings"));
  spec.edit = [](RawTensor& t) {
    if (t.name == "model.norm.weight") t.shape = {24, 2};
    return true;
  };
  write_checkpoint(dir / "source", spec);
  EXPECT_THAT(refused(options()).message, HasSubstr("[24, 2]"));
  spec.edit = nullptr;
  spec.config_extra = R"(,"attention_bias":true)";
  write_checkpoint(dir / "source", spec);
  EXPECT_THAT(refused(options()).message, HasSubstr("attention_bias"));
}

TEST_F(Convert, RefusesATokenizerThatWouldNotLoad) {
  write_checkpoint(dir / "source", {});
  for (const auto& [json, named] : std::vector<std::pair<std::string, std::string>>{
           {R"({"model":{"type":"Unigram","vocab":[]}})", "Unigram"},
           {R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}})", "merges"},
           {R"({"version":"1.0"})", "model"}}) {
    spill(dir / "source/tokenizer.json", json);
    const Error e = refused(options());
    const auto loaded = Tokenizer::from_json(json, dir / "source/tokenizer.json");
    ASSERT_FALSE(loaded);
    EXPECT_EQ(e.message, loaded.error().message);
    EXPECT_THAT(e.message, HasSubstr(named));
    EXPECT_FALSE(std::filesystem::exists(options().destination));
  }
}

TEST_F(Convert, IndexMustTellTheTruth) {
  CheckpointSpec spec;
  spec.files = 2;
  write_checkpoint(dir / "source", spec);
  std::string index = slurp(dir / "source/model.safetensors.index.json");
  const size_t at = index.find("model-1.safetensors");
  index.replace(at, 19, "model-0.safetensors");
  spill(dir / "source/model.safetensors.index.json", index);
  EXPECT_THAT(refused(options()).message, HasSubstr("is not in model-0.safetensors"));
  std::filesystem::remove(dir / "source/model-0.safetensors");
  EXPECT_THAT(refused(options()).message, HasSubstr("model-0.safetensors"));
}

TEST_F(Convert, RefusesBadOptions) {
  write_checkpoint(dir / "source", {});
  const auto with = [&](auto change) {
    ConvertOptions o = options();
    change(o);
    const Error e = refused(o);
    EXPECT_EQ(e.code, Code::kInvalidArgument) << e.message;
    return e.message;
  };
  EXPECT_THAT(with([](auto& o) { o.group = 48; }), HasSubstr("48"));
  EXPECT_THAT(with([](auto& o) {
                o.dtype = DType::kF16;
                o.group = 32;
              }),
              HasSubstr("only i8"));
  EXPECT_THAT(with([](auto& o) { o.dtype = DType::kBF16; }), HasSubstr("bf16"));
  EXPECT_THAT(with([](auto& o) { o.shard_bytes = 100; }), HasSubstr("100"));
  EXPECT_THAT(with([](auto& o) { o.threads = -1; }), HasSubstr("-1"));
  CheckpointSpec wide;
  wide.intermediate = 6000;
  write_checkpoint(dir / "source", wide);
  EXPECT_THAT(with([](auto& o) { o.shard_bytes = 4096; }), HasSubstr("row of layers.0.down"));
}

TEST_F(Convert, NeverTouchesWhatIsNotAModel) {
  write_checkpoint(dir / "source", {});
  std::filesystem::create_directories(dir / "model");
  spill(dir / "model/thesis.txt", "years of work");
  spill(dir / "model/manifest.json", R"({"name":"a web page's manifest"})");
  ConvertOptions o = options();
  EXPECT_THAT(convert(o).error().message, HasSubstr("neither empty nor a model folder"));
  o.force = true;
  EXPECT_THAT(convert(o).error().message, HasSubstr("even with --force"));
  EXPECT_EQ(slurp(dir / "model/thesis.txt"), "years of work");
  o.destination = dir / "other";
  std::filesystem::create_directories(dir / "other.partial");
  spill(dir / "other.partial/thesis.txt", "more work");
  EXPECT_THAT(convert(o).error().message, HasSubstr("in the way"));
  EXPECT_EQ(slurp(dir / "other.partial/thesis.txt"), "more work");
}

TEST_F(Convert, TakesAnEmptyFolder) {
  write_checkpoint(dir / "source", {});
  ConvertOptions o = options();
  for (const bool force : {false, true}) {
    std::filesystem::remove_all(o.destination);
    std::filesystem::create_directories(o.destination);
    o.force = force;
    const auto report = convert(o);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_FALSE(std::filesystem::exists(o.destination + ".partial"));
    ASSERT_TRUE(load(o.destination));
  }
}

TEST_F(Convert, AFolderFilledMeanwhileIsNotReplaced) {
  write_checkpoint(dir / "source", {});
  const ConvertOptions o = options();
  std::filesystem::create_directories(o.destination);
  const auto report = convert(
      o, [&](const ConvertProgress&) { spill(o.destination + "/thesis.txt", "years of work"); });
  ASSERT_FALSE(report);
  EXPECT_EQ(slurp(o.destination + "/thesis.txt"), "years of work");
}

TEST_F(Convert, ForceReplacesAModel) {
  write_checkpoint(dir / "source", {});
  ConvertOptions o = options();
  ASSERT_TRUE(convert(o));
  EXPECT_THAT(convert(o).error().message, HasSubstr("--force replaces it"));
  ConvertOptions again = options();
  again.source = o.destination;
  again.destination = dir / "twice";
  EXPECT_THAT(convert(again).error().message, HasSubstr("converted model already"));
  const auto before = files_below(o.destination);
  o.force = true;
  o.dtype = DType::kF16;
  ASSERT_TRUE(convert(o));
  EXPECT_NE(files_below(o.destination), before);
  EXPECT_FALSE(std::filesystem::exists(o.destination + ".partial"));
  ASSERT_TRUE(load(o.destination));
}

TEST_F(Convert, ShowsProgressToTheEnd) {
  write_checkpoint(dir / "source", {});
  uint64_t last = 0, total = 0;
  int calls = 0;
  ASSERT_TRUE(convert(options(), [&](const ConvertProgress& p) {
    EXPECT_GE(p.done_bytes, last);
    last = p.done_bytes;
    total = p.total_bytes;
    ++calls;
  }));
  EXPECT_GT(calls, 10);
  EXPECT_EQ(last, total);
}

// Plans by hand: three layers of 1000 rows of 256 bytes.
TEST(ShardPlan, CutsAtLayersThenTensorsThenRows) {
  std::vector<NamedShape> tensors;
  for (int layer = 0; layer < 3; ++layer) {
    for (const char* name : {"a", "b"}) {
      tensors.push_back({name + std::to_string(layer), {DType::kF32, 1000, 64, 0}, layer});
    }
  }
  const auto whole = plan_shards(tensors, 1'100'000);  // two layers of 512000 fit
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->shard_bytes, (std::vector<uint64_t>{1'024'000, 512'000}));
  const auto layers = plan_shards(tensors, 1'000'000);
  ASSERT_TRUE(layers);
  EXPECT_EQ(layers->shard_bytes, (std::vector<uint64_t>{512'000, 512'000, 512'000}));
  const auto single = plan_shards(tensors, 300'000);
  ASSERT_TRUE(single);
  EXPECT_EQ(single->shard_bytes, (std::vector<uint64_t>(6, 256'000)));
  const auto rows = plan_shards(tensors, 100'000);  // 390 rows fit, 384 are taken
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->tensors[0].parts.size(), 3u);
  EXPECT_EQ(rows->tensors[0].parts[1].row_begin, 384);
  EXPECT_EQ(rows->total_bytes(), 6u * 256'000);
  for (uint64_t bytes : rows->shard_bytes) EXPECT_LE(bytes, 100'000u);
  EXPECT_FALSE(plan_shards(tensors, 255));
}

}  // namespace
}  // namespace lamina
