// SPDX-License-Identifier: Apache-2.0
#include "core/model/config.h"

#include <algorithm>
#include <charconv>

#include "core/model/config_limits.h"

namespace lamina {

namespace {

constexpr RopeType kRopeTypes[] = {RopeType::kDefault, RopeType::kLinear, RopeType::kDynamic,
                                   RopeType::kLlama3, RopeType::kYarn};
constexpr double kMinTheta = 2.0, kMaxTheta = 1e12;
constexpr double kMaxFactor = 1e6;

Result<RopeType> read_rope_type(const JsonValue& rope) {
  JsonValue name = rope.find("rope_type");
  if (name.is_absent()) name = rope.find("type");
  if (name.is_absent()) return RopeType::kDefault;
  if (!name.is_string()) return name.error(Code::kInvalidModel, "must be a string");
  for (RopeType type : kRopeTypes) {
    if (rope_type_name(type) == name.as_string()) return type;
  }
  return name.error(Code::kUnsupported,
                    "this rope scaling is not supported: only default, linear, dynamic, llama3 "
                    "and yarn are");
}

Result<void> read_llama3(const JsonValue& rope, RopeScaling* out) {
  LAMINA_ASSIGN(out->low_freq_factor, rope.get_double("low_freq_factor", 1e-3, 1e4));
  LAMINA_ASSIGN(out->high_freq_factor, rope.get_double("high_freq_factor", 1e-3, 1e4));
  if (out->high_freq_factor > out->low_freq_factor) return {};
  return rope.find("high_freq_factor")
      .error(Code::kInvalidModel, "must be greater than low_freq_factor");
}

// Zero stands for "not given", as in transformers (`x or default`).
Result<void> read_or_default(const JsonValue& rope, std::string_view name, double most,
                             double* value) {
  LAMINA_ASSIGN(const double given, rope.get_double_or(name, 0.0, 0.0, most));
  if (given != 0.0) *value = given;
  return {};
}

Result<void> read_yarn(const JsonValue& rope, RopeScaling* out) {
  LAMINA_TRY(read_or_default(rope, "beta_fast", 1e4, &out->beta_fast));
  LAMINA_TRY(read_or_default(rope, "beta_slow", 1e4, &out->beta_slow));
  if (out->beta_fast < out->beta_slow) {
    return rope.error(Code::kInvalidModel, "beta_fast must not be less than beta_slow");
  }
  LAMINA_ASSIGN(out->mscale, rope.get_double_or("mscale", 0.0, 0.0, 100.0));
  LAMINA_ASSIGN(out->mscale_all_dim, rope.get_double_or("mscale_all_dim", 0.0, 0.0, 100.0));
  LAMINA_ASSIGN(out->attention_factor, rope.get_double_or("attention_factor", 0.0, 1e-3, 100.0));
  LAMINA_ASSIGN(out->truncate, rope.get_bool_or("truncate", true));
  return {};
}

Result<bool> read_bool(const JsonValue& object, std::string_view name) {
  if (object.find(name).is_bool()) return object.find(name).as_bool();
  return object.error(Code::kInvalidModel, "needs a true or false named " + std::string(name));
}

Result<float> read_eps(const JsonValue& config) {
  LAMINA_ASSIGN(const double eps, config.get_double("rms_norm_eps", 1e-12, 0.1));
  return static_cast<float>(eps);
}

void write_rope(const ModelConfig& c, JsonWriter& out) {
  const RopeScaling& r = c.rope;
  out.key("rope").begin_object();
  out.member("rope_type", rope_type_name(r.type)).member("rope_theta", c.rope_theta);
  if (r.type != RopeType::kDefault) out.member("factor", r.factor);
  if (r.original_max_positions > 0) {
    out.member("original_max_position_embeddings", r.original_max_positions);
  }
  if (r.type == RopeType::kLlama3) {
    out.member("low_freq_factor", r.low_freq_factor);
    out.member("high_freq_factor", r.high_freq_factor);
  }
  if (r.type == RopeType::kYarn) {
    out.member("beta_fast", r.beta_fast).member("beta_slow", r.beta_slow);
    if (r.attention_factor != 0.0) out.member("attention_factor", r.attention_factor);
    if (r.mscale != 0.0) out.member("mscale", r.mscale);
    if (r.mscale_all_dim != 0.0) out.member("mscale_all_dim", r.mscale_all_dim);
    out.member("truncate", r.truncate);
  }
  out.end_object();
}

}  // namespace

std::string_view rope_type_name(RopeType type) {
  switch (type) {
    case RopeType::kDefault: return "default";
    case RopeType::kLinear: return "linear";
    case RopeType::kDynamic: return "dynamic";
    case RopeType::kLlama3: return "llama3";
    case RopeType::kYarn: return "yarn";
  }
  return "?";
}

Result<void> read_int(const JsonValue& object, std::string_view name, int64_t low, int64_t high,
                      int32_t* out) {
  LAMINA_ASSIGN(const int64_t value, object.get_int(name, low, high));
  *out = static_cast<int32_t>(value);
  return {};
}

Result<std::vector<int32_t>> read_token_list(const JsonValue& object, std::string_view name,
                                             int32_t vocab) {
  std::vector<int32_t> ids;
  const JsonValue v = object.find(name);
  if (v.is_absent()) return ids;
  if (!v.is_array()) {
    LAMINA_ASSIGN(const int64_t id, v.to_int(0, vocab - 1));
    ids.push_back(static_cast<int32_t>(id));
    return ids;
  }
  if (v.size() > kMaxEosTokens) return v.error(Code::kInvalidModel, "lists more than 64 tokens");
  for (JsonValue item = v.first_child(); !item.is_missing(); item = item.next_sibling()) {
    LAMINA_ASSIGN(const int64_t id, item.to_int(0, vocab - 1));
    const auto token = static_cast<int32_t>(id);
    if (std::find(ids.begin(), ids.end(), token) == ids.end()) ids.push_back(token);
  }
  return ids;
}

Result<void> read_rope(const JsonValue& rope, double* theta, RopeScaling* out) {
  LAMINA_ASSIGN(out->type, read_rope_type(rope));
  LAMINA_ASSIGN(*theta, rope.get_double_or("rope_theta", *theta, kMinTheta, kMaxTheta));
  LAMINA_ASSIGN(const double part, rope.get_double_or("partial_rotary_factor", 1.0, 0.0, 1.0));
  if (part != 1.0) {
    return rope.find("partial_rotary_factor")
        .error(Code::kUnsupported, "heads rotated only in part are not supported");
  }
  if (out->type == RopeType::kDefault) return {};
  // yarn alone may leave its factor to the ratio of lengths; 0 marks that until the caller knows.
  const bool derived = out->type == RopeType::kYarn && rope.find("factor").is_absent();
  if (derived) {
    out->factor = 0.0;
  } else {
    LAMINA_ASSIGN(out->factor, rope.get_double("factor", 1.0, kMaxFactor));
  }
  if (out->type == RopeType::kLlama3 || out->type == RopeType::kYarn) {
    LAMINA_ASSIGN(const int64_t original,
                  rope.get_int_or("original_max_position_embeddings", 0, 1, kMaxPositions));
    out->original_max_positions = static_cast<int32_t>(original);
  }
  if (out->type == RopeType::kLlama3) return read_llama3(rope, out);
  if (out->type == RopeType::kYarn) return read_yarn(rope, out);
  return {};
}

Result<void> check_heads(const ModelConfig& c, const JsonValue& heads, const JsonValue& kv_heads,
                         const JsonValue& head_dim) {
  const JsonValue& dim = head_dim.is_absent() ? heads : head_dim;
  if (c.head_dim % 2 != 0) {
    return dim.error(Code::kInvalidModel, "gives heads of odd size " + std::to_string(c.head_dim) +
                                              "; rotary embedding turns pairs");
  }
  if (c.n_heads % c.n_kv_heads != 0) {
    return kv_heads.error(Code::kInvalidModel, "does not divide the " + std::to_string(c.n_heads) +
                                                   " attention heads evenly");
  }
  if (c.rope.type == RopeType::kDynamic && c.head_dim < 4) {
    return dim.error(Code::kInvalidModel, "dynamic rope scaling needs heads of 4 or more");
  }
  return {};
}

void ModelConfig::write(JsonWriter& out) const {
  out.begin_object();
  out.member("architecture", "llama");
  out.member("hidden_size", hidden_size).member("intermediate_size", intermediate_size);
  out.member("n_layers", n_layers).member("n_heads", n_heads).member("n_kv_heads", n_kv_heads);
  out.member("head_dim", head_dim).member("vocab_size", vocab_size);
  out.member("max_positions", max_positions);
  char eps[32];  // the shortest text that reads back as the same float
  const auto end = std::to_chars(eps, eps + sizeof eps, rms_norm_eps).ptr;
  out.key("rms_norm_eps").raw(std::string_view(eps, static_cast<size_t>(end - eps)));
  write_rope(*this, out);
  out.member("tied_embeddings", tied_embeddings);
  out.member("attention_bias", attention_bias).member("mlp_bias", mlp_bias);
  out.key("bos_token");
  if (bos_token < 0)
    out.null();
  else
    out.value(bos_token);
  out.key("eos_tokens").begin_array();
  for (int32_t id : eos_tokens) out.value(id);
  out.end_array();
  out.end_object();
}

Result<ModelConfig> ModelConfig::from_manifest(const JsonValue& config) {
  ModelConfig c;
  LAMINA_ASSIGN(const std::string architecture, config.get_string("architecture"));
  if (architecture != "llama") {
    return config.find("architecture").error(Code::kUnsupported, "only 'llama' is supported");
  }
  LAMINA_TRY(read_int(config, "hidden_size", 1, kMaxHidden, &c.hidden_size));
  LAMINA_TRY(read_int(config, "intermediate_size", 1, kMaxIntermediate, &c.intermediate_size));
  LAMINA_TRY(read_int(config, "n_layers", 1, kMaxLayers, &c.n_layers));
  LAMINA_TRY(read_int(config, "n_heads", 1, kMaxHeads, &c.n_heads));
  LAMINA_TRY(read_int(config, "n_kv_heads", 1, kMaxHeads, &c.n_kv_heads));
  LAMINA_TRY(read_int(config, "head_dim", 2, kMaxHeadDim, &c.head_dim));
  LAMINA_TRY(read_int(config, "vocab_size", 1, kMaxVocab, &c.vocab_size));
  LAMINA_TRY(read_int(config, "max_positions", 1, kMaxPositions, &c.max_positions));
  LAMINA_ASSIGN(c.rms_norm_eps, read_eps(config));
  LAMINA_ASSIGN(const JsonValue rope, config.get_object("rope"));
  LAMINA_TRY(rope.get_string("rope_type"));
  LAMINA_TRY(rope.get_double("rope_theta", kMinTheta, kMaxTheta));
  LAMINA_TRY(read_rope(rope, &c.rope_theta, &c.rope));
  if (c.rope.factor == 0.0) return rope.error(Code::kInvalidModel, "needs a factor");
  LAMINA_ASSIGN(c.tied_embeddings, read_bool(config, "tied_embeddings"));
  LAMINA_ASSIGN(c.attention_bias, read_bool(config, "attention_bias"));
  LAMINA_ASSIGN(c.mlp_bias, read_bool(config, "mlp_bias"));
  if (!config.find("bos_token").is_null()) {
    LAMINA_TRY(read_int(config, "bos_token", 0, c.vocab_size - 1, &c.bos_token));
  }
  LAMINA_TRY(config.get_array("eos_tokens"));
  LAMINA_ASSIGN(c.eos_tokens, read_token_list(config, "eos_tokens", c.vocab_size));
  LAMINA_TRY(
      check_heads(c, config.find("n_heads"), config.find("n_kv_heads"), config.find("head_dim")));
  return c;
}

}  // namespace lamina
