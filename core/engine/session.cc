// SPDX-License-Identifier: Apache-2.0
#include "core/engine/session.h"

#include <algorithm>

#include "core/base/half.h"

namespace lamina {

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone: return "none";
    case FinishReason::kEos: return "eos";
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kContext: return "context";
    case FinishReason::kCancelled: return "cancelled";
  }
  return "?";
}

Result<Session> Session::create(const ModelConfig& config, const RopeFrequencies& rope,
                                const Tokenizer* tokenizer, KvPool* pool,
                                const SessionOptions& options) {
  const int32_t least = options.at_limit == AtLimit::kSlide ? 3 * kPageSize : 2;
  if (options.context < least) {
    return make_error(Code::kInvalidArgument, "context of %d positions: at least %d are needed%s",
                      options.context, least,
                      options.at_limit == AtLimit::kSlide ? " for a sliding one" : "");
  }
  Session session(config, rope, tokenizer, pool, options);
  if (options.at_limit == AtLimit::kSlide) {
    session.options_.context = options.context / kPageSize * kPageSize;
  }
  return session;
}

Session::Session(const ModelConfig& config, const RopeFrequencies& rope,
                 const Tokenizer* tokenizer, KvPool* pool, const SessionOptions& options)
    : config_(&config), rope_(&rope), tokenizer_(tokenizer), options_(options), pages_(pool) {}

Result<void> Session::set_prompt(std::span<const int32_t> ids, const AnswerOptions& options) {
  if (ids.empty()) {
    return make_error(Code::kInvalidArgument,
                      "the prompt is empty and the model has no beginning-of-text token");
  }
  const auto bad = std::ranges::find_if(
      ids, [&](int32_t id) { return id < 0 || id >= config_->vocab_size; });
  if (bad != ids.end()) {
    return make_error(Code::kInvalidArgument, "token id %d is outside the vocabulary of %d", *bad,
                      config_->vocab_size);
  }
  if (options_.at_limit == AtLimit::kStop && ids.size() > static_cast<size_t>(options_.context)) {
    return make_error(Code::kContextExceeded,
                      "the prompt has %zu tokens, the context holds %d: shorten it, raise the "
                      "context size, or let the context slide",
                      ids.size(), options_.context);
  }
  LAMINA_TRY(options.sampling.validate(config_->vocab_size));
  LAMINA_ASSIGN(TextStream text, TextStream::create(options.stop));

  const auto common = std::ranges::mismatch(tokens_, ids).in1 - tokens_.begin();
  // The last token is computed again in any case: its logits are needed.
  rewind(static_cast<int32_t>(std::min<size_t>(static_cast<size_t>(common), ids.size() - 1)));
  reused_ = n_cached_ + n_evicted_;

  tokens_.assign(ids.begin(), ids.end());
  answer_ = options;
  sampler_.emplace(options.sampling);
  for (int32_t id : ids) sampler_->accept(id);
  text_ = std::move(text);
  if (tokenizer_) decoder_.emplace(*tokenizer_);
  n_generated_ = 0;
  wants_logits_ = false;
  finish_ = options.max_new_tokens == 0 ? FinishReason::kLength : FinishReason::kNone;
  return {};
}

// Keeps the cache of at most the first n_tokens tokens. A shared page may not be written into, and
// what slid away can't be had again, so the cut may fall earlier.
void Session::rewind(int32_t n_tokens) {
  if (n_evicted_ > 0 && n_tokens < n_evicted_ + kPageSize) return drop_kv();
  n_cached_ = std::min(n_cached_, n_tokens - n_evicted_);
  const int32_t whole = n_cached_ / kPageSize;
  if (n_cached_ % kPageSize != 0 &&
      pages_.pool()->shared(pages_.pages()[static_cast<size_t>(whole)])) {
    n_cached_ = whole * kPageSize;
  }
  pages_.truncate(div_up(static_cast<size_t>(n_cached_), kPageSize));
}

void Session::share_pages(std::span<const int32_t> pages) {
  const auto whole = static_cast<size_t>(n_cached_ / kPageSize);
  const auto more = static_cast<int32_t>(pages.size()) * kPageSize;
  LAMINA_CHECK(n_cached_ % kPageSize == 0 && n_evicted_ == 0 && more < n_pending());
  pages_.truncate(whole);
  for (int32_t page : pages) pages_.append_shared(page);
  n_cached_ = n_before_ = n_cached_ + more;
  reused_ += more;
}

