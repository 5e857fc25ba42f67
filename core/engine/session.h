// SPDX-License-Identifier: Apache-2.0
// One conversation. Sans-IO: next() says what to compute, accept() takes what was computed and
// yields text. Whoever drives it (Engine natively, an await loop in the browser) does the waiting.
//
//   session.set_prompt(ids);
//   while (!session.finished()) {
//     session.next(batch, max_rows);       // prompt chunk or one token
//     ... backend runs the batch ...
//     event = session.accept(logits);      // only when the rows wanted logits
//   }
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/engine/backend.h"
#include "core/engine/batch.h"
#include "core/engine/kv_pool.h"
#include "core/engine/sampler.h"
#include "core/engine/text_stream.h"
#include "core/model/config.h"
#include "core/model/tokenizer.h"

namespace lamina {

enum class FinishReason : uint8_t {
  kNone,       // going on
  kEos,        // the model ended its turn
  kStop,       // a stop string
  kLength,     // max_new_tokens
  kContext,    // the context is full and the session does not slide
  kCancelled,
};

std::string_view finish_reason_name(FinishReason reason);  // "eos" "stop" "length" ...

enum class AtLimit : uint8_t {
  kStop,   // end with kContext
  kSlide,  // drop the oldest page after the first; the first page stays as attention sink
           // (Xiao et al., "Efficient streaming language models with attention sinks", 2023)
};

struct SessionOptions {
  int32_t context = 0;  // positions kept at most; rounded down to whole pages, at least 2
  AtLimit at_limit = AtLimit::kStop;
};

struct AnswerOptions {
  SamplingParams sampling;
  std::vector<std::string> stop;
  int32_t max_new_tokens = -1;  // -1: until something else ends it
  bool ignore_eos = false;
  bool keep_logits = false;  // TokenEvent::logits is wanted, so no token is chosen on the device
};

struct TokenEvent {
  int32_t token = -1;  // -1: none, text flushed at the end
  std::string text;    // whole code points; may be empty while text is held back
  FinishReason finish = FinishReason::kNone;
  // What the token was chosen from, before biases and penalties; empty where the device chose. Valid
  // until the next step.
  std::span<const float> logits = {};
};

// Before the next step a sliding session wants its first page's keys turned: the driver exports
// `from_page` (kPageSize positions, canonical f16), hands it to Session::turn_sinks, and imports
// the result to `to_page`.
struct SlideWork {
  int32_t from_page, to_page;
};

class Session {
 public:
  // `tokenizer` may be null: then no text is made and no stop strings are found. Everything
  // pointed to outlives the session.
  static Result<Session> create(const ModelConfig& config, const RopeFrequencies& rope,
                                const Tokenizer* tokenizer, KvPool* pool,
                                const SessionOptions& options);

  // Makes the context equal `ids`, keeping the cached positions of the common beginning, and
  // begins an answer. Errors: no ids, an id outside the vocabulary, more ids than the context
  // holds (unless sliding), bad options.
  Result<void> set_prompt(std::span<const int32_t> ids, const AnswerOptions& options);

  // How much of the prompt the last set_prompt() found cached.
  int32_t reused_tokens() const { return reused_; }

  // The positions from n_cached() on lie in `pages` already, computed from the same tokens for
  // another sequence: takes shares of them. REQUIRES: n_cached() is a whole number of pages, the
  // session has not slid, and a token is left to compute.
  void share_pages(std::span<const int32_t> pages);

  // Set when the driver owes slide work before next().
  Result<std::optional<SlideWork>> begin_slide();
  void turn_sinks(std::span<uint16_t> page_kv);  // in place, canonical layout of one page

  // Appends this session's next rows, at most max_rows, and its block table to `batch`. Returns how
  // many; 0 when finished, and then finish_reason() says why. Block tables stay valid until the
  // next call on this session. The last row wants logits when it is the last known token.
  Result<int32_t> next(Batch& batch, int32_t max_rows);

