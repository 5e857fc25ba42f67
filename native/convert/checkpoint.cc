// SPDX-License-Identifier: Apache-2.0
#include "native/convert/checkpoint.h"

#include <algorithm>
#include <bit>

#include "core/base/half.h"
#include "core/model/tokenizer.h"
#include "native/platform/sha256.h"

namespace lamina {

namespace {

constexpr size_t kMaxConfig = size_t{4} << 20;
constexpr size_t kMaxTokenizer = size_t{256} << 20;
constexpr size_t kMaxIndex = size_t{64} << 20;

using Document = std::unique_ptr<JsonDocument>;

Result<Document> read_json(const std::string& path, size_t most, std::string* text) {
  LAMINA_ASSIGN(*text, read_file(path, most));
  return JsonDocument::parse(*text, path);
}

// Null when the file is missing.
Result<Document> read_optional_json(const std::string& path, std::string* text) {
  if (!file_exists(path)) return Document();
  return read_json(path, kMaxConfig, text);
}

// A token as tokenizer_config.json gives it: a string, or an object with "content".
Result<std::string> token_text(const JsonValue& config, std::string_view name) {
  JsonValue v = config.find(name);
  if (v.is_object()) v = v.find("content");
  if (v.is_absent()) return std::string();
  if (v.is_string()) return std::string(v.as_string());
  return v.error(Code::kInvalidModel, "must be a string or an object with \"content\"");
}

// One template, or the one named "default" of several.
Result<std::string> template_text(const JsonValue& config, const LogSink& log) {
  const JsonValue v = config.find("chat_template");
  if (v.is_absent()) return std::string();
  if (v.is_string()) return std::string(v.as_string());
  if (!v.is_array()) return v.error(Code::kInvalidModel, "must be a string or a list of templates");
  for (JsonValue item = v.first_child(); !item.is_missing(); item = item.next_sibling()) {
    LAMINA_ASSIGN(const std::string name, item.get_string("name"));
    if (name == "default" || v.size() == 1) return item.get_string("template");
  }
  if (log) log(LogLevel::kWarning, "no chat template is named \"default\": none is taken");
  return std::string();
}

const float* f16_table() {
  static const auto table = [] {
    std::vector<float> t(1 << 16);
    for (size_t bits = 0; bits < t.size(); ++bits)
      t[bits] = f16_to_f32(static_cast<uint16_t>(bits));
    return t;
  }();
  return table.data();
}

void widen(DType dtype, const std::byte* raw, std::span<float> out) {
  if (dtype == DType::kF32) {
    std::memcpy(out.data(), raw, out.size_bytes());
    return;
  }
  const float* halves = f16_table();
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, raw + 2 * i, 2);
    out[i] = dtype == DType::kF16 ? halves[bits] : std::bit_cast<float>(uint32_t{bits} << 16);
  }
}

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (uint64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

// Names of the checkpoint's tensors that make up ours, for "layers.N." tensors without "N.".
struct Recipe {
  std::string_view ours;
  std::vector<std::string_view> theirs;
};
const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> all = {
      {"attention_norm", {"input_layernorm.weight"}},
      {"qkv", {"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"}},
      {"qkv_bias", {"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"}},
      {"attention_out", {"self_attn.o_proj.weight"}},
      {"attention_out_bias", {"self_attn.o_proj.bias"}},
      {"mlp_norm", {"post_attention_layernorm.weight"}},
      {"gate_up", {"mlp.gate_proj.weight", "mlp.up_proj.weight"}},
      {"gate_up_bias", {"mlp.gate_proj.bias", "mlp.up_proj.bias"}},
      {"down", {"mlp.down_proj.weight"}},
      {"down_bias", {"mlp.down_proj.bias"}}};
  return all;
}

std::vector<std::string> their_names(const NamedShape& t) {
  if (t.name == "token_embedding") return {"model.embed_tokens.weight"};
  if (t.name == "final_norm") return {"model.norm.weight"};
  if (t.name == "lm_head") return {"lm_head.weight"};
  const std::string prefix = "layers." + std::to_string(t.layer) + ".";
  std::vector<std::string> names;
  for (const Recipe& r : recipes()) {
    if (t.name != prefix + std::string(r.ours)) continue;
    for (std::string_view theirs : r.theirs)
      names.push_back("model." + prefix + std::string(theirs));
  }
  LAMINA_CHECK(!names.empty());
  return names;
}

// Rows (or, of a vector, columns) that each of `n` pieces of `t` has.
std::vector<uint64_t> piece_sizes(const ModelConfig& c, const NamedShape& t, size_t n) {
  const auto total = static_cast<uint64_t>(std::max(t.shape.rows, 1));
  const auto width = [](int32_t v) { return static_cast<uint64_t>(v); };
  if (n == 3) return {width(c.q_width()), width(c.kv_width()), width(c.kv_width())};
  if (n == 2) return {width(c.intermediate_size), width(c.intermediate_size)};
  const bool vector = t.shape.rows == 1 && t.shape.dtype == DType::kF32;
  return {vector ? width(t.shape.cols) : total};
}