void Session::drop_kv() {
  pages_.truncate(0);
  n_cached_ = n_before_ = 0;
  n_evicted_ = 0;
  sink_turn_ = 0;
  sink_original_.clear();
}

Result<std::optional<SlideWork>> Session::begin_slide() {
  const bool full = n_cached_ == options_.context;
  if (finished() || options_.at_limit != AtLimit::kSlide || !full || n_pending() == 0) {
    return std::optional<SlideWork>();
  }
  SlideWork work{pages_.pages()[0], pages_.pages()[0]};
  if (pages_.pool()->shared(work.from_page)) {
    LAMINA_ASSIGN(work.to_page, pages_.pool()->allocate());
    pages_.replace(0, work.to_page);
  }
  pages_.erase(1);
  n_cached_ -= kPageSize;
  n_evicted_ += kPageSize;
  sink_turn_ += kPageSize;
  return std::optional<SlideWork>(work);
}

void Session::turn_sinks(std::span<uint16_t> page_kv) {
  LAMINA_CHECK(page_kv.size() == kv_export_size(*config_, kPageSize));
  // Turning always starts from the original, so that rounding doesn't add up.
  if (sink_original_.empty()) sink_original_.assign(page_kv.begin(), page_kv.end());
  std::ranges::copy(sink_original_, page_kv.begin());

  const auto d = static_cast<size_t>(config_->head_dim);
  std::vector<float> cos(d / 2), sin(d / 2);
  rope_->fill(sink_turn_, cos.data(), sin.data());
  for (size_t i = 0; i < d / 2; ++i) {  // keys carry the attention factor already
    cos[i] /= rope_->attention_factor;
    sin[i] /= rope_->attention_factor;
  }
  const size_t half_layer = static_cast<size_t>(config_->kv_width()) * kPageSize;
  for (size_t layer = 0; layer < static_cast<size_t>(config_->n_layers); ++layer) {
    const auto keys = page_kv.subspan(layer * 2 * half_layer, half_layer);
    for (size_t at = 0; at < keys.size(); at += d) {
      for (size_t i = 0; i < d / 2; ++i) {
        const float a = f16_to_f32(keys[at + i]), b = f16_to_f32(keys[at + i + d / 2]);
        keys[at + i] = f32_to_f16(a * cos[i] - b * sin[i]);
        keys[at + i + d / 2] = f32_to_f16(b * cos[i] + a * sin[i]);
      }
    }
  }
}

Result<int32_t> Session::next(Batch& batch, int32_t max_rows) {
  wants_logits_ = false;
  if (finished()) return 0;
  const int32_t rows = std::min({n_pending(), max_rows, options_.context - n_cached_});
  if (rows <= 0) return 0;
  LAMINA_TRY(pages_.reserve(n_cached_ + rows));
  const auto sequence = static_cast<int32_t>(batch.sequences.size());
  batch.sequences.push_back({pages_.pages()});
  for (int32_t i = 0; i < rows; ++i) {
    Row row;
    row.kv_index = n_cached_ + i;
    row.position = row.kv_index + n_evicted_;
    row.token = tokens_[static_cast<size_t>(row.position)];
    row.sequence = sequence;
    row.wants_logits = row.position + 1 == static_cast<int32_t>(tokens_.size());
    wants_logits_ = row.wants_logits;
    batch.rows.push_back(row);
  }
  n_before_ = n_cached_;
  n_cached_ += rows;
  return rows;
}

int32_t Session::look_ahead(int32_t most) {
  if (!wants_logits_) return 1;
  // The last token of an answer has no place in the cache of its own.
  int32_t steps = std::min(most, options_.context - n_cached_ + 1);
  if (answer_.max_new_tokens >= 0) steps = std::min(steps, answer_.max_new_tokens - n_generated_);
  if (steps <= 1 || !pages_.reserve(n_cached_ + steps - 1)) return 1;
  return steps;
}

void Session::undo_next() {
  n_cached_ = n_before_;
  wants_logits_ = false;
}

TokenEvent Session::accept(std::span<const float> logits) {
  LAMINA_CHECK(wants_logits_);
  TokenEvent event = take(sampler_->sample(logits));
  event.logits = logits;
  return event;
}

