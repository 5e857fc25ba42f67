// SPDX-License-Identifier: Apache-2.0
// A Hugging Face folder, opened: config, texts, and where each weight's values lie.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/log.h"
#include "core/model/config.h"
#include "core/model/manifest.h"
#include "core/model/safetensors.h"
#include "native/platform/files.h"

namespace lamina {

// A run of values of one tensor of the checkpoint; without a file, zeros.
struct Segment {
  std::string name;
  const FileSource* file = nullptr;
  uint64_t offset = 0;
  uint64_t elements = 0;
  DType dtype = DType::kF32;
};

// Our tensor as a concatenation of theirs: rows of q, k and v follow each other as plain values.
struct TensorSource {
  NamedShape target;
  std::vector<Segment> segments;

  // Values [begin, begin + out.size()) as f32. `raw` is scratch.
  Result<void> read(uint64_t begin, std::span<float> out, std::vector<std::byte>* raw) const;
  // The checkpoint's name for what lies at element `index`.
  const std::string& name_at(uint64_t index) const;
  uint64_t source_bytes() const;
};

class Checkpoint {
 public:
  static Result<Checkpoint> open(const std::string& folder, const LogSink& log);

  ModelConfig config;  // with biases as the tensors have them
  std::string tokenizer_json;
  std::string chat_template, bos_text, eos_text;

  // What `shapes` asks for, in order.
  Result<std::vector<TensorSource>> sources(const std::vector<NamedShape>& shapes) const;

  // Changes when the texts, or the weight files' names, sizes or times do.
  std::string state() const;

 private:
  struct Located {
    const FileSource* file;
    SafetensorsEntry entry;
  };

  Result<void> read_config(const std::string& folder);
  Result<void> read_texts(const std::string& folder, const LogSink& log);
  Result<void> open_weights(const std::string& folder);
  Result<void> open_indexed(const std::string& folder, const std::string& index_path);
  Result<const FileSource*> add_file(const std::string& path, SafetensorsFile* header);
  Result<void> find_biases();
  Result<Segment> segment(const std::string& name, std::vector<uint64_t> shape,
                          bool may_be_missing) const;

  std::string folder_;
  std::string texts_state_;
  std::vector<std::unique_ptr<FileSource>> files_;
  std::map<std::string, Located, std::less<>> tensors_;
};

}  // namespace lamina
