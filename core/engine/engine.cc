// SPDX-License-Identifier: Apache-2.0
#include "core/engine/engine.h"

#include <algorithm>

#include "core/engine/llama.h"

namespace lamina {
namespace {

bool same_rotation(const RopeFrequencies& a, const RopeFrequencies& b) {
  return a.inv_freq == b.inv_freq && a.attention_factor == b.attention_factor;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(std::unique_ptr<Backend> backend,
                                               const ModelConfig& config, const WeightMap& weights,
                                               const EngineOptions& options) {
  std::unique_ptr<Engine> engine(new Engine);
  engine->options_ = options;
  EngineOptions& o = engine->options_;
  if (o.context == 0) o.context = config.max_positions;
  if (o.context < 1 || o.n_sequences < 1 || o.max_rows < 1 || o.max_logit_rows < 1) {
    return make_error(Code::kInvalidArgument,
                      "context %d, sequences %d, rows %d, logit rows %d: all must be at least 1",
                      o.context, o.n_sequences, o.max_rows, o.max_logit_rows);
  }
  LAMINA_ASSIGN(engine->graph_, build_llama(config, weights));
  engine->rope_ = rope_frequencies(config, o.context);
  const int64_t least = (int64_t{o.context} + kPageSize - 1) / kPageSize;
  const int64_t n_pages = o.cache_positions > 0
                              ? std::max<int64_t>(least, o.cache_positions / kPageSize)
                              : least * o.n_sequences;
  if (n_pages > INT32_MAX / kPageSize) {
    return make_error(Code::kInvalidArgument, "%d sequences of %d positions are too many",
                      o.n_sequences, o.context);
  }
  const KvShape kv{static_cast<int32_t>(n_pages), o.kv_dtype};
  o.max_logit_rows = std::min(o.max_logit_rows, o.max_rows);
  LAMINA_TRY(backend->prepare(engine->graph_, weights, kv, engine->rope_, o.max_rows,
                              o.max_logit_rows));
  engine->backend_ = std::move(backend);
  engine->pool_ = std::make_unique<KvPool>(kv.n_pages);
  engine->prefix_cache_ = std::make_unique<PrefixCache>(engine->pool_.get());
  engine->pool_->set_reclaim([cache = engine->prefix_cache_.get()] { return cache->evict(); });
  return engine;
}

Result<Session> Engine::new_session(const Tokenizer* tokenizer, AtLimit at_limit) {
  return Session::create(graph_.config, rope_, tokenizer, pool_.get(),
                         {options_.context, at_limit});
}

Result<void> Engine::slide(Session& session) {
  LAMINA_ASSIGN(const std::optional<SlideWork> work, session.begin_slide());
  if (!work) return {};
  std::vector<uint16_t> kv(kv_export_size(graph_.config, kPageSize));
  LAMINA_TRY(backend_->export_kv({&work->from_page, 1}, kPageSize, kv));
  session.turn_sinks(kv);
  return backend_->import_kv({&work->to_page, 1}, kPageSize, kv);
}

void share_rows(std::span<const int32_t> wanted, int32_t rows, std::vector<int32_t>& shares) {
  shares.assign(wanted.size(), 0);
  for (size_t i = 0; i < wanted.size(); ++i) {
    const int32_t most = i + 1 == wanted.size() ? rows : (rows + 1) / 2;
    shares[i] = std::min(wanted[i], most);
    rows -= shares[i];
  }
  for (size_t i = 0; i < wanted.size() && rows > 0; ++i) {
    const int32_t more = std::min(wanted[i] - shares[i], rows);
    shares[i] += more;
    rows -= more;
  }
}

// Rows of a session in this step, at most `most`; 0 where there is no more room for logits.
Result<int32_t> Engine::take_rows(Session& session, int32_t most) {
  if (most <= 0 || logits_left_ == 0) return 0;
  LAMINA_TRY(slide(session));
  LAMINA_ASSIGN(const int32_t rows, session.next(batch_, most));
  if (rows == 0) return 0;
  logits_left_ -= session.wants_logits();
  in_batch_.push_back(&session);
  return rows;
}

Result<void> Engine::fill_batch(std::span<Session* const> sessions, int32_t prompt_rows) {
  batch_.clear();
  in_batch_.clear();
  prompts_.clear();
  logits_left_ = options_.max_logit_rows;
  int32_t rows_left = options_.max_rows;
  for (Session* session : sessions) {
    if (session->n_pending() > 1 && !session->finished()) prompts_.push_back(session);
    if (session->n_pending() != 1) continue;
    LAMINA_ASSIGN(const int32_t rows, take_rows(*session, rows_left));
    rows_left -= rows;
  }
  if (!in_batch_.empty()) rows_left = std::min(rows_left, std::max(prompt_rows, 1));
  wanted_.clear();
  for (const Session* session : prompts_) wanted_.push_back(session->n_pending());
  share_rows(wanted_, rows_left, shares_);
  for (size_t i = 0; i < prompts_.size(); ++i) LAMINA_TRY(take_rows(*prompts_[i], shares_[i]));
  return {};
}

Result<bool> Engine::step(std::span<Session* const> sessions, const OnEvent& on_event,
                          int32_t prompt_rows) {
  if (!has_backend()) return make_error(Code::kDevice, "the engine has given its device back");
  Result<void> submitted = fill_batch(sessions, prompt_rows);
  if (submitted && in_batch_.empty()) return false;
  if (submitted && batch_.rows.size() == 1) {
    LAMINA_ASSIGN(const bool done, decode_ahead(*in_batch_[0], on_event));
    if (done) return true;
  }
  if (submitted) submitted = backend_->submit(batch_);
  Result<StepOutput> output = submitted ? backend_->read() : Result<StepOutput>(submitted.error());
  if (!output) {
    for (Session* session : in_batch_) session->undo_next();
    return std::move(output).error();
  }
  std::span<const float> logits = output->logits;
  const auto vocab = static_cast<size_t>(graph_.config.vocab_size);
  for (Session* session : in_batch_) {
    if (!session->wants_logits()) continue;
    const TokenEvent event = session->accept(logits.first(vocab));
    logits = logits.subspan(vocab);
    on_event(*session, event);
  }
  return true;
}

// Several tokens of the batch's one row; false where that can't be.
Result<bool> Engine::decode_ahead(Session& session, const OnEvent& on_event) {
  std::optional<TokenChoice> choice = session.sampler().choice();
  if (!choice || session.keeps_logits()) return false;
  const int32_t most = std::min(options_.tokens_per_submit, backend_->most_steps(*choice));
  const int32_t steps = most > 1 ? session.look_ahead(most) : 1;
  if (steps <= 1) return false;
  batch_.sequences[0].pages = session.pages();
  units_.resize(static_cast<size_t>(steps));
  session.sampler().units(units_);
  choice->units = units_;
  const Result<std::span<const int32_t>> decoded = backend_->decode(batch_, steps, *choice);
  if (!decoded) {
    session.undo_next();
    return decoded.error();
  }
  const std::vector<int32_t> tokens(decoded->begin(), decoded->end());
  for (int32_t i = 0; i < steps && !session.finished(); ++i) {
    if (i > 0) {  // its row is computed already
      batch_.clear();
      LAMINA_ASSIGN(const int32_t rows, session.next(batch_, 1));
      LAMINA_CHECK(rows == 1);
    }
    on_event(session, session.accept_token(tokens[static_cast<size_t>(i)]));
  }
  return true;
}

Result<void> Engine::generate(Session& session,
                              const std::function<bool(const TokenEvent&)>& on_event) {
  Session* const sessions[] = {&session};
  while (!session.finished()) {
    const auto tell = [&](Session&, const TokenEvent& event) {
      if (!on_event(event) && !session.finished()) on_event(session.cancel());
    };
    LAMINA_ASSIGN(const bool worked, step(sessions, tell));
    LAMINA_CHECK(worked);
  }
  return {};
}

Result<void> Engine::forward(std::span<const int32_t> ids, const OnLogits& on_logits) {
  KvPages pages(pool_.get());
  LAMINA_TRY(pages.reserve(static_cast<int32_t>(ids.size())));
  const auto vocab = static_cast<size_t>(graph_.config.vocab_size);
  const auto chunk = static_cast<size_t>(std::min(options_.max_rows, options_.max_logit_rows));
  for (size_t start = 0; start < ids.size(); start += chunk) {
    const size_t n = std::min(chunk, ids.size() - start);
    batch_.clear();
    batch_.sequences.push_back({pages.pages()});
    for (size_t i = start; i < start + n; ++i) {
      const auto position = static_cast<int32_t>(i);
      batch_.rows.push_back({ids[i], position, position, 0, true});
    }
    LAMINA_TRY(backend_->submit(batch_));
    LAMINA_ASSIGN(const StepOutput output, backend_->read());
    for (size_t i = 0; i < n; ++i) {
      on_logits(static_cast<int32_t>(start + i), output.logits.subspan(i * vocab, vocab));
    }
  }
  return {};
}

Result<void> Engine::adopt(Session& session, Engine& from) {
  const auto read = [&](size_t page, std::span<uint16_t> kv) {
    return from.backend().export_kv(session.pages().subspan(page, 1),
                                    page_positions(session.n_cached(), page), kv);
  };
  LAMINA_ASSIGN(Received received, receive(session, session.n_cached(), read));
  bind(session, std::move(received));
  return {};
}

Result<Engine::Received> Engine::receive(const Session& session, int32_t n_positions,
                                         const ReadPage& read) {
  if (graph_.config != session.config()) {
    return make_error(Code::kInvalidArgument, "a session can't move to an engine of another model");
  }
  const bool incomplete_sinks = session.n_evicted() > 0 && n_positions < kPageSize;
  if (!same_rotation(rope_, session.rope()) || incomplete_sinks) n_positions = 0;
  LAMINA_TRY(session.fits(options_.context, n_positions));
  Received received{KvPages(pool_.get()), n_positions};
  LAMINA_TRY(received.pages.reserve(n_positions));
  std::vector<uint16_t> kv;
  for (size_t page = 0; page < received.pages.pages().size(); ++page) {
    const int32_t n = page_positions(n_positions, page);
    kv.resize(kv_export_size(graph_.config, n));
    LAMINA_TRY(read(page, kv));
    LAMINA_TRY(backend().import_kv(received.pages.pages().subspan(page, 1), n, kv));
  }
  return received;
}

void Engine::bind(Session& session, Received received) {
  session.rebind(graph_.config, rope_, options_.context, std::move(received.pages),
                 received.n_positions);
}

void Engine::take_prefixes(Engine& from, uint64_t most_bytes) {
  if (graph_.config != from.graph_.config || !same_rotation(rope_, from.rope_)) return;
  std::vector<uint16_t> kv(kv_export_size(graph_.config, kPageSize));
  uint64_t left = most_bytes / (kv.size() * sizeof kv[0]);
  prefix_cache_->take(*from.prefix_cache_, [&](int32_t theirs) -> Result<int32_t> {
    if (left == 0 || pool_->n_free() == 0) {
      return make_error(Code::kResourceExhausted, "no room for more pages of earlier prompts");
    }
    --left;
    LAMINA_TRY(from.backend().export_kv({&theirs, 1}, kPageSize, kv));
    LAMINA_ASSIGN(const int32_t page, pool_->allocate());
    const Result<void> filled = backend().import_kv({&page, 1}, kPageSize, kv);
    if (filled) return page;
    pool_->release(page);
    return filled.error();
  });
}

}  // namespace lamina
