// SPDX-License-Identifier: Apache-2.0
// A model: manifest, tokenizer, chat template, shards.
#include <algorithm>
#include <new>
#include <set>

#include "core/engine/graph_json.h"
#include "web/abi/abi.h"

namespace lamina::abi {

namespace {

Result<Model*> open(std::string_view manifest_json, std::string_view tokenizer_json) {
  if (manifest_json.size() > kMaxManifestBytes) {
    return make_error(Code::kInvalidModel, "manifest.json: %zu bytes are too many",
                      manifest_json.size());
  }
  LAMINA_ASSIGN(Manifest manifest, Manifest::parse(manifest_json, "manifest.json"));
  const FileEntry& file = manifest.tokenizer;
  if (tokenizer_json.size() != file.bytes) {
    return make_error(Code::kIntegrity, "%s: has %zu bytes, the manifest says %llu",
                      file.file.c_str(), tokenizer_json.size(),
                      static_cast<unsigned long long>(file.bytes));
  }
  LAMINA_ASSIGN(Tokenizer tokenizer, Tokenizer::from_json(tokenizer_json, file.file));
  auto model = std::make_unique<Model>(std::move(manifest), std::move(tokenizer));
  if (!model->manifest.chat_template.empty()) {
    LAMINA_ASSIGN(model->chat, ChatTemplate::parse(model->manifest.chat_template, "chat template"));
  }
  return model.release();
}

// Of each shard, the layers whose tensors it holds; -1 for what belongs to none.
std::vector<std::set<int32_t>> shard_layers(const Manifest& m) {
  std::vector<std::set<int32_t>> layers(m.shards.size());
  for (const NamedShape& named : model_tensors(m.config, DType::kF32, 0)) {
    const TensorEntry* t = m.find(named.name);
    if (!t) continue;
    for (const TensorPart& p : t->parts) layers[p.shard].insert(named.layer);
  }
  return layers;
}

void write_file(JsonWriter& json, const std::string& file, uint64_t bytes, const std::string& sha) {
  json.member("file", file).member("bytes", bytes).member("sha256", sha);
}

std::string describe(const Manifest& m) {
  JsonWriter json;
  json.begin_object().member("name", m.name).key("config");
  m.config.write(json);
  json.member("chatTemplate", !m.chat_template.empty()).key("tokenizer").begin_object();
  write_file(json, m.tokenizer.file, m.tokenizer.bytes, m.tokenizer.sha256);
  json.end_object().key("files").begin_array();
  for (const FileEntry& f : m.files) {
    json.begin_object();
    write_file(json, f.file, f.bytes, f.sha256);
    json.end_object();
  }
  json.end_array().key("shards").begin_array();
  const auto layers = shard_layers(m);
  for (size_t i = 0; i < m.shards.size(); ++i) {
    json.begin_object();
    write_file(json, m.shards[i].file, m.shards[i].bytes, m.shards[i].sha256);
    json.key("layers").begin_array();
    for (int32_t layer : layers[i]) json.value(layer);
    json.end_array().end_object();
  }
  return json.end_array().end_object().take();
}

uint64_t kv_bytes(const ModelConfig& c, KvDType dtype, int64_t positions) {
  const uint64_t values = static_cast<uint64_t>(c.n_layers) * 2 * static_cast<uint64_t>(c.n_kv_heads);
  const uint64_t head = static_cast<uint64_t>(c.head_dim);
  const uint64_t bytes = dtype == KvDType::kF32 ? 4 * head : dtype == KvDType::kF16 ? 2 * head : head + 4;
  return values * bytes * static_cast<uint64_t>(positions);
}

// As Step::allocate lays it out, rounded up.
uint64_t activation_bytes(const ModelConfig& c, const EngineOptions& o) {
  const auto rows = static_cast<uint64_t>(o.max_rows);
  const auto widest = static_cast<uint64_t>(std::max({c.hidden_size, c.q_width(), c.intermediate_size}));
  const uint64_t floats = 2 * static_cast<uint64_t>(c.hidden_size + c.q_width()) + widest;
  return rows * (4 * floats + 3 * widest) + 4 * static_cast<uint64_t>(o.max_logit_rows) *
                                                static_cast<uint64_t>(c.vocab_size);
}

Result<std::string> plan(const Manifest& m, std::string_view text) {
  LAMINA_ASSIGN(const auto options, parse_options(text, "options"));
  LAMINA_ASSIGN(const EngineOptions o, engine_options(options->root(), m.config));
  uint64_t weights = 0, shards = 0;
  for (const TensorEntry& t : m.tensors) weights += t.shape.value_bytes() + t.shape.scale_bytes();
  for (const ShardEntry& s : m.shards) shards += s.bytes;
  const int64_t asked = o.cache_positions > 0 ? o.cache_positions
                                              : int64_t{o.context} * o.n_sequences;
  const int64_t positions = (asked + kPageSize - 1) / kPageSize * kPageSize;
  const uint64_t kv = kv_bytes(m.config, o.kv_dtype, positions);
  const uint64_t activations = activation_bytes(m.config, o);
  constexpr uint64_t kLimit = uint64_t{4} << 30, kOwn = uint64_t{32} << 20;  // tokenizer and all
  JsonWriter json;
  json.begin_object().member("context", o.context).member("downloadBytes", shards);
  json.member("weightBytes", weights).member("kvBytes", kv);
  json.member("activationBytes", activations).member("wasmBytes", shards + kv + activations + kOwn);
  json.member("wasmLimit", kLimit).member("fitsWasm", shards + kv + activations + kOwn < kLimit);
  return json.end_object().take();
}

// As the command line reads a prompt: what the post-processor adds once, even where the text begins
// with it.
Result<std::vector<int32_t>> tokenize(const Tokenizer& t, std::string_view text, int32_t flags) {
  const bool add = flags & 1;
  LAMINA_ASSIGN(std::vector<int32_t> ids, t.encode(text, {add, (flags & 2) != 0}));
  if (!add) return ids;
  LAMINA_ASSIGN(const std::vector<int32_t> added, t.encode("", {true, false}));
  const bool twice =
      added.size() == 1 && ids.size() >= 2 && ids[0] == added[0] && ids[1] == added[0];
  if (twice) ids.erase(ids.begin());
  return ids;
}

Result<std::optional<ChatDate>> chat_date(const JsonValue& v) {
  if (v.is_absent()) return std::optional<ChatDate>();
  ChatDate d;
  const auto part = [&](const char* name, int low, int high, int* to) -> Result<void> {
    LAMINA_ASSIGN(const int64_t n, v.get_int(name, low, high));
    *to = static_cast<int>(n);
    return {};
  };
  LAMINA_TRY(part("year", 1, 9999, &d.year));
  LAMINA_TRY(part("month", 1, 12, &d.month));
  LAMINA_TRY(part("day", 1, 31, &d.day));
  LAMINA_TRY(part("hour", 0, 23, &d.hour));
  LAMINA_TRY(part("minute", 0, 59, &d.minute));
  LAMINA_TRY(part("second", 0, 59, &d.second));
  return std::optional<ChatDate>(d);
}

Result<std::vector<int32_t>> chat(const Model& model, std::string_view text) {
  if (!model.chat) {
    return make_error(Code::kUnsupported, "%s has no chat template: it completes text",
                      model.manifest.name.c_str());
  }
  LAMINA_ASSIGN(const auto document, parse_options(text, "chat"));
  const JsonValue root = document->root();
  ChatOptions options;
  options.bos_token = model.manifest.bos_text;
  options.eos_token = model.manifest.eos_text;
  LAMINA_ASSIGN(options.add_generation_prompt, root.get_bool_or("addGenerationPrompt", true));
  LAMINA_ASSIGN(options.date, chat_date(root.find("date")));
  LAMINA_ASSIGN(const JsonValue list, root.get_array("messages"));
  std::vector<ChatMessage> messages;
  for (JsonValue m = list.first_child(); !m.is_missing(); m = m.next_sibling()) {
    ChatMessage& message = messages.emplace_back();
    LAMINA_ASSIGN(message.role, m.get_string("role"));
    LAMINA_ASSIGN(message.content, m.get_string("content"));
  }
  LAMINA_ASSIGN(const ChatPrompt prompt, model.chat->render(messages, options));
  std::vector<TextSegment> segments;
  for (const ChatSegment& s : prompt.segments) segments.push_back({s.text, s.trusted});
  return model.tokenizer.encode(segments, false);
}

int32_t give_ids(Result<std::vector<int32_t>> ids) {
  if (!ids) return fail(ids.error(), 0);
  results().ints = std::move(*ids);
  return 1;
}

int32_t give(Result<std::string> text) {
  if (!text) return fail(text.error(), 0);
  return give_text(std::move(*text));
}

}  // namespace

}  // namespace lamina::abi

