// SPDX-License-Identifier: Apache-2.0
// What the daemon serves, without any network: models and the generations that run on them. One
// compute thread per loaded model steps all its generations together; callers come from any thread
// and are told what happens by callbacks.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/log.h"
#include "core/base/result.h"
#include "core/engine/session.h"
#include "core/model/chat_template.h"

namespace lamina::daemon {

using GenerationId = uint64_t;  // never reused; 0 is none

struct GenerateRequest {
  std::string model;                  // a loaded model's name; empty: the default one
  std::vector<ChatMessage> messages;  // rendered by the model's chat template,
  std::string begun;                  // and how the answer to them begins already; or
  std::string prompt;                 // completed as it stands, when there are no messages; or
  std::vector<int32_t> prompt_ids;    // tokens already
  AnswerOptions answer;
  int32_t top_logprobs = -1;          // -1: no logprobs; 0 to 20 alternatives per token
  std::string caller;                 // who asks: in the queue different ones take turns
};

struct Logprob {
  int32_t token = -1;
  float logprob = 0.0f;
  std::string bytes;  // the token's text, perhaps part of a code point
};

struct Usage {
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;  // of the prompt, found in the KV cache; may grow until the first token
  int32_t completion_tokens = 0;
};

struct Timings {  // seconds
  double queued = 0.0;
  double first_token = 0.0;  // from leaving the queue
  double total = 0.0;        // from submit
};

struct GenerationEvent {
  enum class Kind : uint8_t {
    kStarted,  // left the queue: usage.prompt_tokens and usage.cached_tokens are known
    kToken,    // text (whole code points, may be empty), token, logprobs when asked for
    kDone,     // finish, usage, timings; text that was held back came as a kToken before
    kFailed,   // error; the generation is over
    kNotice,   // text: one line for the user (device lost, backend switched)
  };
  Kind kind = Kind::kToken;
  int32_t token = -1;
  std::string text;
  std::vector<Logprob> logprobs;  // [0] is the token's own, then the most likely ones
  FinishReason finish = FinishReason::kNone;
  Usage usage;
  Timings timings;
  Error error;
  std::chrono::steady_clock::time_point computed{};  // when the token was known, for latency metrics
};

// Called on a compute thread, in order, never again after kDone or kFailed. Must not block and must
// not call the service.
using OnEvent = std::function<void(const GenerationEvent&)>;

struct ModelStatus {
  std::string name;
  std::string directory;
  std::string backend;         // "cpu", "vulkan": in use
  std::string backend_reason;  // why this one
  std::string device;
  std::vector<std::string> backends;  // that can be switched to
  int32_t context = 0;                // positions of one generation
  int32_t parallel = 0;               // generations that run at once
  int32_t running = 0, queued = 0;    // paused ones run
  double tokens_per_second = 0.0;  // of the last second, all generations
  uint64_t weight_bytes = 0, kv_bytes = 0, activation_bytes = 0;
  int32_t kv_pages = 0, kv_pages_used = 0, kv_pages_cached = 0;  // cached: kept for later prompts
};

struct LoadProgress {
  std::string stage;  // "checking" "loading" "preparing"
  uint64_t done = 0, total = 0;
};

struct ServiceOptions {
  std::string backend = "auto";
  int threads = 0;
  int32_t context = 0;    // 0: the model's, at most 8192
  int32_t parallel = 8;
  int32_t queue = 64;  // generations that may wait; more are refused with kQueueFull, or, where a
                       // caller has more here than who comes, that one's last in its place
  KvDType kv_dtype = KvDType::kF16;
  // Positions of a model's KV cache in all, at least one context; 0: parallel x context. With less,
  // generations that find it full wait and are computed again later.
  int32_t cache_positions = 0;
  int32_t device = 0;            // which GPU
  uint64_t memory_budget = 0;    // of its memory; 0: what is free
  std::string load = "auto";     // "mmap" "huge"
  bool require_signature = false;         // refuse models that no trusted key has signed
  std::vector<std::string> trusted_keys;  // accept only these signers ("ed25519:..." or a file)
  LogSink log;                   // from any thread; no prompt's or answer's text goes there
};

// Thread-safe.
class Service {
 public:
  static Result<std::unique_ptr<Service>> create(const ServiceOptions& options);
  virtual ~Service() = default;  // cancels everything, joins

  // Blocking; other models go on meanwhile. `progress` is called from the calling thread or a loader's.
  virtual Result<void> load(const std::string& directory, const std::string& name,
                            const std::function<void(const LoadProgress&)>& progress) = 0;
  // Its generations fail with kUnloaded first.
  virtual Result<void> unload(const std::string& name) = 0;

  // Errors that need no compute (unknown model, kContextExceeded, bad options, kQueueFull,
  // kDraining) come back at once, and `on_event` is never called then.
  virtual Result<GenerationId> submit(GenerateRequest request, OnEvent on_event) = 0;
  // Ends it within one step, with kDone and FinishReason::kCancelled. Unknown ids are ignored.
  virtual void cancel(GenerationId id) = 0;
  // For a slow reader: a paused generation is not stepped, and its turn may go to another meanwhile.
  // What the step in progress yields still comes. Unknown ids are ignored.
  virtual void pause(GenerationId id, bool paused) = 0;

  // Moves a model's running generations, with their KV, between two steps. Blocking.
  virtual Result<void> switch_backend(const std::string& model, const std::string& backend) = 0;

  virtual std::vector<ModelStatus> status() const = 0;

  // From now on load() and submit() are refused with kDraining.
  virtual void refuse_new() = 0;
  // The same, and returns when nothing runs. What does after `seconds` fails with kDraining, and
  // false is returned.
  virtual bool drain(double seconds) = 0;
};

}  // namespace lamina::daemon
