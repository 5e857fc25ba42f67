// SPDX-License-Identifier: Apache-2.0
// A prepared backend with its KV pool, and the blocking loop that drives sessions on it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "core/engine/backend.h"
#include "core/engine/kv_pool.h"
#include "core/engine/prefix_cache.h"
#include "core/engine/session.h"

namespace lamina {

struct EngineOptions {
  int32_t context = 0;          // positions of one sequence; 0 = the model's own limit
  int32_t n_sequences = 1;      // sequences of that length that fit the cache together
  int32_t max_rows = 512;       // rows of a step
  int32_t max_logit_rows = 64;  // rows of a step that may want logits
  KvDType kv_dtype = KvDType::kF16;
  // Tokens that a backend which can may decode by itself, when one session alone decodes and
  // nothing adjusts its logits:
  // an end is noticed at most so many tokens late, and what was computed beyond is dropped.
  int32_t tokens_per_submit = 8;
  // Positions of the cache in all; 0: n_sequences of `context`. Never less than one `context`.
  int32_t cache_positions = 0;
};

class Engine {
 public:
  // `weights` and what they point to outlive the engine.
  static Result<std::unique_ptr<Engine>> create(std::unique_ptr<Backend> backend,
                                                const ModelConfig& config,
                                                const WeightMap& weights,
                                                const EngineOptions& options);

  Result<Session> new_session(const Tokenizer* tokenizer, AtLimit at_limit = AtLimit::kStop);

  // One step for all unfinished `sessions` together, their decode rows first, prompts sharing the
  // rest of max_rows (share_rows), or `prompt_rows` where that is less and there are decode rows;
  // `on_event` gets each session's event. False when none had work. On an error, as of a KV cache
  // that is full, no session has changed.
  using OnEvent = std::function<void(Session&, const TokenEvent&)>;
  Result<bool> step(std::span<Session* const> sessions, const OnEvent& on_event,
                    int32_t prompt_rows = INT32_MAX);

  // Runs one session's answer to its end. `on_event` returns false to cancel.
  Result<void> generate(Session& session, const std::function<bool(const TokenEvent&)>& on_event);

  // Logits of every position of `ids`, in order, in chunks; for scoring. Uses the pool's free pages
  // and gives them back.
  using OnLogits = std::function<void(int32_t position, std::span<const float> logits)>;
  Result<void> forward(std::span<const int32_t> ids, const OnLogits& on_logits);

  // Takes over a session that ran on `from`, with its KV: between two steps. On an error it stays
  // where it is.
  Result<void> adopt(Session& session, Engine& from);

  // The two halves of it. receive() fills pages of this engine with the first n_positions of the
  // session's cache, which `read` gives page by page in the canonical form; it may keep fewer, and
  // keeps none where this engine rotates keys by other frequencies. bind() moves the session.
  struct Received {
    KvPages pages;
    int32_t n_positions;
  };
  using ReadPage = std::function<Result<void>(size_t page, std::span<uint16_t> kv)>;
  Result<Received> receive(const Session& session, int32_t n_positions, const ReadPage& read);
  void bind(Session& session, Received received);
  // Fills free pages, up to so many bytes of KV, with what `from` has kept for later prompts, as
  // far as it can be had.
  void take_prefixes(Engine& from, uint64_t most_bytes);

  // Gives back the device and its memory, e.g. after a loss. Sessions stay bound until they move;
  // a step is kDevice from now on.
  void drop_backend() { backend_.reset(); }
  bool has_backend() const { return backend_ != nullptr; }

  // REQUIRES: has_backend().
  Backend& backend() {
    LAMINA_CHECK(has_backend());
    return *backend_;
  }
  const Backend& backend() const {
    LAMINA_CHECK(has_backend());
    return *backend_;
  }
  KvPool& pool() { return *pool_; }
  // Pages of the pool that are kept for later prompts. Gives way to whoever needs a page.
  PrefixCache& prefix_cache() { return *prefix_cache_; }
  const Graph& graph() const { return graph_; }
  const RopeFrequencies& rope() const { return rope_; }
  const EngineOptions& options() const { return options_; }

 private:
  Engine() = default;
  Result<void> fill_batch(std::span<Session* const> sessions, int32_t prompt_rows);
  Result<int32_t> take_rows(Session& session, int32_t most);
  Result<void> slide(Session& session);
  Result<bool> decode_ahead(Session& session, const OnEvent& on_event);

  Graph graph_;
  RopeFrequencies rope_;
  EngineOptions options_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<KvPool> pool_;
  std::unique_ptr<PrefixCache> prefix_cache_;  // of pool_, and destroyed before it
  Batch batch_;
  std::vector<Session*> in_batch_, prompts_;
  std::vector<int32_t> wanted_, shares_;
  int32_t logits_left_ = 0;
  std::vector<float> units_;
};

// Deals `rows` of a step to prompts that want so many each, the first in line first: it gets half of
// what there is, the next half of the rest and so on, and what is left over goes down the line again.
// So a long prompt hurries and nobody behind it waits for its end.
void share_rows(std::span<const int32_t> wanted, int32_t rows, std::vector<int32_t>& shares);

}  // namespace lamina
