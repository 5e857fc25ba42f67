// SPDX-License-Identifier: Apache-2.0
#include "core/model/manifest.h"

#include <cstdio>

namespace lamina {

namespace {

void write_file(const FileEntry& f, JsonWriter& out) {
  out.begin_object();
  out.member("file", f.file).member("bytes", f.bytes).member("sha256", f.sha256);
  out.end_object();
}

void write_part(const TensorPart& p, bool scales, JsonWriter& out) {
  out.begin_object();
  out.member("shard", p.shard).member("offset", p.offset);
  if (scales) out.member("scale_offset", p.scale_offset);
  out.member("row_begin", p.row_begin).member("rows", p.rows);
  out.end_object();
}

std::string tensor_json(const TensorEntry& t) {
  const bool quantized = t.shape.dtype == DType::kI8;
  JsonWriter out;
  out.begin_object();
  out.member("name", t.name).member("dtype", dtype_name(t.shape.dtype));
  out.member("rows", t.shape.rows).member("cols", t.shape.cols);
  if (quantized) out.member("group", t.shape.group);
  out.key("parts").begin_array();
  for (const TensorPart& part : t.parts) write_part(part, quantized, out);
  out.end_array().end_object();
  return out.take();
}

std::string file_json(const FileEntry& f) {
  JsonWriter out;
  write_file(f, out);
  return out.take();
}

std::string shard_json(const ShardEntry& s) { return file_json({s.file, s.bytes, s.sha256}); }

std::string layer_json(const LayerPrecision& l) {
  JsonWriter out;
  out.begin_object().member("attention", l.attention).member("mlp", l.mlp).end_object();
  return out.take();
}

std::string config_json(const ModelConfig& config) {
  JsonWriter out;
  config.write(out);
  return out.take();
}

std::string provenance_json(const Provenance& p) {
  JsonWriter out;
  out.begin_object().member("source", p.source).member("converter", p.converter);
  out.member("calibration", p.calibration).end_object();
  return out.take();
}

// One member a line, and one element a line for lists: compact, and a diff shows what changed.
class Lines {
 public:
  void member(std::string_view name, std::string_view json) {
    text_ += text_.empty() ? "{\n" : ",\n";
    text_ += json_quote(name);
    text_ += ": ";
    text_ += json;
  }
  template <typename T, typename ToJson>
  void list(std::string_view name, const std::vector<T>& items, ToJson to_json) {
    std::string json = "[";
    for (const T& item : items) {
      json += json.size() == 1 ? "\n  " : ",\n  ";
      json += to_json(item);
    }
    member(name, json + (items.empty() ? "]" : "\n]"));
  }
  std::string take() { return std::move(text_) + "\n}\n"; }

 private:
  std::string text_;
};

void append_layer(const ModelConfig& c, int32_t n, DType dtype, int32_t group,
                  std::vector<NamedShape>* out) {
  const std::string prefix = "layers." + std::to_string(n) + ".";
  const auto matrix = [&](const char* name, int32_t rows, int32_t cols) {
    out->push_back({prefix + name, {dtype, rows, cols, group}, n});
  };
  const auto vector = [&](const char* name, int32_t cols) {
    out->push_back({prefix + name, {DType::kF32, 1, cols, 0}, n});
  };
  vector("attention_norm", c.hidden_size);
  matrix("qkv", c.qkv_width(), c.hidden_size);
  if (c.attention_bias) vector("qkv_bias", c.qkv_width());
  matrix("attention_out", c.hidden_size, c.q_width());
  if (c.attention_bias) vector("attention_out_bias", c.hidden_size);
  vector("mlp_norm", c.hidden_size);
  matrix("gate_up", 2 * c.intermediate_size, c.hidden_size);
  if (c.mlp_bias) vector("gate_up_bias", 2 * c.intermediate_size);
  matrix("down", c.hidden_size, c.intermediate_size);
  if (c.mlp_bias) vector("down_bias", c.hidden_size);
}

}  // namespace

std::string shard_file_name(size_t index) {
  char name[40];
  std::snprintf(name, sizeof name, "shards/%05zu.bin", index);
  return name;
}

std::string precision_name(DType dtype, int32_t group) {
  std::string name(dtype_name(dtype));
  if (dtype == DType::kI8 && group != 0) name += "/" + std::to_string(group);
  return name;
}

const TensorEntry* Manifest::find(std::string_view tensor) const {
  for (const TensorEntry& t : tensors) {
    if (t.name == tensor) return &t;
  }
  return nullptr;
}

std::string Manifest::to_json() const {
  Lines out;
  out.member("format", "\"lamina\"");
  out.member("version", std::to_string(kManifestVersion));
  out.member("name", json_quote(name));
  out.member("config", config_json(config));
  out.member("tokenizer", file_json(tokenizer));
  out.member("chat_template", json_quote(chat_template));
  out.member("bos_text", json_quote(bos_text));
  out.member("eos_text", json_quote(eos_text));
  out.list("files", files, file_json);
  out.list("layers", layers, layer_json);
  out.list("shards", shards, shard_json);
  out.list("tensors", tensors, tensor_json);
  out.member("provenance", provenance_json(provenance));
  return out.take();
}

std::vector<NamedShape> model_tensors(const ModelConfig& config, DType dtype, int32_t group) {
  if (dtype != DType::kI8) group = 0;
  const WeightShape table{dtype, config.vocab_size, config.hidden_size, group};
  std::vector<NamedShape> out;
  out.push_back({"token_embedding", table, -1});
  for (int32_t n = 0; n < config.n_layers; ++n) append_layer(config, n, dtype, group, &out);
  out.push_back({"final_norm", {DType::kF32, 1, config.hidden_size, 0}, -1});
  if (!config.tied_embeddings) out.push_back({"lm_head", table, -1});
  return out;
}

}  // namespace lamina
