// SPDX-License-Identifier: Apache-2.0
#include "core/model/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace lamina {
namespace {

using testing::HasSubstr;

ModelConfig tiny() {
  ModelConfig c;
  c.hidden_size = 16;
  c.intermediate_size = 24;
  c.n_layers = 2;
  c.n_heads = 2;
  c.n_kv_heads = 1;
  c.head_dim = 8;
  c.vocab_size = 40;
  c.max_positions = 64;
  c.eos_tokens = {3};
  return c;
}

uint64_t aligned(uint64_t n) { return round_up(n, kTensorAlignment); }

// Everything of a model in one shard; the embedding's 40 rows in two parts.
Manifest sample(DType dtype = DType::kI8, int32_t group = 32) {
  Manifest m;
  m.config = tiny();
  m.name = "sample \"model\"";
  m.tokenizer = {"tokenizer.json", 5, std::string(64, 'a')};
  m.chat_template = "{{ x }}\n";
  m.bos_text = "<s>";
  m.files = {{"notes.txt", 7, std::string(64, 'b')}};
  m.layers.assign(2, {precision_name(dtype, group), precision_name(dtype, group)});
  m.provenance = {"folder", "test", "none"};
  uint64_t at = 0;
  const auto append = [&](TensorEntry* t, int32_t begin, int32_t rows) {
    WeightShape part = t->shape;
    part.rows = rows;
    TensorPart p{0, at, 0, begin, rows};
    at += aligned(part.value_bytes());
    if (part.dtype == DType::kI8) {
      p.scale_offset = at;
      at += aligned(part.scale_bytes());
    }
    t->parts.push_back(p);
  };
  for (const NamedShape& n : model_tensors(m.config, dtype, group)) {
    TensorEntry t{n.name, n.shape, {}};
    const int32_t first = t.shape.rows > 1 ? t.shape.rows / 2 : t.shape.rows;
    append(&t, 0, first);
    if (first < t.shape.rows) append(&t, first, t.shape.rows - first);
    m.tensors.push_back(std::move(t));
  }
  m.shards = {{shard_file_name(0), at, std::string(64, 'c')}};
  return m;
}

std::string refused(const Manifest& m) {
  const auto parsed = Manifest::parse(m.to_json(), "manifest.json");
  EXPECT_FALSE(parsed);
  if (parsed) return "";
  EXPECT_THAT(parsed.error().message, HasSubstr("manifest.json"));
  return parsed.error().message;
}

TensorEntry& entry(Manifest& m, std::string_view name) {
  return *std::find_if(m.tensors.begin(), m.tensors.end(), [&](auto& t) { return t.name == name; });
}

TEST(Manifest, ReadsBackTheSame) {
  for (const auto& [dtype, group] : {std::pair{DType::kI8, 32},
                                     {DType::kI8, 0},
                                     {DType::kF16, 0},
                                     {DType::kF32, 0},
                                     {DType::kBF16, 0}}) {
    const Manifest m = sample(dtype, group);
    const std::string json = m.to_json();
    const auto parsed = Manifest::parse(json, "manifest.json");
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(parsed->to_json(), json) << "canonical";
    EXPECT_EQ(parsed->name, m.name);
    EXPECT_EQ(parsed->config, m.config);
    EXPECT_EQ(parsed->chat_template, m.chat_template);
    EXPECT_EQ(parsed->files.size(), 1u);
    ASSERT_NE(parsed->find("layers.1.down"), nullptr);
    EXPECT_EQ(parsed->find("layers.1.down")->shape, (WeightShape{dtype, 16, 24, group}));
    EXPECT_EQ(parsed->find("nothing"), nullptr);
  }
}

TEST(Manifest, PrecisionMayDifferPerLayer) {
  Manifest m = sample(DType::kF32, 0);
  for (const char* name : {"layers.1.gate_up", "layers.1.down"})
    entry(m, name).shape.dtype = DType::kF16;
  m.layers[1].mlp = "f16";
  EXPECT_TRUE(Manifest::parse(m.to_json(), "manifest.json"));
  m.layers[1].mlp = "f32";
  EXPECT_THAT(refused(m), HasSubstr("layers.1.gate_up"));
}

TEST(Manifest, ListsTheTensorsOfAModel) {
  ModelConfig c = tiny();
  std::set<std::string> names;
  for (const NamedShape& n : model_tensors(c, DType::kI8, 32)) {
    EXPECT_TRUE(names.insert(n.name).second);
    if (n.name.ends_with("norm")) {
      EXPECT_EQ(n.shape, (WeightShape{DType::kF32, 1, 16, 0}));
    }
    if (n.name == "layers.1.qkv") {
      EXPECT_EQ(n.shape, (WeightShape{DType::kI8, 32, 16, 32}));
      EXPECT_EQ(n.layer, 1);
    }
  }
  EXPECT_EQ(names.size(), 1u + 2 * 6 + 2);
  c.tied_embeddings = c.attention_bias = c.mlp_bias = true;
  EXPECT_EQ(model_tensors(c, DType::kF16, 64).size(), 1u + 2 * 10 + 1);
  EXPECT_EQ(model_tensors(c, DType::kF16, 64)[0].shape.group, 0);
}

TEST(Manifest, RefusesWrongTensorSets) {
  Manifest m = sample();
  m.tensors.pop_back();
  EXPECT_THAT(refused(m), HasSubstr("lm_head"));
  m = sample();
  m.tensors.push_back(m.tensors[1]);
  EXPECT_THAT(refused(m), HasSubstr("twice"));
  m = sample();
  m.config.tied_embeddings = true;
  EXPECT_THAT(refused(m), HasSubstr("lm_head"));
  m = sample();
  entry(m, "layers.0.qkv").shape.cols = 8;
  EXPECT_THAT(refused(m), HasSubstr("layers.0.qkv"));
  m = sample();
  entry(m, "final_norm").shape.dtype = DType::kF16;
  EXPECT_THAT(refused(m), HasSubstr("final_norm"));
  m = sample();
  m.layers.pop_back();
  EXPECT_THAT(refused(m), HasSubstr("layers"));
}

TEST(Manifest, RefusesWrongParts) {
  Manifest m = sample();
  entry(m, "layers.0.qkv").parts[1].offset += 1;
  EXPECT_THAT(refused(m), HasSubstr("multiple of 256"));
  m = sample();
  entry(m, "layers.0.qkv").parts[1].scale_offset += 64;
  EXPECT_THAT(refused(m), HasSubstr("multiple of 256"));
  m = sample();
  entry(m, "layers.0.qkv").parts[1].row_begin += 1;
  EXPECT_THAT(refused(m), HasSubstr("layers.0.qkv"));
  m = sample();
  entry(m, "layers.0.qkv").parts.pop_back();
  EXPECT_THAT(refused(m), HasSubstr("16 of 32 rows"));
  m = sample();
  entry(m, "layers.0.qkv").parts.clear();
  EXPECT_THAT(refused(m), HasSubstr("0 of 32 rows"));
  m = sample();
  entry(m, "layers.0.qkv").parts[0].shard = 1;
  EXPECT_THAT(refused(m), HasSubstr("shard 1 of 1"));
  m = sample();
  m.shards[0].bytes -= 256;
  EXPECT_THAT(refused(m), HasSubstr("beyond"));
  m = sample();
  entry(m, "lm_head").parts[1].scale_offset = uint64_t{1} << 49;
  EXPECT_THAT(refused(m), HasSubstr("beyond"));
}

TEST(Manifest, RefusesOverlaps) {
  Manifest m = sample();
  entry(m, "layers.0.qkv").parts[1].offset = entry(m, "layers.0.qkv").parts[0].offset;
  EXPECT_THAT(refused(m), HasSubstr("overlaps"));
  m = sample();
  entry(m, "lm_head").parts[0].scale_offset = entry(m, "token_embedding").parts[0].offset;
  EXPECT_THAT(refused(m), HasSubstr("overlaps"));
}

TEST(Manifest, RefusesNamesThatLeaveTheFolder) {
  for (const char* name : {"", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "a b",
                           "manifest.json", "manifest.sig", "shards", "x\ny", "caf\xc3\xa9"}) {
    Manifest m = sample();
    m.tokenizer.file = name;
    EXPECT_THAT(refused(m), HasSubstr("tokenizer.file")) << name;
    m = sample();
    m.files[0].file = name;
    EXPECT_THAT(refused(m), HasSubstr("files[0].file")) << name;
  }
  for (const char* name :
       {"shards/00001.bin", "shards/../x", "00000.bin", "/shards/00000.bin", ""}) {
    Manifest m = sample();
    m.shards[0].file = name;
    EXPECT_THAT(refused(m), HasSubstr("shards[0].file")) << name;
  }
  Manifest m = sample();
  m.files.push_back(m.tokenizer);
  EXPECT_THAT(refused(m), HasSubstr("twice"));
}

TEST(Manifest, RefusesBadHashes) {
  for (const std::string& hash : {std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'),
                                  std::string(64, 'g'), std::string()}) {
    Manifest m = sample();
    m.shards[0].sha256 = hash;
    EXPECT_THAT(refused(m), HasSubstr("sha256"));
    m = sample();
    m.tokenizer.sha256 = hash;
    EXPECT_THAT(refused(m), HasSubstr("sha256"));
  }
}

TEST(Manifest, NeedsEveryMember) {
  const std::string json = sample().to_json();
  const auto document = JsonDocument::parse(json, "t");
  ASSERT_TRUE(document);
  for (JsonValue v = (*document)->root().first_child(); !v.is_missing(); v = v.next_sibling()) {
    std::string broken = json;
    broken.replace(broken.find("\n\"" + std::string(v.key()) + "\":"), v.key().size() + 3,
                   "\n\"gone\"");
    const auto parsed = Manifest::parse(broken, "manifest.json");
    ASSERT_FALSE(parsed) << v.key();
    EXPECT_THAT(parsed.error().message, HasSubstr(v.key()));
  }
}

TEST(Manifest, NewerVersionIsUnsupported) {
  std::string json = sample().to_json();
  json.replace(json.find("\"version\": 1"), 12, "\"version\": 2");
  const auto parsed = Manifest::parse(json, "manifest.json");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, Code::kUnsupported);
  EXPECT_THAT(parsed.error().message, HasSubstr("version"));
}

// No damage may crash; what still parses must still be sound enough to write and read again.
TEST(Manifest, SurvivesDamage) {
  const std::string json = sample().to_json();
  for (size_t at = 0; at < json.size(); at += 3) {
    for (const char flip : {'\x01', '\x10', '\x80'}) {
      std::string broken = json;
      broken[at] = static_cast<char>(broken[at] ^ flip);
      const auto parsed = Manifest::parse(broken, "manifest.json");
      if (parsed) {
        EXPECT_TRUE(Manifest::parse(parsed->to_json(), "again"));
      }
    }
    EXPECT_FALSE(Manifest::parse(json.substr(0, at), "manifest.json"));
  }
}

}  // namespace
}  // namespace lamina