using namespace lamina::abi;

LaminaModel* lamina_model_open(const char* manifest, uint32_t manifest_bytes, const char* tokenizer,
                               uint32_t tokenizer_bytes) {
  auto model = open(view(manifest, manifest_bytes), view(tokenizer, tokenizer_bytes));
  return model ? *model : fail(model.error(), static_cast<Model*>(nullptr));
}

void lamina_model_close(LaminaModel* model) { delete model; }

int32_t lamina_model_describe(LaminaModel* model) { return give_text(describe(model->manifest)); }

int32_t lamina_model_plan(LaminaModel* model, const char* options, uint32_t bytes) {
  return give(plan(model->manifest, view(options, bytes)));
}

int32_t lamina_model_graph(LaminaModel* model, int32_t context) {
  return give(lamina::graph_json(model->manifest, context));
}

void* lamina_model_shard(LaminaModel* model, uint32_t index) {
  const auto target = model->shards.target(index);
  return target ? *target : fail(target.error(), static_cast<std::byte*>(nullptr));
}

int32_t lamina_model_shard_done(LaminaModel* model, uint32_t index) {
  const auto done = model->shards.done(index);
  return done ? 1 : fail(done.error(), 0);
}

int32_t lamina_model_tokenize(LaminaModel* model, const char* text, uint32_t bytes, int32_t flags) {
  return give_ids(tokenize(model->tokenizer, view(text, bytes), flags));
}

int32_t lamina_model_detokenize(LaminaModel* model, const int32_t* ids, uint32_t n,
                                int32_t skip_special) {
  return give_text(model->tokenizer.decode({ids, n}, {skip_special != 0}));
}

int32_t lamina_model_chat(LaminaModel* model, const char* chat_json, uint32_t bytes) {
  return give_ids(chat(*model, view(chat_json, bytes)));
}
