// SPDX-License-Identifier: Apache-2.0
// Generations as the event loop sees them. The service speaks on compute threads and may take a
// while to answer; here everything is asked and heard on the loop's thread, several tokens at a
// time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "native/daemon/http.h"
#include "native/daemon/intake.h"
#include "native/daemon/service.h"
#include "native/daemon/worker.h"

namespace lamina::daemon {

class Metrics;

using Ticket = uint64_t;  // of one submitted generation; 0 is none

// Used on the loop's thread. Destroyed after the loop has ended and before the service is.
class Desk {
 public:
  // What happened since it was last called, in order; up to a few milliseconds are joined where
  // tokens come faster.
  using OnEvents = std::function<void(std::span<const GenerationEvent>)>;

  Desk(EventLoop& loop, Service& service, Metrics& metrics);
  ~Desk();

  // A refusal comes as kFailed, like everything else not before this returns. The last event is a
  // kDone or kFailed.
  Ticket submit(GenerateRequest request, OnEvents on_events);
  void cancel(Ticket ticket);   // kDone follows, unless it is on its way
  void abandon(Ticket ticket);  // cancelled, and nothing more is heard
  void pause(Ticket ticket, bool paused);

  // Tells at once what has happened so far, also what waits for more to join it.
  void deliver();

  // Runs `work` away from the loop, one after the other, then `then` on it.
  void background(std::function<void()> work, std::function<void()> then);

 private:
  struct Inbox;
  struct Submission;
  struct Open {
    OnEvents on_events;   // null: abandoned, only counted until it ends
    std::shared_ptr<Submission> submission;
    GenerationId id = 0;  // 0: the service has not answered yet
    bool cancel = false, paused = false, started = false;
    Usage counted;  // in the metrics
  };

  void look_again();  // delivers in a while, without a compute thread's waking the loop
  void admitted(Ticket ticket, GenerationId id);
  void count(Open& open, std::span<const GenerationEvent> events);

  Service& service_;
  Metrics& metrics_;
  std::shared_ptr<Inbox> inbox_;
  std::unordered_map<Ticket, Open> open_;
  Ticket last_ = 0;
  std::chrono::steady_clock::time_point delivered_{};  // when events last were
  Intake submissions_;
  Worker errands_;
};

}  // namespace lamina::daemon
