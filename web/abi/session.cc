// SPDX-License-Identifier: Apache-2.0
// Sessions, and the rows that they want computed elsewhere.
#include <algorithm>

#include "web/abi/abi.h"

namespace lamina::abi {

namespace {

// The last batch and its arrays.
struct BatchArrays {
  Batch batch;
  BatchView view{};
  std::vector<int32_t> tokens, positions, kv_indices, sequence, table;
  std::vector<uint8_t> wants;
};
BatchArrays& arrays() {
  static BatchArrays a;
  return a;
}

void fill_table(BatchArrays& a) {
  size_t stride = 0;
  for (const BatchSequence& s : a.batch.sequences) stride = std::max(stride, s.pages.size());
  a.table.assign(stride * a.batch.sequences.size(), 0);
  for (size_t i = 0; i < a.batch.sequences.size(); ++i) {
    std::ranges::copy(a.batch.sequences[i].pages, a.table.begin() + static_cast<ptrdiff_t>(i * stride));
  }
  a.view.block_table = a.table.data();
  a.view.table_stride = static_cast<int32_t>(stride);
}

void fill_view(BatchArrays& a) {
  for (auto* v : {&a.tokens, &a.positions, &a.kv_indices, &a.sequence}) v->clear();
  a.wants.clear();
  for (const Row& r : a.batch.rows) {
    a.tokens.push_back(r.token);
    a.positions.push_back(r.position);
    a.kv_indices.push_back(r.kv_index);
    a.sequence.push_back(r.sequence);
    a.wants.push_back(r.wants_logits);
  }
  a.view = {static_cast<int32_t>(a.batch.rows.size()),
            static_cast<int32_t>(a.batch.sequences.size()),
            a.tokens.data(),
            a.positions.data(),
            a.kv_indices.data(),
            a.sequence.data(),
            a.wants.data(),
            nullptr,
            0};
  fill_table(a);
}

Result<void> owes_slide(const lamina::Session& s, const EngineOptions& o) {
  if (s.finished() || s.n_pending() == 0 || s.n_cached() < o.context / kPageSize * kPageSize) return {};
  return make_error(Code::kInvalidArgument, "the session owes slide work before its next rows");
}

// Rows of each session in turn; nobody keeps any on an error.
Result<int32_t> next(Engine& e, std::span<Session* const> sessions, int32_t max_rows) {
  BatchArrays& a = arrays();
  a.batch.clear();
  const EngineOptions& o = e.engine->options();
  int32_t rows = std::min(max_rows, o.max_rows), logits = o.max_logit_rows;
  for (size_t i = 0; i < sessions.size() && rows > 0 && logits > 0; ++i) {
    abandon(*sessions[i]);
    lamina::Session& s = sessions[i]->session;
    Result<int32_t> taken = s.next(a.batch, rows);
    if (taken && *taken == 0) {
      if (Result<void> owed = owes_slide(s, o); !owed) taken = owed.error();
    }
    if (!taken) {
      for (size_t j = 0; j < i; ++j) sessions[j]->session.undo_next();
      return taken;
    }
    rows -= *taken;
    logits -= s.wants_logits();
  }
  fill_view(a);
  return a.view.rows > 0 ? 1 : 0;
}

Result<Session*> open(Engine* engine, AtLimit at_limit) {
  LAMINA_ASSIGN(lamina::Session session,
                engine->engine->new_session(&engine->model->tokenizer, at_limit));
  return new Session{engine, at_limit, std::move(session), {}, {}};
}

// The session's whole pages stay known to its engine, for as long as nobody needs the room.
void keep_prefix(Session& s) {
  abandon(s);
  const lamina::Session& session = s.session;
  const auto whole = static_cast<size_t>(session.n_cached() / kPageSize);
  if (whole == 0 || session.n_evicted() > 0) return;
  s.engine->engine->prefix_cache().insert(session.tokens().first(whole * kPageSize),
                                          session.pages().first(whole));
}

// How much of `ids` set_prompt would find cached.
size_t own_beginning(const lamina::Session& s, std::span<const int32_t> ids) {
  const auto common = std::ranges::mismatch(s.tokens(), ids).in1 - s.tokens().begin();
  const auto cached = static_cast<size_t>(s.n_cached() + s.n_evicted());
  return std::min({static_cast<size_t>(common), cached, ids.size() - 1});
}

// set_prompt() that begins with the engine's pages where they reach further than the session's.
Result<void> set_prompt(Session& s, std::span<const int32_t> ids, const AnswerOptions& answer) {
  keep_prefix(s);
  if (ids.empty()) return s.session.set_prompt(ids, answer);
  const std::span<const int32_t> known =
      s.engine->engine->prefix_cache().find(ids.first(ids.size() - 1));
  const bool fits = ids.size() <= static_cast<size_t>(s.engine->engine->options().context);
  const bool further = fits && known.size() * kPageSize > own_beginning(s.session, ids);
  if (further) s.session.drop_kv();
  LAMINA_TRY(s.session.set_prompt(ids, answer));
  if (further) s.session.share_pages(known);
  return {};
}

Result<void> prompt(Session& s, std::span<const int32_t> ids, std::string_view options) {
  LAMINA_ASSIGN(const auto document, parse_options(options, "options"));
  LAMINA_ASSIGN(const Answer answer, answer_options(document->root()));
  LAMINA_TRY(set_prompt(s, ids, answer.options));
  s.prompt.assign(ids.begin(), ids.end());
  s.options = options;
  s.top_logprobs = answer.top_logprobs;
  s.saved_positions = 0;
  s.saved_slid = false;
  return {};
}

std::string describe(const Session& s) {
  JsonWriter json;
  json.begin_object().member("promptTokens", static_cast<uint64_t>(s.prompt.size()));
  json.member("reusedTokens", s.session.reused_tokens());
  json.member("completionTokens", s.session.n_generated());
  json.member("cached", s.session.n_cached()).member("evicted", s.session.n_evicted());
  json.member("pending", s.session.n_pending());
  json.member("finish", finish_reason_name(s.session.finish_reason()));
  return json.end_object().take();
}

// Each token, with a next() between two: its row is computed already.
Result<void> accept_tokens(Session& s, std::span<const int32_t> tokens) {
  const int32_t vocab = s.engine->model->manifest.config.vocab_size;
  for (int32_t token : tokens) {
    if (token >= 0 && token < vocab) continue;
    return make_error(Code::kDevice, "the device chose token %d of a vocabulary of %d", token, vocab);
  }
  Batch batch;
  for (size_t i = 0; i < tokens.size() && !s.session.finished(); ++i) {
    batch.clear();
    if (i > 0) LAMINA_TRY(s.session.next(batch, 1));
    if (!s.session.wants_logits()) {
      return make_error(Code::kInvalidArgument, "the session expects no token");
    }
    add_event(0, s, s.session.accept_token(tokens[i]));
  }
  return {};
}

}  // namespace

}  // namespace lamina::abi

