// SPDX-License-Identifier: Apache-2.0
#include "core/model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace lamina {
namespace {

using testing::HasSubstr;

constexpr const char* kGood = R"({"model_type":"llama","architectures":["LlamaForCausalLM"],
  "hidden_size":64,"intermediate_size":176,"num_hidden_layers":3,"num_attention_heads":8,
  "num_key_value_heads":2,"vocab_size":100,"max_position_embeddings":512,"rms_norm_eps":1e-5,
  "rope_theta":500000.0,"bos_token_id":1,"eos_token_id":[2,3,2],"hidden_act":"silu",
  "tie_word_embeddings":true,"last":0})";

Result<ModelConfig> read(std::string_view config, std::string_view generation = "{}") {
  const auto c = JsonDocument::parse(config, "config.json", {.refuse_duplicate_keys = false});
  const auto g = JsonDocument::parse(generation, "generation_config.json");
  if (!c) return c.error();
  return ModelConfig::from_hf((*c)->root(), (*g)->root());
}

// The good config with `members` added, which win over what stands there.
std::string with(const std::string& members) {
  std::string text = kGood;
  const auto document = JsonDocument::parse("{" + members + "}", "t");
  for (JsonValue v = (*document)->root().first_child(); !v.is_missing(); v = v.next_sibling()) {
    const std::string key = "\"" + std::string(v.key()) + "\":";
    const size_t at = text.find(key);
    if (at == std::string::npos) continue;
    const size_t comma =
        text.find_first_of(",}", text[at + key.size()] == '[' ? text.find(']', at) : at);
    text.erase(at, comma - at + (text[comma] == ',' ? 1 : 0));
  }
  return "{" + members + "," + text.substr(1);
}

Error refused(const std::string& config, const std::string& generation = "{}") {
  const auto c = read(config, generation);
  EXPECT_FALSE(c) << config;
  return c ? Error{Code::kInvalidModel, ""} : c.error();
}

std::string manifest_text(const ModelConfig& c) {
  JsonWriter out;
  c.write(out);
  return out.take();
}

Result<ModelConfig> from_manifest(const std::string& text) {
  const auto d = JsonDocument::parse(text, "manifest.json");
  if (!d) return d.error();
  return ModelConfig::from_manifest((*d)->root());
}

TEST(Config, ReadsEveryField) {
  const auto c = read(kGood);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->hidden_size, 64);
  EXPECT_EQ(c->intermediate_size, 176);
  EXPECT_EQ(c->n_layers, 3);
  EXPECT_EQ(c->n_heads, 8);
  EXPECT_EQ(c->n_kv_heads, 2);
  EXPECT_EQ(c->head_dim, 8);
  EXPECT_EQ(c->vocab_size, 100);
  EXPECT_EQ(c->max_positions, 512);
  EXPECT_EQ(c->rms_norm_eps, 1e-5f);
  EXPECT_EQ(c->rope_theta, 500000.0);
  EXPECT_EQ(c->rope, RopeScaling{});
  EXPECT_TRUE(c->tied_embeddings);
  EXPECT_FALSE(c->attention_bias);
  EXPECT_EQ(c->bos_token, 1);
  EXPECT_EQ(c->eos_tokens, (std::vector<int32_t>{2, 3}));
  EXPECT_EQ(c->qkv_width(), 96);
}

TEST(Config, GivesDefaultsOfTransformers) {
  const auto c = read(R"({"model_type":"llama","hidden_size":64,"intermediate_size":8,
    "num_hidden_layers":1,"num_attention_heads":4,"vocab_size":10,"max_position_embeddings":16,
    "num_key_value_heads":null,"head_dim":null,"bos_token_id":null,"eos_token_id":null,
    "rope_scaling":null})");
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->n_kv_heads, 4);
  EXPECT_EQ(c->head_dim, 16);
  EXPECT_EQ(c->rms_norm_eps, 1e-6f);
  EXPECT_EQ(c->rope_theta, 10000.0);
  EXPECT_FALSE(c->tied_embeddings);
  EXPECT_EQ(c->bos_token, -1);
  EXPECT_TRUE(c->eos_tokens.empty());
}

