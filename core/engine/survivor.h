// SPDX-License-Identifier: Apache-2.0
// Sessions that outlive their device. Drives them on an engine; when that is lost or runs out of
// memory, moves them to another one and goes on, with what a copy of their KV on the host has and
// the rest computed again. A token is taken once, whatever happens around it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/engine/engine.h"
#include "core/engine/kv_snapshot.h"

namespace lamina {

struct SurvivorOptions {
  int32_t snapshot_every = 64;  // new positions of a session between copies; 0: none
  uint64_t snapshot_bytes = uint64_t{1} << 30;  // of all sessions together
  int32_t max_recreations = 2;                  // of the engine in one answer, before the fallback
};

class Survivor {
 public:
  enum class Next : uint8_t { kSameKind, kFallback };
  // An engine in place of the one that was lost, whose backend is destroyed by then.
  using MakeEngine = std::function<Result<std::unique_ptr<Engine>>(Next next)>;
  // One line for the user: what was lost and what goes on.
  using Tell = std::function<void(std::string_view line)>;

  Survivor(std::unique_ptr<Engine> engine, const SurvivorOptions& options, MakeEngine make_engine,
           Tell tell);

  // A session that lives here, until close() at most.
  Result<Session*> new_session(const Tokenizer* tokenizer, AtLimit at_limit = AtLimit::kStop);
  void close(Session& session);

  // Every answer begins with all its attempts.
  void begin_answer();

  // As Engine's, for sessions of this. An error of the device comes back when nothing could take
  // its place; the next call tries again.
  Result<bool> step(std::span<Session* const> sessions, const Engine::OnEvent& on_event,
                    int32_t prompt_rows = INT32_MAX);

  // Moves all sessions, with their KV, to `engine`: between two steps. On an error nothing changes.
  // `moved` sees the engine that they have left, unless that is lost, before it goes.
  using Moved = std::function<void(Engine& from)>;
  Result<void> switch_to(std::unique_ptr<Engine> engine, const Moved& moved = {});

  // The one in use. It has no backend after a loss that nothing could take the place of.
  Engine& engine() { return *engine_; }
  const Engine& engine() const { return *engine_; }
  uint64_t snapshot_bytes() const;

 private:
  struct Kept {
    Session session;
    KvSnapshot snapshot;
  };
  using Moves = std::vector<Engine::Received>;  // one for each of kept_

  Result<void> recover();
  Result<Moves> copy_sessions(Engine& to);
  Result<Moves> restore_sessions(Engine& to);
  void move_sessions(Moves moves, std::unique_ptr<Engine> engine, const Moved& moved = {});
  void take_snapshots(std::span<Session* const> sessions);

  SurvivorOptions options_;
  MakeEngine make_engine_;
  Tell tell_;
  std::unique_ptr<Engine> engine_;
  bool can_be_lost_;                         // engine_'s backend, asked once
  std::vector<std::unique_ptr<Kept>> kept_;  // pointed to, and destroyed before the engine
  std::optional<Error> lost_;                // why the engine can't be used any more
  int32_t recreations_ = 0;
  bool fell_back_ = false;
};

}  // namespace lamina