  // After a next() of one row that wants logits: how many steps, this one included and at most `most`,
  // a backend may run by itself (Backend::decode), with pages taken for them. Each token goes through
  // accept_token(), with a next() between two; what comes after an end is forgotten.
  int32_t look_ahead(int32_t most);

  // The rows of the last next() were not computed after all: the step failed.
  void undo_next();

  // True when the rows of the last next() end with one that wants logits: accept() is due.
  bool wants_logits() const { return wants_logits_; }

  // Takes the logits of that row, samples, and says what happened. `logits` may be changed.
  TokenEvent accept(std::span<const float> logits);
  // The same when the device has sampled by sampler().choice(). REQUIRES: wants_logits().
  TokenEvent accept_token(int32_t token);

  // Ends the answer; gives text that was held back.
  TokenEvent cancel();

  // A session with the same tokens and options that shares all whole cached pages.
  Result<Session> fork() const;

  // Forgets the KV (it will be recomputed), e.g. after the device was lost. Tokens stay.
  void drop_kv();
  // Moves to another engine of the same model, whose `pages` hold the first n_positions of what is
  // cached here, or (unless it has slid) of its tokens but for the last, and whose sequences have at
  // most `context` positions; the rest is pending again.
  // Returns the old pages. REQUIRES: fits(context, n_positions); see Engine::bind.
  KvPages rebind(const ModelConfig& config, const RopeFrequencies& rope, int32_t context,
                 KvPages pages, int32_t n_positions);
  // kResourceExhausted when this session, with n_positions of its cache, can't go on in `context`.
  Result<void> fits(int32_t context, int32_t n_positions) const;

  bool finished() const { return finish_ != FinishReason::kNone; }
  FinishReason finish_reason() const { return finish_; }
  std::span<const int32_t> tokens() const { return tokens_; }  // prompt and answer
  int32_t n_cached() const { return n_cached_; }               // positions in the KV cache
  int32_t n_generated() const { return n_generated_; }
  int32_t n_evicted() const { return n_evicted_; }
  // Tokens known but not in the cache yet. tokens()[i] lies at kv index i, or i - n_evicted()
  // beyond the sink page.
  int32_t n_pending() const {
    return static_cast<int32_t>(tokens_.size()) - n_cached_ - n_evicted_;
  }
  std::span<const int32_t> pages() const { return pages_.pages(); }
  const ModelConfig& config() const { return *config_; }
  const RopeFrequencies& rope() const { return *rope_; }
  const Sampler& sampler() const { return *sampler_; }
  bool keeps_logits() const { return answer_.keep_logits; }

 private:
  Session(const ModelConfig& config, const RopeFrequencies& rope, const Tokenizer* tokenizer,
          KvPool* pool, const SessionOptions& options);

  void rewind(int32_t n_tokens);
  TokenEvent take(int32_t token);
  TokenEvent finish(FinishReason reason, int32_t token);
  bool is_eos(int32_t token) const;

  const ModelConfig* config_;
  const RopeFrequencies* rope_;
  const Tokenizer* tokenizer_;
  SessionOptions options_;
  AnswerOptions answer_;
  KvPages pages_;
  std::vector<int32_t> tokens_;
  int32_t n_cached_ = 0;   // kv indices 0..n_cached_-1 are in the cache
  int32_t n_before_ = 0;   // n_cached_ before the last next()
  int32_t n_evicted_ = 0;  // positions dropped by sliding, a multiple of kPageSize
  int32_t n_generated_ = 0;
  int32_t reused_ = 0;
  int32_t sink_turn_ = 0;                // positions by which the sink page's keys must be turned
  std::vector<uint16_t> sink_original_;  // the first page as it was before any turn
  std::optional<Sampler> sampler_;
  std::optional<TextStream> text_;
  std::optional<Tokenizer::StreamDecoder> decoder_;
  bool wants_logits_ = false;
  FinishReason finish_ = FinishReason::kLength;
};

}  // namespace lamina