// Says what else a folder is that is no checkpoint.
Result<void> check_folder(const std::string& folder) {
  const char* path = folder.c_str();
  if (!is_directory(folder)) {
    const char* what =
        file_exists(folder) ? "is a file; the checkpoint's folder is needed" : "no such folder";
    return make_error(Code::kNotFound, "%s: %s", path, what);
  }
  if (file_exists(join_path(folder, "config.json"))) return {};
  const bool converted = file_exists(join_path(folder, "manifest.json"));
  return make_error(
      Code::kNotFound, "%s holds no config.json: %s", path,
      converted ? "it seems to be a converted model already" : "it is no Hugging Face checkpoint");
}

}  // namespace

Result<void> TensorSource::read(uint64_t begin, std::span<float> out,
                                std::vector<std::byte>* raw) const {
  uint64_t start = 0;  // of the segment
  for (const Segment& s : segments) {
    const uint64_t end = start + s.elements;
    if (!out.empty() && begin < end) {
      const auto n = static_cast<size_t>(std::min<uint64_t>(out.size(), end - begin));
      const auto part = out.first(n);
      if (s.file == nullptr) {
        std::fill(part.begin(), part.end(), 0.0f);
      } else {
        raw->resize(n * dtype_bytes(s.dtype));
        LAMINA_TRY(s.file->read(s.offset + (begin - start) * dtype_bytes(s.dtype), *raw));
        widen(s.dtype, raw->data(), part);
      }
      out = out.subspan(n);
      begin += n;
    }
    start = end;
  }
  LAMINA_CHECK(out.empty());
  return {};
}

const std::string& TensorSource::name_at(uint64_t index) const {
  for (const Segment& s : segments) {
    if (index < s.elements) return s.name;
    index -= s.elements;
  }
  return target.name;
}

uint64_t TensorSource::source_bytes() const {
  uint64_t total = 0;
  for (const Segment& s : segments) {
    if (s.file != nullptr) total += s.elements * dtype_bytes(s.dtype);
  }
  return total;
}

Result<Checkpoint> Checkpoint::open(const std::string& folder, const LogSink& log) {
  LAMINA_TRY(check_folder(folder));
  Checkpoint c;
  c.folder_ = folder;
  LAMINA_TRY(c.read_config(folder));
  LAMINA_TRY(c.read_texts(folder, log));
  LAMINA_TRY(c.open_weights(folder));
  LAMINA_TRY(c.find_biases());
  return c;
}

Result<void> Checkpoint::read_config(const std::string& folder) {
  std::string text, generation_text;
  LAMINA_ASSIGN(const Document document,
                read_json(join_path(folder, "config.json"), kMaxConfig, &text));
  LAMINA_ASSIGN(const Document generation,
                read_optional_json(join_path(folder, "generation_config.json"), &generation_text));
  const JsonValue none;
  LAMINA_ASSIGN(config,
                ModelConfig::from_hf(document->root(), generation ? generation->root() : none));
  texts_state_ += sha256_hex(text) + sha256_hex(generation_text);
  return {};
}

Result<void> Checkpoint::read_texts(const std::string& folder, const LogSink& log) {
  const std::string path = join_path(folder, "tokenizer.json");
  if (!file_exists(path)) {
    return make_error(Code::kNotFound,
                      "%s: no such file; a tokenizer.model alone is not enough: save the tokenizer "
                      "with transformers' AutoTokenizer to get one",
                      path.c_str());
  }
  LAMINA_TRY(read_json(path, kMaxTokenizer, &tokenizer_json));
  // What can't be used later is refused now.
  const Result<Tokenizer> tokenizer = Tokenizer::from_json(tokenizer_json, path);
  if (!tokenizer) return tokenizer.error();
  std::string text;
  LAMINA_ASSIGN(const Document document,
                read_optional_json(join_path(folder, "tokenizer_config.json"), &text));
  if (document) {
    LAMINA_ASSIGN(bos_text, token_text(document->root(), "bos_token"));
    LAMINA_ASSIGN(eos_text, token_text(document->root(), "eos_token"));
    LAMINA_ASSIGN(chat_template, template_text(document->root(), log));
  }
  const std::string jinja = join_path(folder, "chat_template.jinja");
  if (file_exists(jinja)) {
    LAMINA_ASSIGN(chat_template, read_file(jinja, kMaxConfig));
  }
  texts_state_ += sha256_hex(tokenizer_json) + sha256_hex(text) + sha256_hex(chat_template);
  return {};
}

Result<const FileSource*> Checkpoint::add_file(const std::string& path, SafetensorsFile* header) {
  LAMINA_ASSIGN(auto file, FileSource::open(path));
  LAMINA_ASSIGN(*header, SafetensorsFile::read(*file));
  files_.push_back(std::move(file));
  return files_.back().get();
}

