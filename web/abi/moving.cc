// SPDX-License-Identifier: Apache-2.0
// Sessions leave an engine, and go on in another: of this module, or of one elsewhere.
#include <algorithm>

#include "web/abi/abi.h"

namespace lamina::abi {

namespace {

Result<void> export_kv(Session& s) {
  std::vector<uint16_t>& out = results().halves;
  const int32_t n = s.session.n_cached();
  out.resize(kv_export_size(s.session.config(), n));
  if (n == 0) return {};
  const auto pages = s.session.pages();
  return s.engine->engine->backend().export_kv(pages, n, out);
}

void write_ids(JsonWriter& json, std::span<const int32_t> ids) {
  json.begin_array();
  for (int32_t id : ids) json.value(id);
  json.end_array();
}

std::string save(const Session& s) {
  const auto answer = s.session.tokens().subspan(s.prompt.size());
  JsonWriter json;
  json.begin_object().member("atLimit", s.at_limit == AtLimit::kSlide ? "slide" : "stop");
  json.member("options", s.options.empty() ? "{}" : s.options);
  json.key("prompt");
  write_ids(json, s.prompt);
  json.key("answer");
  write_ids(json, answer);
  json.member("cancelled", s.session.finish_reason() == FinishReason::kCancelled);
  return json.end_object().take();
}

Result<std::vector<int32_t>> read_ids(const JsonValue& root, const char* name) {
  LAMINA_ASSIGN(const JsonValue list, root.get_array(name));
  std::vector<int32_t> ids;
  for (JsonValue v = list.first_child(); !v.is_missing(); v = v.next_sibling()) {
    LAMINA_ASSIGN(const int64_t id, v.to_int(0, INT32_MAX));
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

// Brings a session to where its answer was: text, sampler and counts. Its pages are laid out as if
// they were computed, for the caller to drop.
Result<void> replay(lamina::Session& s, std::span<const int32_t> answer, int32_t vocab) {
  Batch batch;
  for (int32_t token : answer) {
    if (token >= vocab) return make_error(Code::kInvalidArgument, "token id %d: too large", token);
    do {
      batch.clear();
      LAMINA_TRY(s.begin_slide());
      LAMINA_ASSIGN(const int32_t rows, s.next(batch, INT32_MAX));
      if (rows == 0) return make_error(Code::kInvalidArgument, "the answer goes on after its end");
    } while (!s.wants_logits());
    s.accept_token(token);
  }
  return {};
}

Result<Session*> restore(Engine* engine, std::string_view text) {
  LAMINA_ASSIGN(const auto document, parse_options(text, "saved session"));
  const JsonValue root = document->root();
  LAMINA_ASSIGN(const std::vector<int32_t> prompt, read_ids(root, "prompt"));
  LAMINA_ASSIGN(const std::vector<int32_t> answer, read_ids(root, "answer"));
  LAMINA_ASSIGN(const std::string options_text, root.get_string("options"));
  LAMINA_ASSIGN(const std::string limit, root.get_string("atLimit"));
  LAMINA_ASSIGN(const bool cancelled, root.get_bool_or("cancelled", false));
  const AtLimit at_limit = limit == "slide" ? AtLimit::kSlide : AtLimit::kStop;
  LAMINA_ASSIGN(const auto options, parse_options(options_text, "options"));
  LAMINA_ASSIGN(const Answer answer_with, answer_options(options->root()));
  LAMINA_ASSIGN(lamina::Session session,
                engine->engine->new_session(&engine->model->tokenizer, at_limit));
  LAMINA_TRY(session.set_prompt(prompt, answer_with.options));
  LAMINA_TRY(replay(session, answer, engine->model->manifest.config.vocab_size));
  if (cancelled) session.cancel();
  const int32_t positions = session.n_cached();
  const bool slid = session.n_evicted() > 0;
  session.drop_kv();  // it was counted, not computed
  return new Session{engine,       at_limit,  std::move(session), prompt, options_text,
                     answer_with.top_logprobs, positions, slid};
}

// Values of one page of the canonical form, out of those of `n` positions.
void copy_page(std::span<const uint16_t> from, const ModelConfig& c, int32_t n, size_t page,
               std::span<uint16_t> to) {
  const auto d = static_cast<size_t>(c.head_dim), all = static_cast<size_t>(n);
  const auto begin = page * kPageSize, rows = static_cast<size_t>(page_positions(n, page));
  const size_t heads = to.size() / (rows * d);
  for (size_t h = 0; h < heads; ++h) {
    std::copy_n(&from[(h * all + begin) * d], rows * d, &to[h * rows * d]);
  }
}

Result<int32_t> move(Session& s, Engine& to, std::span<const uint16_t> kv, int32_t positions) {
  abandon(s);
  const bool empty = s.session.n_cached() == 0;
  if (empty && s.saved_slid) {
    kv = {};
    positions = 0;
  }
  const int32_t most = empty ? s.saved_positions : s.session.n_cached();
  if (positions < 0 || positions > most) {
    return make_error(Code::kInvalidArgument, "KV of %d positions: the session has %d", positions,
                      most);
  }
  const ModelConfig& config = s.session.config();
  if (!to.remote && kv.size() != kv_export_size(config, positions)) {
    return make_error(Code::kInvalidArgument, "KV of %d positions has %zu values, not %zu",
                      positions, kv.size(), kv_export_size(config, positions));
  }
  const auto read = [&](size_t page, std::span<uint16_t> out) -> Result<void> {
    if (!to.remote) copy_page(kv, config, positions, page, out);
    return {};
  };
  LAMINA_ASSIGN(auto received, to.engine->receive(s.session, positions, read));
  const int32_t kept = received.n_positions;
  to.engine->bind(s.session, std::move(received));
  s.engine = &to;
  return kept;
}

}  // namespace

}  // namespace lamina::abi

using namespace lamina::abi;

int32_t lamina_session_export_kv(LaminaSession* session) {
  abandon(*session);
  const auto done = export_kv(*session);
  return done ? 1 : fail(done.error(), 0);
}

int32_t lamina_session_save(LaminaSession* session) { return give_text(save(*session)); }

LaminaSession* lamina_session_restore(LaminaEngine* engine, const char* saved, uint32_t bytes) {
  const auto session = restore(engine, view(saved, bytes));
  return session ? *session : fail(session.error(), static_cast<Session*>(nullptr));
}

int32_t lamina_session_move(LaminaSession* session, LaminaEngine* engine, const uint16_t* kv,
                            uint32_t n, int32_t positions) {
  const auto kept = move(*session, *engine, {kv, n}, positions);
  return kept ? *kept : fail(kept.error(), -1);
}

int32_t lamina_session_slide(LaminaSession* session) {
  const auto work = session->session.begin_slide();
  if (!work) return fail(work.error(), -1);
  if (!*work) return 0;
  results().ints = {(*work)->from_page, (*work)->to_page};
  return 1;
}

int32_t lamina_session_turn(LaminaSession* session, uint16_t* page, uint32_t n) {
  if (n != lamina::kv_export_size(session->session.config(), lamina::kPageSize)) {
    return fail(lamina::make_error(lamina::Code::kInvalidArgument, "a page has %zu values, not %u",
                                   lamina::kv_export_size(session->session.config(),
                                                          lamina::kPageSize), n), 0);
  }
  session->session.turn_sinks({page, n});
  return 1;
}