TokenEvent Session::accept_token(int32_t token) {
  LAMINA_CHECK(wants_logits_);
  sampler_->skip();
  return take(token);
}

TokenEvent Session::take(int32_t token) {
  wants_logits_ = false;
  sampler_->accept(token);
  tokens_.push_back(token);
  ++n_generated_;
  if (is_eos(token)) return finish(FinishReason::kEos, token);

  TokenEvent event{token, {}, FinishReason::kNone};
  if (decoder_) event.text = text_->push(decoder_->push(token));
  FinishReason reason = FinishReason::kNone;
  if (text_->stopped()) {
    reason = FinishReason::kStop;
  } else if (n_generated_ == answer_.max_new_tokens) {
    reason = FinishReason::kLength;
  } else if (options_.at_limit == AtLimit::kStop && n_cached_ >= options_.context) {
    reason = FinishReason::kContext;
  }
  if (reason == FinishReason::kNone) return event;
  TokenEvent end = finish(reason, token);
  end.text.insert(0, event.text);
  return end;
}

TokenEvent Session::cancel() {
  return finished() ? TokenEvent{-1, {}, finish_} : finish(FinishReason::kCancelled, -1);
}

TokenEvent Session::finish(FinishReason reason, int32_t token) {
  finish_ = reason;
  TokenEvent event{token, {}, reason};
  if (!decoder_ || text_->stopped()) return event;
  event.text = text_->push(decoder_->finish());
  event.text += text_->flush();
  if (text_->stopped()) finish_ = event.finish = FinishReason::kStop;
  return event;
}

bool Session::is_eos(int32_t token) const {
  return !answer_.ignore_eos && std::ranges::find(config_->eos_tokens, token) !=
                                    config_->eos_tokens.end();
}

Result<Session> Session::fork() const {
  Session copy(*config_, *rope_, tokenizer_, pages_.pool(), options_);
  const int32_t whole = n_cached_ / kPageSize;
  copy.pages_ = pages_.share(static_cast<size_t>(whole));
  copy.answer_ = answer_;
  copy.tokens_ = tokens_;
  copy.n_cached_ = copy.n_before_ = whole * kPageSize;
  copy.n_evicted_ = n_evicted_;
  copy.n_generated_ = n_generated_;
  copy.reused_ = reused_;
  copy.sink_turn_ = sink_turn_;
  copy.sink_original_ = sink_original_;
  copy.sampler_ = sampler_;
  copy.text_ = text_;
  copy.decoder_ = decoder_;
  copy.finish_ = finish_;
  if (copy.n_evicted_ > 0 && whole == 0) copy.drop_kv();
  return copy;
}

Result<void> Session::fits(int32_t context, int32_t n_positions) const {
  const bool slides = options_.at_limit == AtLimit::kSlide;
  // One that stops at the limit must have a place for every token of an answer in progress.
  const int32_t needed =
      slides || finished() ? n_positions : static_cast<int32_t>(tokens_.size());
  const int32_t least = slides ? 3 * kPageSize : 2;
  const int32_t usable = slides ? context / kPageSize * kPageSize : context;
  if (usable >= std::max(needed, least)) return {};
  return make_error(Code::kResourceExhausted,
                    "the conversation needs %d positions, this engine's context has %d",
                    std::max(needed, least), context);
}

KvPages Session::rebind(const ModelConfig& config, const RopeFrequencies& rope, int32_t context,
                        KvPages pages, int32_t n_positions) {
  const bool of_known_tokens =
      n_evicted_ == 0 && static_cast<size_t>(n_positions) < tokens_.size();
  LAMINA_CHECK(n_positions <= n_cached_ || of_known_tokens);
  LAMINA_CHECK(n_evicted_ == 0 || n_positions == 0 || n_positions >= kPageSize);
  std::swap(pages, pages_);
  if (n_positions == 0) {
    drop_kv();
  } else {
    n_cached_ = n_before_ = n_positions;
  }
  config_ = &config;
  rope_ = &rope;
  options_.context = std::min(options_.context, options_.at_limit == AtLimit::kSlide
                                                    ? context / kPageSize * kPageSize
                                                    : context);
  return pages;
}

}  // namespace lamina
