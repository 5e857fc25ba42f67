// SPDX-License-Identifier: Apache-2.0
// What the parts of the interface share: objects behind the pointers, errors and results.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "core/base/json.h"
#include "core/engine/engine.h"
#include "core/model/chat_template.h"
#include "core/model/tokenizer.h"
#include "web/abi/lamina_abi.h"
#include "web/abi/shard_store.h"

namespace lamina::abi {

struct Model {
  Model(Manifest m, Tokenizer t) : manifest(std::move(m)), tokenizer(std::move(t)), shards(&manifest) {}

  Manifest manifest;
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat;
  ShardStore shards;
};

struct Engine {
  Model* model;
  WeightMap weights;
  std::unique_ptr<lamina::Engine> engine;
  CpuBackend* cpu = nullptr;  // of `engine`, unless remote
  bool remote = false;
};

// A prompt that is computed layer by layer while weights arrive.
struct Prefill {
  struct Chunk {
    std::vector<Row> rows;
    std::vector<float> hidden;  // [rows][hidden_size]
  };
  std::vector<Chunk> chunks;
  int32_t layer = 0;  // the next part: this layer of this chunk
  size_t chunk = 0;
};

struct Session {
  Engine* engine;
  AtLimit at_limit;
  lamina::Session session;
  std::vector<int32_t> prompt;  // what set_prompt was given, and the options with it
  std::string options;
  int32_t top_logprobs = -1;  // of each token; -1: none are wanted
  // Restored: so many positions were cached where it came from. While nothing is cached here, a move
  // may bring their KV; not after a slide, since how far its sinks are turned is not known.
  int32_t saved_positions = 0;
  bool saved_slid = false;
  std::optional<Prefill> prefill = {};
};

// Forgets a prefill that has begun, if any: nothing of it is in the cache.
void abandon(Session& session);
// kInvalidArgument while shards are missing of an engine that computes here.
Result<void> has_weights(const Engine& engine);

// What an answer's options say.
struct Answer {
  AnswerOptions options;
  int32_t top_logprobs = -1;
};

// The module's result buffers.
struct Results {
  Error error{Code::kInvalidArgument, ""};
  std::string text;
  std::vector<int32_t> ints;
  std::vector<float> floats;
  std::vector<uint16_t> halves;
  std::vector<EventView> events;
  std::deque<std::string> event_texts;
  std::deque<std::vector<LogprobView>> event_logprobs;
};
Results& results();

// Keeps the error and gives `value`, for the call to return.
template <typename T>
T fail(const Error& error, T value) {
  results().error = error;
  return value;
}

void clear_events();
void add_event(int32_t index, const Session& session, TokenEvent event);
int32_t give_text(std::string text);  // 1

inline std::string_view view(const char* text, uint32_t bytes) { return {text, bytes}; }

// Options from JavaScript: an object, or nothing at all. Whatever is wrong with them is
// kInvalidArgument.
Result<std::unique_ptr<JsonDocument>> parse_options(std::string_view json, std::string_view what);

Result<EngineOptions> engine_options(const JsonValue& options, const ModelConfig& config);
Result<Answer> answer_options(const JsonValue& options);

// A backend whose work is done elsewhere.
std::unique_ptr<Backend> make_remote_backend();

}  // namespace lamina::abi
