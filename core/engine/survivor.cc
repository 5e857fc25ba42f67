// SPDX-License-Identifier: Apache-2.0
#include "core/engine/survivor.h"

#include <algorithm>
#include <string>

namespace lamina {
namespace {

bool survivable(const Error& error) {
  return error.code == Code::kDevice || error.code == Code::kOutOfMemory;
}

std::string what_was_kept(int32_t kept, int32_t cached) {
  if (kept == cached) return "nothing has to be computed again";
  return "computing " + std::to_string(cached - kept) + " of " + std::to_string(cached) +
         " positions again";
}

// Sessions that shared pages need more of them apart: who finds none free is computed again.
Result<Engine::Received> receive(Engine& to, const Session& session, int32_t n_positions,
                                 const Engine::ReadPage& read) {
  Result<Engine::Received> received = to.receive(session, n_positions, read);
  const bool full = !received && received.error().code == Code::kResourceExhausted;
  return full ? to.receive(session, 0, read) : std::move(received);
}

}  // namespace

Survivor::Survivor(std::unique_ptr<Engine> engine, const SurvivorOptions& options,
                   MakeEngine make_engine, Tell tell)
    : options_(options),
      make_engine_(std::move(make_engine)),
      tell_(std::move(tell)),
      engine_(std::move(engine)),
      can_be_lost_(engine_->backend().info().can_be_lost) {}

Result<Session*> Survivor::new_session(const Tokenizer* tokenizer, AtLimit at_limit) {
  LAMINA_ASSIGN(Session session, engine_->new_session(tokenizer, at_limit));
  kept_.push_back(std::unique_ptr<Kept>(new Kept{std::move(session), {}}));
  return &kept_.back()->session;
}

void Survivor::close(Session& session) {
  std::erase_if(kept_, [&](const auto& kept) { return &kept->session == &session; });
}

void Survivor::begin_answer() {
  recreations_ = 0;
  fell_back_ = false;
}

uint64_t Survivor::snapshot_bytes() const {
  uint64_t bytes = 0;
  for (const auto& kept : kept_) bytes += kept->snapshot.bytes();
  return bytes;
}

// Engine::step reports events only once all that can fail has succeeded, and undoes what it did to
// the sessions otherwise, so a failed step can be run again elsewhere.
Result<bool> Survivor::step(std::span<Session* const> sessions, const Engine::OnEvent& on_event,
                            int32_t prompt_rows) {
  for (;;) {
    if (lost_) LAMINA_TRY(recover());
    Result<bool> worked = engine_->step(sessions, on_event, prompt_rows);
    if (worked) {
      if (*worked) take_snapshots(sessions);
      return worked;
    }
    if (!survivable(worked.error())) return worked;
    lost_ = std::move(worked).error();
  }
}

void Survivor::take_snapshots(std::span<Session* const> sessions) {
  if (options_.snapshot_every <= 0 || !can_be_lost_) return;
  for (const auto& kept : kept_) {
    if (std::ranges::find(sessions, &kept->session) == sessions.end()) continue;
    const uint64_t others = snapshot_bytes() - kept->snapshot.bytes();
    const uint64_t room = options_.snapshot_bytes - std::min(others, options_.snapshot_bytes);
    const Result<void> updated =
        kept->snapshot.update(kept->session, engine_->backend(), options_.snapshot_every, room);
    if (updated) continue;
    lost_ = updated.error();  // noticed by the next step: this one has its tokens
    return;
  }
}

Result<void> Survivor::recover() {
  const std::string lost_name = engine_->has_backend() ? engine_->backend().info().name : "engine";
  engine_->drop_backend();  // the next one may need its memory
  int32_t cached = 0, kept = 0;
  for (const auto& k : kept_) cached += k->session.n_cached();

  std::string failures;
  while (!fell_back_) {
    const Next next = recreations_ < options_.max_recreations ? Next::kSameKind : Next::kFallback;
    ++recreations_;
    fell_back_ = next == Next::kFallback;
    Result<std::unique_ptr<Engine>> made = make_engine_(next);
    Result<Moves> moves = made ? restore_sessions(**made) : Result<Moves>(made.error());
    if (!moves) {
      failures = "; in its place: " + moves.error().message;
      continue;
    }
    for (const Engine::Received& move : *moves) kept += move.n_positions;
    const BackendInfo info = (*made)->backend().info();
    tell_(lost_name + " failed: " + lost_->message + failures + "; going on with " + info.name +
          " (" + info.device + "), " + what_was_kept(kept, cached));
    move_sessions(std::move(*moves), std::move(*made));
    return {};
  }
  Error error = *lost_;
  error.message += failures;
  return error;
}

Result<Survivor::Moves> Survivor::restore_sessions(Engine& to) {
  Moves moves;
  for (const auto& kept : kept_) {
    kept->snapshot.follow(kept->session);
    const auto read = [&](size_t page, std::span<uint16_t> kv) -> Result<void> {
      kept->snapshot.read(kept->session, page, kv);
      return {};
    };
    LAMINA_ASSIGN(Engine::Received received,
                  receive(to, kept->session, kept->snapshot.n_positions(), read));
    moves.push_back(std::move(received));
  }
  return moves;
}

// From the device itself. Sets lost_ when it is the source that failed.
Result<Survivor::Moves> Survivor::copy_sessions(Engine& to) {
  Moves moves;
  for (const auto& kept : kept_) {
    const Session& session = kept->session;
    const auto read = [&](size_t page, std::span<uint16_t> kv) -> Result<void> {
      Result<void> done = engine_->backend().export_kv(
          session.pages().subspan(page, 1), page_positions(session.n_cached(), page), kv);
      if (!done) lost_ = done.error();
      return done;
    };
    LAMINA_ASSIGN(Engine::Received received, receive(to, session, session.n_cached(), read));
    moves.push_back(std::move(received));
  }
  return moves;
}

Result<void> Survivor::switch_to(std::unique_ptr<Engine> engine, const Moved& moved) {
  Result<Moves> moves = lost_ ? restore_sessions(*engine) : copy_sessions(*engine);
  if (!moves && lost_) moves = restore_sessions(*engine);
  if (!moves) return std::move(moves).error();
  move_sessions(std::move(*moves), std::move(engine), moved);
  return {};
}

void Survivor::move_sessions(Moves moves, std::unique_ptr<Engine> engine, const Moved& moved) {
  can_be_lost_ = engine->backend().info().can_be_lost;
  for (size_t i = 0; i < kept_.size(); ++i) {
    engine->bind(kept_[i]->session, std::move(moves[i]));
    if (!can_be_lost_) kept_[i]->snapshot = KvSnapshot();
  }
  std::swap(engine_, engine);
  if (moved && !lost_) moved(*engine);
  lost_.reset();
}

}  // namespace lamina
