// SPDX-License-Identifier: Apache-2.0
// Reading a manifest: every field's type and range. What fields mean together is checked in
// manifest_check.cc.
#include "core/model/manifest.h"
#include "core/model/manifest_check.h"

namespace lamina {

namespace {

constexpr size_t kMaxShards = 1 << 16;
constexpr size_t kMaxFiles = 64;
constexpr size_t kMaxTensors = 1 << 16;
constexpr int64_t kMaxBytes = int64_t{1} << 50;

bool is_hex64(std::string_view text) {
  if (text.size() != 64) return false;
  for (char c : text) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

// Letters, digits and ._- only, not starting with a dot: no path, no device, nothing hidden.
bool is_plain_name(std::string_view name) {
  if (name.empty() || name.size() > 100 || name[0] == '.') return false;
  for (char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
    if (!plain) return false;
  }
  return name != "manifest.json" && name != "manifest.sig" && name != "shards";
}

Result<FileEntry> read_hashed(const JsonValue& v) {
  FileEntry f;
  LAMINA_ASSIGN(f.file, v.get_string("file"));
  LAMINA_ASSIGN(const int64_t bytes, v.get_int("bytes", 0, kMaxBytes));
  f.bytes = static_cast<uint64_t>(bytes);
  LAMINA_ASSIGN(f.sha256, v.get_string("sha256"));
  if (!is_hex64(f.sha256)) {
    return v.find("sha256").error(Code::kInvalidModel, "must be 64 lower-case hex digits");
  }
  return f;
}

Result<FileEntry> read_file_entry(const JsonValue& v) {
  LAMINA_ASSIGN(FileEntry f, read_hashed(v));
  if (!is_plain_name(f.file)) {
    return v.find("file").error(Code::kInvalidModel, "must be a plain file name");
  }
  return f;
}

Result<std::string> read_text(const JsonValue& root, std::string_view name, size_t most) {
  LAMINA_ASSIGN(std::string text, root.get_string(name));
  if (text.size() > most) {
    return root.find(name).error(Code::kInvalidModel,
                                 "longer than " + std::to_string(most) + " bytes");
  }
  return text;
}

// Calls read(element, index) for each element of the list `name`.
template <typename Read>
Result<void> read_list(const JsonValue& root, std::string_view name, size_t most, Read read) {
  LAMINA_ASSIGN(const JsonValue list, root.get_array(name));
  if (list.size() > most) {
    return list.error(Code::kInvalidModel, "has more than " + std::to_string(most) + " entries");
  }
  size_t index = 0;
  for (JsonValue v = list.first_child(); !v.is_missing(); v = v.next_sibling()) {
    LAMINA_TRY(read(v, index++));
  }
  return {};
}

Result<void> read_shard(const JsonValue& v, size_t index, std::vector<ShardEntry>* out) {
  LAMINA_ASSIGN(FileEntry f, read_hashed(v));
  if (f.file != shard_file_name(index)) {
    return v.find("file").error(Code::kInvalidModel, "must be '" + shard_file_name(index) + "'");
  }
  if (f.bytes == 0) return v.find("bytes").error(Code::kInvalidModel, "must not be 0");
  out->push_back({std::move(f.file), f.bytes, std::move(f.sha256)});
  return {};
}

Result<void> read_layer(const JsonValue& v, std::vector<LayerPrecision>* out) {
  LayerPrecision l;
  LAMINA_ASSIGN(l.attention, v.get_string("attention"));
  LAMINA_ASSIGN(l.mlp, v.get_string("mlp"));
  out->push_back(std::move(l));
  return {};
}

Result<WeightShape> read_shape(const JsonValue& v) {
  WeightShape s;
  LAMINA_ASSIGN(const std::string dtype, v.get_string("dtype"));
  const auto known = dtype_from_name(dtype);
  if (!known) return v.find("dtype").error(Code::kInvalidModel, "unknown dtype");
  s.dtype = *known;
  LAMINA_ASSIGN(const int64_t rows, v.get_int("rows", 1, kMaxTensorRows));
  LAMINA_ASSIGN(const int64_t cols, v.get_int("cols", 1, kMaxTensorCols));
  s.rows = static_cast<int32_t>(rows);
  s.cols = static_cast<int32_t>(cols);
  if (s.dtype != DType::kI8) return s;
  LAMINA_ASSIGN(const int64_t group, v.get_int("group", 0, 128));
  s.group = static_cast<int32_t>(group);
  if (group == 0 || group == 32 || group == 64 || group == 128) return s;
  return v.find("group").error(Code::kInvalidModel, "must be 0, 32, 64 or 128");
}

Result<void> read_part(const JsonValue& v, TensorEntry* tensor) {
  TensorPart p;
  LAMINA_ASSIGN(const int64_t shard, v.get_int("shard", 0, kMaxShards - 1));
  LAMINA_ASSIGN(const int64_t offset, v.get_int("offset", 0, kMaxBytes));
  LAMINA_ASSIGN(const int64_t begin, v.get_int("row_begin", 0, tensor->shape.rows - 1));
  LAMINA_ASSIGN(const int64_t rows, v.get_int("rows", 1, tensor->shape.rows));
  p.shard = static_cast<uint32_t>(shard);
  p.offset = static_cast<uint64_t>(offset);
  p.row_begin = static_cast<int32_t>(begin);
  p.rows = static_cast<int32_t>(rows);
  if (tensor->shape.dtype == DType::kI8) {
    LAMINA_ASSIGN(const int64_t scales, v.get_int("scale_offset", 0, kMaxBytes));
    p.scale_offset = static_cast<uint64_t>(scales);
  }
  tensor->parts.push_back(p);
  return {};
}

Result<void> read_tensor(const JsonValue& v, std::vector<TensorEntry>* out) {
  TensorEntry t;
  LAMINA_ASSIGN(t.name, v.get_string("name"));
  LAMINA_ASSIGN(t.shape, read_shape(v));
  LAMINA_TRY(read_list(v, "parts", static_cast<size_t>(t.shape.rows),
                       [&](const JsonValue& part, size_t) { return read_part(part, &t); }));
  out->push_back(std::move(t));
  return {};
}

Result<void> read_version(const JsonValue& root) {
  LAMINA_ASSIGN(const std::string format, root.get_string("format"));
  if (format != "lamina") {
    return root.find("format").error(Code::kInvalidModel, "must be 'lamina'");
  }
  LAMINA_ASSIGN(const int64_t version, root.get_int("version", 1, 1 << 20));
  if (version == kManifestVersion) return {};
  return root.find("version").error(
      Code::kUnsupported, "this program reads version " + std::to_string(kManifestVersion) +
                              "; update it or convert the model again");
}

Result<void> read_texts(const JsonValue& root, Manifest* m) {
  LAMINA_ASSIGN(m->name, read_text(root, "name", 200));
  LAMINA_ASSIGN(m->chat_template, read_text(root, "chat_template", size_t{1} << 20));
  LAMINA_ASSIGN(m->bos_text, read_text(root, "bos_text", 256));
  LAMINA_ASSIGN(m->eos_text, read_text(root, "eos_text", 256));
  LAMINA_ASSIGN(const JsonValue p, root.get_object("provenance"));
  LAMINA_ASSIGN(m->provenance.source, read_text(p, "source", 200));
  LAMINA_ASSIGN(m->provenance.converter, read_text(p, "converter", 200));
  LAMINA_ASSIGN(m->provenance.calibration, read_text(p, "calibration", 200));
  return {};
}

Result<void> read_tables(const JsonValue& root, Manifest* m) {
  LAMINA_ASSIGN(const JsonValue tokenizer, root.get_object("tokenizer"));
  LAMINA_ASSIGN(m->tokenizer, read_file_entry(tokenizer));
  LAMINA_TRY(read_list(root, "files", kMaxFiles, [&](const JsonValue& v, size_t) -> Result<void> {
    LAMINA_ASSIGN(FileEntry f, read_file_entry(v));
    m->files.push_back(std::move(f));
    return {};
  }));
  LAMINA_TRY(read_list(root, "layers", static_cast<size_t>(m->config.n_layers),
                       [&](const JsonValue& v, size_t) { return read_layer(v, &m->layers); }));
  LAMINA_TRY(read_list(root, "shards", kMaxShards,
                       [&](const JsonValue& v, size_t i) { return read_shard(v, i, &m->shards); }));
  return read_list(root, "tensors", kMaxTensors,
                   [&](const JsonValue& v, size_t) { return read_tensor(v, &m->tensors); });
}

}  // namespace

Result<Manifest> Manifest::parse(std::string_view json, std::string_view what) {
  JsonLimits limits;
  limits.max_bytes = kMaxManifestBytes;
  limits.max_depth = 16;
  LAMINA_ASSIGN(const auto document, JsonDocument::parse(json, what, limits));
  const JsonValue root = document->root();
  Manifest m;
  LAMINA_TRY(read_version(root));
  LAMINA_ASSIGN(const JsonValue config, root.get_object("config"));
  LAMINA_ASSIGN(m.config, ModelConfig::from_manifest(config));
  LAMINA_TRY(read_texts(root, &m));
  LAMINA_TRY(read_tables(root, &m));
  LAMINA_TRY(check_manifest(m, what));
  return m;
}

}  // namespace lamina
