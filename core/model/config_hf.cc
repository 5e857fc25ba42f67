// SPDX-License-Identifier: Apache-2.0
// Hugging Face's config.json. Defaults are those of LlamaConfig and MistralConfig; the order in
// which the places of rope parameters win is that of transformers 5
// (RotaryEmbeddingConfigMixin.convert_rope_params_to_dict and standardize_rope_params).
#include "core/model/config.h"
#include "core/model/config_limits.h"

namespace lamina {

namespace {

Result<void> check_architecture(const JsonValue& config) {
  LAMINA_ASSIGN(const std::string type, config.get_string("model_type"));
  if (type != "llama" && type != "mistral") {
    return config.find("model_type")
        .error(Code::kUnsupported, "only model types 'llama' and 'mistral' are supported");
  }
  const JsonValue names = config.find("architectures");
  if (names.is_absent() || (names.is_array() && names.size() == 0)) return {};
  if (!names.is_array()) return names.error(Code::kInvalidModel, "must be a list of strings");
  for (JsonValue name = names.first_child(); !name.is_missing(); name = name.next_sibling()) {
    if (!name.is_string()) return name.error(Code::kInvalidModel, "must be a string");
    if (name.as_string() == "LlamaForCausalLM" || name.as_string() == "MistralForCausalLM") {
      return {};
    }
  }
  return names.first_child().error(Code::kUnsupported,
                                   "only LlamaForCausalLM and MistralForCausalLM are supported");
}

Result<void> check_features(const JsonValue& config) {
  LAMINA_ASSIGN(const std::string act, config.get_string_or("hidden_act", "silu"));
  if (act != "silu") {
    return config.find("hidden_act").error(Code::kUnsupported, "only 'silu' is supported");
  }
  LAMINA_ASSIGN(const double part, config.get_double_or("partial_rotary_factor", 1.0, 0.0, 1.0));
  if (part != 1.0) {
    return config.find("partial_rotary_factor")
        .error(Code::kUnsupported, "heads rotated only in part are not supported");
  }
  if (!config.find("quantization_config").is_absent()) {
    return config.find("quantization_config")
        .error(Code::kUnsupported,
               "already quantized checkpoints are not supported; convert the original one");
  }
  return {};
}

// Attention over a window equals full attention while the window covers every position.
Result<void> check_window(const JsonValue& config, int32_t max_positions) {
  const JsonValue window = config.find("sliding_window");
  if (window.is_null()) return {};
  if (window.is_missing() && config.find("model_type").as_string() != "mistral") return {};
  constexpr int64_t kMistralDefault = 4096;
  LAMINA_ASSIGN(const int64_t size,
                config.get_int_or("sliding_window", kMistralDefault, 1, kMaxPositions));
  if (size >= max_positions) return {};
  return make_error(Code::kUnsupported,
                    "config.json: sliding_window %lld is less than max_position_embeddings %d; "
                    "sliding-window attention is not supported",
                    static_cast<long long>(size), max_positions);
}

Result<void> read_heads(const JsonValue& config, ModelConfig* c) {
  LAMINA_TRY(read_int(config, "num_attention_heads", 1, kMaxHeads, &c->n_heads));
  c->n_kv_heads = c->n_heads;
  if (!config.find("num_key_value_heads").is_absent()) {
    LAMINA_TRY(read_int(config, "num_key_value_heads", 1, kMaxHeads, &c->n_kv_heads));
  }
  if (!config.find("head_dim").is_absent()) {
    return read_int(config, "head_dim", 2, kMaxHeadDim, &c->head_dim);
  }
  c->head_dim = c->hidden_size / c->n_heads;
  if (c->hidden_size % c->n_heads == 0 && c->head_dim >= 2 && c->head_dim <= kMaxHeadDim) return {};
  return config.find("num_attention_heads")
      .error(Code::kInvalidModel, "does not divide hidden_size " + std::to_string(c->hidden_size) +
                                      " into heads of 2 to 1024, and head_dim is not given");
}

Result<void> read_sizes(const JsonValue& config, ModelConfig* c) {
  LAMINA_TRY(read_int(config, "hidden_size", 1, kMaxHidden, &c->hidden_size));
  LAMINA_TRY(read_int(config, "intermediate_size", 1, kMaxIntermediate, &c->intermediate_size));
  LAMINA_TRY(read_int(config, "num_hidden_layers", 1, kMaxLayers, &c->n_layers));
  LAMINA_TRY(read_int(config, "vocab_size", 1, kMaxVocab, &c->vocab_size));
  LAMINA_TRY(read_int(config, "max_position_embeddings", 1, kMaxPositions, &c->max_positions));
  LAMINA_TRY(read_heads(config, c));
  LAMINA_ASSIGN(const double eps, config.get_double_or("rms_norm_eps", 1e-6, 1e-12, 0.1));
  c->rms_norm_eps = static_cast<float>(eps);
  LAMINA_ASSIGN(c->tied_embeddings, config.get_bool_or("tie_word_embeddings", false));
  LAMINA_ASSIGN(c->attention_bias, config.get_bool_or("attention_bias", false));
  LAMINA_ASSIGN(c->mlp_bias, config.get_bool_or("mlp_bias", false));
  return {};
}

bool has_members(const JsonValue& v) { return v.is_object() && v.size() > 0; }

// The object that holds the rope parameters, or kMissing.
Result<JsonValue> rope_object(const JsonValue& config) {
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    const JsonValue v = config.find(name);
    if (!v.is_absent() && !v.is_object()) return v.error(Code::kInvalidModel, "must be an object");
    if (!has_members(v)) continue;
    for (JsonValue m = v.first_child(); !m.is_missing(); m = m.next_sibling()) {
      if (m.is_object()) {
        return m.error(Code::kUnsupported, "rope parameters per layer type are not supported");
      }
    }
    return v;
  }
  return JsonValue();
}

Result<void> read_hf_rope(const JsonValue& config, ModelConfig* c) {
  LAMINA_ASSIGN(c->rope_theta, config.get_double_or("rope_theta", 10000.0, 2.0, 1e12));
  LAMINA_ASSIGN(const JsonValue rope, rope_object(config));
  if (rope.is_missing()) return {};
  LAMINA_TRY(read_rope(rope, &c->rope_theta, &c->rope));
  RopeScaling& r = c->rope;
  if (r.type == RopeType::kLlama3 || r.type == RopeType::kYarn) {
    // The config's own field wins over the one among the parameters.
    LAMINA_ASSIGN(const int64_t original,
                  config.get_int_or("original_max_position_embeddings", r.original_max_positions, 1,
                                    kMaxPositions));
    r.original_max_positions = static_cast<int32_t>(original);
  }
  if (r.factor == 0.0) {
    const int32_t original =
        r.original_max_positions > 0 ? r.original_max_positions : c->max_positions;
    r.factor = static_cast<double>(c->max_positions) / original;
    if (r.factor < 1.0) {
      return rope.error(Code::kInvalidModel,
                        "original_max_position_embeddings exceeds max_position_embeddings");
    }
  }
  return {};
}

Result<void> read_tokens(const JsonValue& config, const JsonValue& generation, ModelConfig* c) {
  const JsonValue& bos = config.find("bos_token_id").is_absent() ? generation : config;
  LAMINA_ASSIGN(const int64_t id, bos.get_int_or("bos_token_id", -1, 0, c->vocab_size - 1));
  c->bos_token = static_cast<int32_t>(id);
  const JsonValue& eos = generation.find("eos_token_id").is_absent() ? config : generation;
  LAMINA_ASSIGN(c->eos_tokens, read_token_list(eos, "eos_token_id", c->vocab_size));
  return {};
}

}  // namespace

Result<ModelConfig> ModelConfig::from_hf(const JsonValue& config,
                                         const JsonValue& generation_config) {
  ModelConfig c;
  LAMINA_TRY(check_architecture(config));
  LAMINA_TRY(check_features(config));
  LAMINA_TRY(read_sizes(config, &c));
  LAMINA_TRY(check_window(config, c.max_positions));
  LAMINA_TRY(read_hf_rope(config, &c));
  LAMINA_TRY(read_tokens(config, generation_config, &c));
  LAMINA_TRY(check_heads(c, config.find("num_attention_heads"), config.find("num_key_value_heads"),
                         config.find("head_dim")));
  return c;
}

}  // namespace lamina
