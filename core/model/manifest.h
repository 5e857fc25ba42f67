// SPDX-License-Identifier: Apache-2.0
// manifest.json of a model folder: what is in it and what it must hash to.
//
// Tensor names (N = layer): token_embedding [vocab, hidden], layers.N.attention_norm [1, hidden],
// layers.N.qkv [(n_heads + 2 n_kv_heads) head_dim, hidden] (q rows, then k, then v),
// layers.N.attention_out [hidden, n_heads head_dim], layers.N.mlp_norm [1, hidden],
// layers.N.gate_up [2 intermediate, hidden] (gate rows, then up), layers.N.down [hidden,
// intermediate], final_norm [1, hidden], lm_head [vocab, hidden] (absent when tied); biases, where
// the checkpoint has them, are f32 rows: layers.N.qkv_bias, attention_out_bias, gate_up_bias,
// down_bias. Norms and biases are always f32.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/model/config.h"
#include "core/tensor/weight.h"

namespace lamina {

constexpr int kManifestVersion = 1;
constexpr size_t kMaxManifestBytes = size_t{64} << 20;

std::string shard_file_name(size_t index);  // "shards/00000.bin"
std::string precision_name(DType dtype, int32_t group);  // "i8" "i8/32" "f16" "f32"

struct ShardEntry {
  std::string file;    // "shards/00000.bin": only names of this form are accepted
  uint64_t bytes = 0;
  std::string sha256;  // 64 lower-case hex digits
};

struct FileEntry {     // tokenizer.json and other side files, hashed like shards
  std::string file;    // a plain name, no directory part
  uint64_t bytes = 0;
  std::string sha256;
};

// Rows [row_begin, row_begin + rows) of a tensor, whole in one shard.
struct TensorPart {
  uint32_t shard = 0;
  uint64_t offset = 0;        // of the values, a multiple of kTensorAlignment
  uint64_t scale_offset = 0;  // of the f32 scales (i8 only), a multiple of kTensorAlignment
  int32_t row_begin = 0;
  int32_t rows = 0;
};

struct TensorEntry {
  std::string name;
  WeightShape shape;
  std::vector<TensorPart> parts;  // in row order, covering every row once
};

struct LayerPrecision { std::string attention, mlp; };  // "i8", "i8/32", "f16", "f32"

struct Provenance {
  std::string source;     // name of the source folder, no path
  std::string converter;  // "lamina 0.1.0"
  std::string calibration;  // "none" until quantization learns from data
};

struct Manifest {
  ModelConfig config;
  std::string name;                   // model name for people
  FileEntry tokenizer;                // tokenizer.json
  std::string chat_template;          // Jinja source, empty when the model has none
  std::string bos_text, eos_text;     // what templates print for bos_token and eos_token
  std::vector<FileEntry> files;       // other side files, tokenizer excluded
  std::vector<LayerPrecision> layers;
  std::vector<ShardEntry> shards;
  std::vector<TensorEntry> tensors;   // in file order
  Provenance provenance;

  const TensorEntry* find(std::string_view tensor) const;

  // Canonical JSON: the same manifest gives the same bytes.
  std::string to_json() const;

  // Parses and checks everything that can be checked without the shards: version, config, names,
  // shapes against config (every needed tensor, no unknown one), alignment, parts inside shards,
  // no two regions overlapping, row cover, hash syntax. `what` names the text in errors.
  static Result<Manifest> parse(std::string_view json, std::string_view what);
};

// The tensors that a model of this config consists of, with weights in `dtype`/`group`: the one
// list that converter, manifest check, graph and synthetic models share. Order = file order.
struct NamedShape {
  std::string name;
  WeightShape shape;
  int32_t layer = -1;  // -1: not of a layer
};
std::vector<NamedShape> model_tensors(const ModelConfig& config, DType dtype, int32_t group);

}  // namespace lamina