TEST(Config, GenerationConfigGivesTheEnd) {
  EXPECT_EQ(read(kGood, R"({"eos_token_id":[7,8]})")->eos_tokens, (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(read(kGood, R"({"eos_token_id":9})")->eos_tokens, (std::vector<int32_t>{9}));
  EXPECT_EQ(read(kGood, R"({"eos_token_id":null})")->eos_tokens, (std::vector<int32_t>{2, 3}));
  EXPECT_EQ(read(with(R"("bos_token_id":null)"), R"({"bos_token_id":5})")->bos_token, 5);
}

TEST(Config, ReadsBothFormsOfRope) {
  const auto old_form =
      read(with(R"("rope_theta":10000.0,"rope_scaling":{"type":"linear","factor":4})"));
  const auto new_form = read(with(
      R"("rope_theta":null,"rope_parameters":{"rope_type":"linear","factor":4.0,"rope_theta":10000})"));
  ASSERT_TRUE(old_form) << old_form.error().message;
  ASSERT_TRUE(new_form) << new_form.error().message;
  EXPECT_EQ(*old_form, *new_form);
  EXPECT_EQ(old_form->rope.type, RopeType::kLinear);
  EXPECT_EQ(old_form->rope.factor, 4.0);
}

TEST(Config, ReadsLlama3Rope) {
  const auto c = read(with(R"("rope_scaling":{"rope_type":"llama3","factor":8.0,
    "low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64})"));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->rope.type, RopeType::kLlama3);
  EXPECT_EQ(c->rope.original_max_positions, 64);
  EXPECT_EQ(c->rope_theta, 500000.0);
}

TEST(Config, OriginalLengthStandsInEitherPlace) {
  const auto inside = read(
      with(R"("rope_scaling":{"type":"yarn","factor":8,"original_max_position_embeddings":64})"));
  const auto outside = read(with(R"("original_max_position_embeddings":64,
    "rope_scaling":{"type":"yarn","factor":8,"original_max_position_embeddings":32})"));
  ASSERT_TRUE(inside && outside);
  EXPECT_EQ(*inside, *outside);
  EXPECT_EQ(inside->rope.original_max_positions, 64);
}

TEST(Config, DerivesTheFactorOfYarn) {
  const auto c = read(with(
      R"("rope_scaling":{"type":"yarn","factor":null,"original_max_position_embeddings":64})"));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->rope.factor, 8.0);
  EXPECT_THAT(refused(with(R"("rope_scaling":{"type":"yarn","factor":null,
    "original_max_position_embeddings":1024})"))
                  .message,
              HasSubstr("rope_scaling"));
}

TEST(Config, MistralWithoutAWindowIsLlama) {
  const std::string mistral = R"("model_type":"mistral","architectures":["MistralForCausalLM"],)";
  EXPECT_TRUE(read(with(mistral + R"("sliding_window":null)")));
  EXPECT_TRUE(read(with(mistral + R"("sliding_window":512)")));
  EXPECT_TRUE(read(with(mistral + R"("x":1)"))) << "the default of 4096 covers 512 positions";
  const Error e = refused(with(mistral + R"("sliding_window":256)"));
  EXPECT_EQ(e.code, Code::kUnsupported);
  EXPECT_THAT(e.message, HasSubstr("sliding_window 256"));
}

struct Bad {
  const char* members;
  const char* named;
  Code code = Code::kInvalidModel;
};

class ConfigRefuses : public testing::TestWithParam<Bad> {};

TEST_P(ConfigRefuses, AndNamesTheField) {
  const Error e = refused(with(GetParam().members));
  EXPECT_EQ(e.code, GetParam().code) << e.message;
  EXPECT_THAT(e.message, HasSubstr(GetParam().named));
  EXPECT_THAT(e.message, HasSubstr("config.json"));
}

INSTANTIATE_TEST_SUITE_P(
    HostileValues, ConfigRefuses,
    testing::Values(
        Bad{R"("hidden_size":-64)", "hidden_size"}, Bad{R"("hidden_size":0)", "hidden_size"},
        Bad{R"("hidden_size":1e30)", "hidden_size"}, Bad{R"("hidden_size":"64")", "hidden_size"},
        Bad{R"("hidden_size":64.0)", "hidden_size"}, Bad{R"("hidden_size":null)", "hidden_size"},
        Bad{R"("hidden_size":[64])", "hidden_size"},
        Bad{R"("hidden_size":9223372036854775807)", "hidden_size"},
        Bad{R"("hidden_size":18446744073709551616)", "hidden_size"},
        Bad{R"("intermediate_size":0)", "intermediate_size"},
        Bad{R"("num_hidden_layers":1000000)", "num_hidden_layers"},
        Bad{R"("num_attention_heads":0)", "num_attention_heads"},
        Bad{R"("num_attention_heads":7)", "num_attention_heads"},
        Bad{R"("num_attention_heads":64)", "num_attention_heads"},
        Bad{R"("num_key_value_heads":0)", "num_key_value_heads"},
        Bad{R"("num_key_value_heads":3)", "num_key_value_heads"},
        Bad{R"("num_key_value_heads":16)", "num_key_value_heads"},
        Bad{R"("head_dim":7)", "head_dim"}, Bad{R"("head_dim":0)", "head_dim"},
        Bad{R"("head_dim":2000000)", "head_dim"}, Bad{R"("vocab_size":0)", "vocab_size"},
        Bad{R"("vocab_size":4294967296)", "vocab_size"},
        Bad{R"("max_position_embeddings":-1)", "max_position_embeddings"},
        Bad{R"("rms_norm_eps":0)", "rms_norm_eps"}, Bad{R"("rms_norm_eps":1e30)", "rms_norm_eps"},
        Bad{R"("rms_norm_eps":-1e-5)", "rms_norm_eps"},
        Bad{R"("rms_norm_eps":true)", "rms_norm_eps"}, Bad{R"("rope_theta":0)", "rope_theta"},
        Bad{R"("rope_theta":-1)", "rope_theta"}, Bad{R"("rope_theta":1e30)", "rope_theta"},
        Bad{R"("rope_theta":{})", "rope_theta"}, Bad{R"("bos_token_id":100)", "bos_token_id"},
        Bad{R"("bos_token_id":-1)", "bos_token_id"}, Bad{R"("bos_token_id":"1")", "bos_token_id"},
        Bad{R"("eos_token_id":100)", "eos_token_id"},
        Bad{R"("eos_token_id":[1,-2])", "eos_token_id[1]"},
        Bad{R"("eos_token_id":"x")", "eos_token_id"},
        Bad{R"("tie_word_embeddings":1)", "tie_word_embeddings"},
        Bad{R"("rope_scaling":[])", "rope_scaling"},
        Bad{R"("rope_scaling":"linear")", "rope_scaling"},
        Bad{R"("rope_scaling":{"type":5})", "rope_scaling.type"},
        Bad{R"("rope_scaling":{"type":"linear"})", "rope_scaling.factor"},
        Bad{R"("rope_scaling":{"type":"linear","factor":0})", "rope_scaling.factor"},
        Bad{R"("rope_scaling":{"type":"linear","factor":-2})", "rope_scaling.factor"},
        Bad{R"("rope_scaling":{"type":"dynamic","factor":1e30})", "rope_scaling.factor"},
        Bad{R"("head_dim":2,"rope_scaling":{"type":"dynamic","factor":2})", "head_dim"},
        Bad{R"("rope_scaling":{"type":"llama3","factor":8})", "low_freq_factor"},
        Bad{R"("rope_scaling":{"type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4})",
            "high_freq_factor"},
        Bad{R"("rope_scaling":{"type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,
            "original_max_position_embeddings":0})",
            "original_max_position_embeddings"},
        Bad{R"("rope_scaling":{"type":"yarn","factor":2,"beta_fast":1,"beta_slow":32})",
            "beta_fast"},
        Bad{R"("model_type":7)", "model_type"}));