// As transformers does: one file if there is one, else the index.
Result<void> Checkpoint::open_weights(const std::string& folder) {
  const std::string single = join_path(folder, "model.safetensors");
  const std::string index = join_path(folder, "model.safetensors.index.json");
  if (!file_exists(single)) {
    if (file_exists(index)) return open_indexed(folder, index);
    return make_error(Code::kNotFound,
                      "%s: neither model.safetensors nor model.safetensors.index.json is there; "
                      "other formats (.bin, .pth, .gguf) are not read",
                      folder.c_str());
  }
  SafetensorsFile header;
  LAMINA_ASSIGN(const FileSource* file, add_file(single, &header));
  for (const SafetensorsEntry& e : header.entries()) tensors_.emplace(e.name, Located{file, e});
  return {};
}

Result<void> Checkpoint::open_indexed(const std::string& folder, const std::string& index_path) {
  LAMINA_ASSIGN(const std::string text, read_file(index_path, kMaxIndex));
  LAMINA_ASSIGN(const SafetensorsIndex index, SafetensorsIndex::parse(text, index_path));
  texts_state_ += sha256_hex(text);
  std::vector<SafetensorsFile> headers(index.files.size());
  std::vector<const FileSource*> files;
  for (size_t i = 0; i < index.files.size(); ++i) {
    LAMINA_ASSIGN(const FileSource* file, add_file(join_path(folder, index.files[i]), &headers[i]));
    files.push_back(file);
  }
  for (const auto& [name, file] : index.tensors) {
    const SafetensorsEntry* entry = headers[file].find(name);
    if (entry == nullptr) {
      return make_error(Code::kInvalidModel, "%s: tensor %s is not in %s", index_path.c_str(),
                        quote(name).c_str(), index.files[file].c_str());
    }
    tensors_.emplace(name, Located{files[file], *entry});
  }
  return {};
}

// A bias counts when any layer has it; layers without it get zeros.
Result<void> Checkpoint::find_biases() {
  const auto any = [&](std::string_view part) {
    return std::any_of(tensors_.begin(), tensors_.end(), [&](const auto& t) {
      return t.first.starts_with("model.layers.") && t.first.ends_with("_proj.bias") &&
             t.first.find(part) != std::string::npos;
    });
  };
  const bool attention = any(".self_attn.");
  const bool mlp = any(".mlp.");
  if ((config.attention_bias && !attention) || (config.mlp_bias && !mlp)) {
    return make_error(Code::kInvalidModel,
                      "%s: config.json says %s, but the checkpoint has no such tensor",
                      folder_.c_str(), attention ? "mlp_bias" : "attention_bias");
  }
  config.attention_bias = attention;
  config.mlp_bias = mlp;
  return {};
}

Result<Segment> Checkpoint::segment(const std::string& name, std::vector<uint64_t> shape,
                                    bool may_be_missing) const {
  Segment s;
  s.name = name;
  s.elements = 1;
  for (uint64_t n : shape) s.elements *= n;
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    if (may_be_missing) return s;
    return make_error(Code::kNotFound, "%s: tensor %s is missing%s", folder_.c_str(), name.c_str(),
                      name == "lm_head.weight" ? " and tie_word_embeddings is false" : "");
  }
  const SafetensorsEntry& e = found->second.entry;
  if (e.shape != shape) {
    return make_error(Code::kInvalidModel, "%s: tensor %s: shape is %s, config.json asks %s",
                      found->second.file->name().c_str(), name.c_str(), shape_text(e.shape).c_str(),
                      shape_text(shape).c_str());
  }
  if (!e.dtype) {
    return make_error(Code::kUnsupported,
                      "%s: tensor %s: dtype %s; only F32, F16 and BF16 are read",
                      found->second.file->name().c_str(), name.c_str(), e.dtype_text.c_str());
  }
  s.file = found->second.file;
  s.offset = e.offset;
  s.dtype = *e.dtype;
  return s;
}

Result<std::vector<TensorSource>> Checkpoint::sources(const std::vector<NamedShape>& shapes) const {
  std::vector<TensorSource> out;
  for (const NamedShape& t : shapes) {
    TensorSource source{t, {}};
    const std::vector<std::string> names = their_names(t);
    const std::vector<uint64_t> sizes = piece_sizes(config, t, names.size());
    const bool vector = t.name.ends_with("norm") || t.name.ends_with("_bias");
    for (size_t i = 0; i < names.size(); ++i) {
      std::vector<uint64_t> shape{sizes[i]};
      if (!vector) shape.push_back(static_cast<uint64_t>(t.shape.cols));
      LAMINA_ASSIGN(Segment s, segment(names[i], std::move(shape), t.name.ends_with("_bias")));
      source.segments.push_back(std::move(s));
    }
    out.push_back(std::move(source));
  }
  return out;
}

std::string Checkpoint::state() const {
  std::string text = texts_state_;
  for (const auto& file : files_) {
    const FileState& s = file->state();
    text += "\n" + base_name(file->name()) + " " + std::to_string(s.size) + " " +
            std::to_string(s.mtime_ns);
  }
  return sha256_hex(text);
}

}  // namespace lamina
