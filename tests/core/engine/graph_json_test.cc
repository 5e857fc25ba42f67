// SPDX-License-Identifier: Apache-2.0
#include "core/engine/graph_json.h"

#include <gtest/gtest.h>

#include "core/base/json.h"

namespace lamina {
namespace {

// A manifest as a converter would lay it out: one shard a layer, the embedding in two parts.
Manifest tiny_manifest() {
  Manifest m;
  ModelConfig& c = m.config;
  c.hidden_size = 64;
  c.intermediate_size = 96;
  c.n_layers = 2;
  c.n_heads = 4;
  c.n_kv_heads = 2;
  c.head_dim = 16;
  c.vocab_size = 100;
  c.max_positions = 256;
  c.attention_bias = true;
  m.shards = {{"shards/00000.bin", 4096, std::string(64, 'a')}, {"shards/00001.bin", 8192, std::string(64, 'b')}};
  for (const NamedShape& t : model_tensors(c, DType::kI8, 32)) {
    m.tensors.push_back({t.name, t.shape, {{1, 512, 1024, 0, t.shape.rows}}});
  }
  m.tensors[0].parts = {{0, 0, 256, 0, 60}, {1, 0, 256, 60, 40}};
  return m;
}

TEST(GraphJson, SaysWhatThePlanSays) {
  const Manifest m = tiny_manifest();
  const auto text = graph_json(m, 128);
  ASSERT_TRUE(text) << text.error().message;
  const auto document = JsonDocument::parse(*text, "table");
  ASSERT_TRUE(document);
  const JsonValue root = (*document)->root();
  EXPECT_EQ(root.find("version").as_int(), 1);
  EXPECT_EQ(root.find("config").find("context").as_int(), 128);
  EXPECT_EQ(root.find("rope").find("invFreq").size(), 8u);
  EXPECT_EQ(root.find("buffers").find("gated").as_int(), 96);
  EXPECT_EQ(root.find("shards").size(), 2u);
  EXPECT_EQ(root.find("weights").size(), m.tensors.size());

  const auto name_of = [&](const JsonValue& op, const char* field) -> std::string {
    const int64_t index = op.find(field).as_int();
    return index < 0 ? "" : m.tensors[static_cast<size_t>(index)].name;
  };
  std::string seen;
  const JsonValue ops = root.find("ops");
  for (JsonValue op = ops.first_child(); !op.is_missing(); op = op.next_sibling()) {
    seen += std::string(op.find("kind").as_string()) + " " + std::string(op.find("in").as_string()) + ">" +
            std::string(op.find("out").as_string()) + " " + name_of(op, "weight") + "," + name_of(op, "bias") + "," +
            name_of(op, "norm") + (op.find("gather").as_bool() ? " gather\n" : "\n");
    if (op.find("layer").as_int() == 0 && op.find("kind").as_string() == "matmul_add") break;
  }
  EXPECT_EQ(seen,
            "embed ->hidden token_embedding,,\n"
            "qkv_rope hidden>query layers.0.qkv,layers.0.qkv_bias,layers.0.attention_norm\n"
            "attention query>mixed ,,\n"
            "matmul_add mixed>hidden layers.0.attention_out,layers.0.attention_out_bias,\n");
  EXPECT_EQ(ops.size(), 1u + 2 * 5 + 1);
}

TEST(GraphJson, WeightsSayWhereTheirRowsLie) {
  const auto document = JsonDocument::parse(graph_json(tiny_manifest(), 64).value(), "table");
  const JsonValue embedding = (*document)->root().find("weights").first_child();
  EXPECT_EQ(embedding.find("name").as_string(), "token_embedding");
  EXPECT_EQ(embedding.find("dtype").as_string(), "i8");
  EXPECT_EQ(embedding.find("rowBytes").as_int(), 64);
  EXPECT_EQ(embedding.find("scalesPerRow").as_int(), 2);
  const JsonValue second = embedding.find("parts").first_child().next_sibling();
  EXPECT_EQ(second.find("shard").as_int(), 1);
  EXPECT_EQ(second.find("rowBegin").as_int(), 60);
  EXPECT_EQ(second.find("rows").as_int(), 40);
  EXPECT_EQ(second.find("scaleOffset").as_int(), 256);
}

TEST(GraphJson, RefusesWhatItCantPlan) {
  EXPECT_FALSE(graph_json(tiny_manifest(), 0));
  Manifest m = tiny_manifest();
  m.tensors.pop_back();
  const auto text = graph_json(m, 64);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, Code::kInvalidModel);
}

TEST(GraphJson, IsTheSameEveryTime) {
  EXPECT_EQ(graph_json(tiny_manifest(), 64).value(), graph_json(tiny_manifest(), 64).value());
}

}  // namespace
}  // namespace lamina