INSTANTIATE_TEST_SUITE_P(
    NotOurs, ConfigRefuses,
    testing::Values(Bad{R"("model_type":"gpt2")", "model_type", Code::kUnsupported},
                    Bad{R"("architectures":["LlamaForSequenceClassification"])", "architectures",
                        Code::kUnsupported},
                    Bad{R"("hidden_act":"gelu")", "hidden_act", Code::kUnsupported},
                    Bad{R"("partial_rotary_factor":0.5)", "partial_rotary_factor",
                        Code::kUnsupported},
                    Bad{R"("quantization_config":{"quant_method":"gptq"})", "quantization_config",
                        Code::kUnsupported},
                    Bad{R"("rope_scaling":{"rope_type":"longrope","factor":4})", "rope_type",
                        Code::kUnsupported},
                    Bad{R"("rope_parameters":{"full_attention":{"rope_type":"default"}})",
                        "full_attention", Code::kUnsupported}));

TEST(Config, MissingFieldIsNamed) {
  EXPECT_THAT(refused(R"({"model_type":"llama"})").message, HasSubstr("hidden_size"));
  EXPECT_THAT(refused("{}").message, HasSubstr("model_type"));
  EXPECT_THAT(refused("[]").message, HasSubstr("model_type"));
  EXPECT_THAT(refused("7").message, HasSubstr("model_type"));
}

