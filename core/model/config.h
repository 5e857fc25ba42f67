// SPDX-License-Identifier: Apache-2.0
// What a Llama-family checkpoint says about itself, validated once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"

namespace lamina {

enum class RopeType : uint8_t { kDefault, kLinear, kDynamic, kLlama3, kYarn };

std::string_view rope_type_name(RopeType type);  // "default" "linear" "dynamic" "llama3" "yarn"

// Names and formulas as in Hugging Face transformers' modeling_rope_utils. Fields that a type does
// not use keep their defaults.
struct RopeScaling {
  RopeType type = RopeType::kDefault;
  double factor = 1.0;
  double low_freq_factor = 1.0;               // llama3
  double high_freq_factor = 4.0;              // llama3
  int32_t original_max_positions = 0;         // llama3, yarn; 0 = config.max_positions
  double attention_factor = 0.0;              // yarn; 0 = derive from factor (and mscale)
  double beta_fast = 32.0, beta_slow = 1.0;   // yarn
  double mscale = 0.0, mscale_all_dim = 0.0;  // yarn; 0 = not given
  bool truncate = true;                       // yarn: correction range cut to whole dimensions
  bool operator==(const RopeScaling&) const = default;
};

struct ModelConfig {
  int32_t hidden_size = 0;
  int32_t intermediate_size = 0;
  int32_t n_layers = 0;
  int32_t n_heads = 0;
  int32_t n_kv_heads = 0;
  int32_t head_dim = 0;  // even
  int32_t vocab_size = 0;
  int32_t max_positions = 0;
  float rms_norm_eps = 1e-5f;
  double rope_theta = 10000.0;
  RopeScaling rope;
  bool tied_embeddings = false;
  bool attention_bias = false;
  bool mlp_bias = false;
  int32_t bos_token = -1;           // -1: none
  std::vector<int32_t> eos_tokens;  // generation ends at any of them; may be empty

  int32_t q_width() const { return n_heads * head_dim; }
  int32_t kv_width() const { return n_kv_heads * head_dim; }
  int32_t qkv_width() const { return q_width() + 2 * kv_width(); }
  bool operator==(const ModelConfig&) const = default;

  // From a Hugging Face config.json (model_type "llama" or "mistral" without a sliding window;
  // rope as old rope_theta + rope_scaling or as new rope_parameters). `generation_config` may be
  // missing; its eos_token_id wins where present. Ranges are checked; kInvalidModel or, for an
  // architecture or activation that is not ours, kUnsupported.
  static Result<ModelConfig> from_hf(const JsonValue& config, const JsonValue& generation_config);

  // The manifest's canonical form, and back.
  void write(JsonWriter& out) const;
  static Result<ModelConfig> from_manifest(const JsonValue& config);
};

// Frequencies of rotary position embedding. The pair (i, i + head_dim/2) of a head is turned by
// position * inv_freq[i] (the "half" pairing of Hugging Face checkpoints), and cos and sin are
// multiplied by attention_factor.
struct RopeFrequencies {
  std::vector<float> inv_freq;  // head_dim / 2
  float attention_factor = 1.0f;

  // cos and sin of one position, each head_dim / 2 values.
  void fill(int32_t position, float* cos, float* sin) const;
};

// `context`: how many positions the caller will use. Dynamic scaling takes its base from it, once,
// so that keys written early and late agree (transformers recomputes as the sequence grows).
RopeFrequencies rope_frequencies(const ModelConfig& config, int32_t context);

}  // namespace lamina
