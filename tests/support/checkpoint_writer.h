// SPDX-License-Identifier: Apache-2.0
// Small Hugging Face folders with random weights, written by the tests that need them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/half.h"
#include "core/base/json.h"
#include "core/base/numeric.h"

namespace lamina::test {

inline std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void spill(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  EXPECT_TRUE(file.flush()) << path;
}

// Every file below `folder` by relative path, with its content: two folders are equal when these
// are.
inline std::map<std::string, std::string> files_below(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    files[std::filesystem::relative(entry.path(), folder)] = slurp(entry.path());
  }
  return files;
}

struct RawTensor {
  std::string name;
  std::vector<uint64_t> shape;
  std::vector<float> values;
};

class SafetensorsWriter {
 public:
  void add(const RawTensor& t, const std::string& dtype) {
    const size_t begin = data_.size();
    for (float v : t.values) {
      if (dtype == "F32") {
        append(&v, 4);
      } else {
        const uint16_t bits = dtype == "F16" ? f32_to_f16(v) : f32_to_bf16(v);
        append(&bits, 2);
      }
    }
    header_.key(t.name).begin_object().member("dtype", dtype);
    header_.key("shape").begin_array();
    for (uint64_t n : t.shape) header_.value(n);
    header_.end_array().key("data_offsets").begin_array();
    header_.value(static_cast<uint64_t>(begin)).value(static_cast<uint64_t>(data_.size()));
    header_.end_array().end_object();
  }

  std::string bytes() {
    header_.end_object();
    const std::string header = header_.take();
    std::string out;
    for (size_t i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i));
    return out + header + data_;
  }

 private:
  void append(const void* bytes, size_t n) { data_.append(static_cast<const char*>(bytes), n); }
  JsonWriter header_ = [] {
    JsonWriter w;
    w.begin_object().key("__metadata__").begin_object().member("format", "pt").end_object();
    return w;
  }();
  std::string data_;
};

struct CheckpointSpec {
  uint64_t hidden = 48, intermediate = 80, layers = 3, heads = 4, kv_heads = 2, head_dim = 16;
  uint64_t vocab = 96;
  bool tied = false;
  std::string dtype = "F32";  // F32, F16 or BF16
  size_t files = 1;           // more: an index and that many parts
  bool biases = false;        // of all projections
  uint64_t seed = 3;
  std::string config_extra;  // ,"name":value members for config.json
  // May change any tensor before it is written; returning false drops it.
  std::function<bool(RawTensor&)> edit;
};

inline std::vector<RawTensor> random_tensors(const CheckpointSpec& s) {
  Random random(s.seed);
  std::vector<RawTensor> out;
  const auto add = [&](const std::string& name, std::vector<uint64_t> shape) {
    size_t n = 1;
    for (uint64_t d : shape) n *= d;
    RawTensor t{name, std::move(shape), std::vector<float>(n)};
    for (float& v : t.values) v = random.next_unit() - 0.5f;
    if (!s.edit || s.edit(t)) out.push_back(std::move(t));
  };
  const auto projection = [&](const std::string& name, uint64_t rows, uint64_t cols) {
    add(name + ".weight", {rows, cols});
    if (s.biases) add(name + ".bias", {rows});
  };
  add("model.embed_tokens.weight", {s.vocab, s.hidden});
  for (uint64_t n = 0; n < s.layers; ++n) {
    const std::string p = "model.layers." + std::to_string(n) + ".";
    add(p + "input_layernorm.weight", {s.hidden});
    projection(p + "self_attn.q_proj", s.heads * s.head_dim, s.hidden);
    projection(p + "self_attn.k_proj", s.kv_heads * s.head_dim, s.hidden);
    projection(p + "self_attn.v_proj", s.kv_heads * s.head_dim, s.hidden);
    projection(p + "self_attn.o_proj", s.hidden, s.heads * s.head_dim);
    add(p + "post_attention_layernorm.weight", {s.hidden});
    projection(p + "mlp.gate_proj", s.intermediate, s.hidden);
    projection(p + "mlp.up_proj", s.intermediate, s.hidden);
    projection(p + "mlp.down_proj", s.hidden, s.intermediate);
  }
  add("model.norm.weight", {s.hidden});
  if (!s.tied) add("lm_head.weight", {s.vocab, s.hidden});
  return out;
}

inline std::string config_text(const CheckpointSpec& s) {
  JsonWriter out;
  out.begin_object().member("model_type", "llama").member("hidden_size", s.hidden);
  out.member("intermediate_size", s.intermediate).member("num_hidden_layers", s.layers);
  out.member("num_attention_heads", s.heads).member("num_key_value_heads", s.kv_heads);
  out.member("head_dim", s.head_dim).member("vocab_size", s.vocab);
  out.member("max_position_embeddings", 128).member("rms_norm_eps", 1e-5);
  out.member("tie_word_embeddings", s.tied).member("eos_token_id", 2);
  out.end_object();
  std::string text = out.take();
  text.insert(text.size() - 1, s.config_extra);
  return text;
}

// Returns the tensors as written (before rounding to the dtype).
inline std::vector<RawTensor> write_checkpoint(const std::string& folder, const CheckpointSpec& s) {
  std::filesystem::create_directories(folder);
  spill(folder + "/config.json", config_text(s));
  spill(folder + "/tokenizer.json", 
        R"({"version":"1.0","model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}})");
  const std::vector<RawTensor> tensors = random_tensors(s);
  std::vector<SafetensorsWriter> parts(s.files);
  JsonWriter index;
  index.begin_object().key("weight_map").begin_object();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t part = i * s.files / tensors.size();
    parts[part].add(tensors[i], s.dtype);
    index.member(tensors[i].name, "model-" + std::to_string(part) + ".safetensors");
  }
  index.end_object().end_object();
  if (s.files == 1) {
    spill(folder + "/model.safetensors", parts[0].bytes());
    return tensors;
  }
  spill(folder + "/model.safetensors.index.json", index.text());
  for (size_t i = 0; i < parts.size(); ++i) {
    spill(folder + "/model-" + std::to_string(i) + ".safetensors", parts[i].bytes());
  }
  return tensors;
}

}  // namespace lamina::test