TEST(Config, ManifestFormReadsBackTheSame) {
  const std::vector<std::string> members = {
      R"("x":1)",
      R"("rope_scaling":{"type":"linear","factor":4})",
      R"("rope_scaling":{"type":"dynamic","factor":2.5},"bos_token_id":null,"eos_token_id":null)",
      R"("rope_scaling":{"rope_type":"llama3","factor":32,"low_freq_factor":1,
         "high_freq_factor":4,"original_max_position_embeddings":8192})",
      R"("rope_scaling":{"type":"yarn","factor":40,"beta_fast":16,"beta_slow":2,"mscale":0.7,
         "mscale_all_dim":0.8,"attention_factor":1.25,"truncate":false})",
      R"("rms_norm_eps":3.3333333e-6,"attention_bias":true,"mlp_bias":true,"head_dim":32)"};
  for (const std::string& m : members) {
    const auto c = read(with(m));
    ASSERT_TRUE(c) << m << c.error().message;
    const std::string text = manifest_text(*c);
    const auto back = from_manifest(text);
    ASSERT_TRUE(back) << text << back.error().message;
    EXPECT_EQ(*back, *c) << text;
    EXPECT_EQ(manifest_text(*back), text);
  }
}

TEST(Config, ManifestFormNeedsEveryField) {
  const std::string text = manifest_text(*read(kGood));
  const auto document = JsonDocument::parse(text, "t");
  for (JsonValue v = (*document)->root().first_child(); !v.is_missing(); v = v.next_sibling()) {
    std::string broken = text;
    broken.replace(broken.find("\"" + std::string(v.key()) + "\""), v.key().size() + 2, "\"gone\"");
    const auto c = from_manifest(broken);
    ASSERT_FALSE(c) << broken;
    EXPECT_THAT(c.error().message, HasSubstr(v.key()));
  }
}

TEST(Config, ReadsTheGoldenCheckpoints) {
  for (const char* name :
       {"llama2-mha-f16", "llama3-gqa-ropescaled-bf16", "llama-bias-headdim-f16"}) {
    std::ifstream file(std::string(LAMINA_SOURCE_DIR) + "/tests/golden/" + name + "/config.json");
    ASSERT_TRUE(file) << name;
    std::stringstream text;
    text << file.rdbuf();
    const auto c = read(text.str());
    EXPECT_TRUE(c) << c.error().message;
  }
}

}  // namespace
}  // namespace lamina