using namespace lamina::abi;

const BatchView* lamina_batch() { return &arrays().view; }

int32_t lamina_engine_next(LaminaEngine* engine, LaminaSession* const* sessions, uint32_t n,
                           int32_t max_rows) {
  const auto rows = next(*engine, {sessions, n}, max_rows);
  return rows ? *rows : fail(rows.error(), -1);
}

LaminaSession* lamina_session_open(LaminaEngine* engine, int32_t at_limit) {
  const auto session = open(engine, at_limit ? lamina::AtLimit::kSlide : lamina::AtLimit::kStop);
  return session ? *session : fail(session.error(), static_cast<Session*>(nullptr));
}

void lamina_session_close(LaminaSession* session) {
  if (session) keep_prefix(*session);
  delete session;
}

int32_t lamina_session_prompt(LaminaSession* session, const int32_t* ids, uint32_t n,
                              const char* options, uint32_t bytes) {
  const auto done = prompt(*session, {ids, n}, view(options, bytes));
  return done ? 1 : fail(done.error(), 0);
}

int32_t lamina_session_describe(LaminaSession* session) { return give_text(describe(*session)); }

int32_t lamina_session_tokens(LaminaSession* session) {
  const auto tokens = session->session.tokens();
  results().ints.assign(tokens.begin(), tokens.end());
  return 1;
}

int32_t lamina_session_pages(LaminaSession* session) {
  const auto pages = session->session.pages();
  results().ints.assign(pages.begin(), pages.end());
  return 1;
}

int32_t lamina_session_cancel(LaminaSession* session) {
  clear_events();
  abandon(*session);
  add_event(0, *session, session->session.cancel());
  return 1;
}

int32_t lamina_session_accept(LaminaSession* session, const float* logits) {
  clear_events();
  if (!session->session.wants_logits()) {
    return fail(lamina::make_error(lamina::Code::kInvalidArgument, "the session expects no logits"), 0);
  }
  const auto vocab = static_cast<size_t>(session->engine->model->manifest.config.vocab_size);
  add_event(0, *session, session->session.accept({logits, vocab}));
  return 1;
}

int32_t lamina_session_accept_tokens(LaminaSession* session, const int32_t* tokens, uint32_t n) {
  clear_events();
  const auto done = accept_tokens(*session, {tokens, n});
  return done ? 1 : fail(done.error(), 0);
}

void lamina_session_undo(LaminaSession* session) {
  abandon(*session);
  session->session.undo_next();
}

int32_t lamina_session_look_ahead(LaminaSession* session, int32_t most) {
  BatchArrays& a = arrays();
  if (a.batch.rows.size() != 1 || !session->session.wants_logits()) return 1;
  const int32_t steps = session->session.look_ahead(most);
  a.batch.sequences[0].pages = session->session.pages();
  fill_table(a);
  return steps;
}

int32_t lamina_session_choice(LaminaSession* session, uint32_t n) {
  if (session->prompt.empty() || session->session.keeps_logits()) return 0;
  const auto choice = session->session.sampler().choice();
  if (!choice) return 0;
  results().floats.resize(n);
  session->session.sampler().units(results().floats);
  lamina::JsonWriter json;
  json.begin_object().member("temperature", static_cast<double>(choice->temperature));
  json.member("topK", choice->top_k).member("topP", static_cast<double>(choice->top_p));
  json.member("minP", static_cast<double>(choice->min_p));
  return give_text(json.end_object().take());
}
