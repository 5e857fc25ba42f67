// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/desk.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "native/daemon/metrics.h"

namespace lamina::daemon {

using Clock = std::chrono::steady_clock;

namespace {

// Tokens that follow each other faster than this are delivered so often and no oftener: waking the
// loop and the reader takes longer than computing a token of a small model.
constexpr auto kTurn = std::chrono::milliseconds(2);

}  // namespace

// Written by compute threads, emptied by the loop. One posted task empties it, however much has
// come in by then: that is what joins tokens of one turn.
struct Desk::Inbox {
  std::mutex mutex;
  std::vector<std::pair<Ticket, GenerationEvent>> events;
  std::vector<std::pair<Ticket, GenerationId>> admitted;
  bool posted = false;  // the loop will look without being woken
  EventLoop* loop = nullptr;
  Desk* desk = nullptr;  // null once it is gone; read on the loop's thread only

  // `change` adds to what lies here.
  template <typename Change>
  void put(const std::shared_ptr<Inbox>& self, Change change) {
    bool first = false;
    {
      const std::lock_guard lock(mutex);
      change(*this);
      first = !posted;
      posted = true;
    }
    if (!first) return;
    loop->post([self] {
      if (self->desk != nullptr) self->desk->deliver();
    });
  }
};

Desk::Desk(EventLoop& loop, Service& service, Metrics& metrics)
    : service_(service), metrics_(metrics), inbox_(std::make_shared<Inbox>()) {
  inbox_->loop = &loop;
  inbox_->desk = this;
}

Desk::~Desk() {
  submissions_.stop();
  errands_.stop();
  inbox_->desk = nullptr;
}

Ticket Desk::submit(GenerateRequest request, OnEvents on_events) {
  const Ticket ticket = ++last_;
  open_.emplace(ticket, Open{std::move(on_events)});
  auto shared = std::make_shared<GenerateRequest>(std::move(request));
  submissions_.add([&service = service_, inbox = inbox_, ticket, shared] {
    const Result<GenerationId> id =
        service.submit(std::move(*shared), [inbox, ticket](const GenerationEvent& event) {
          inbox->put(inbox, [&](Inbox& box) { box.events.emplace_back(ticket, event); });
        });
    inbox->put(inbox, [&](Inbox& box) {
      if (id) {
        box.admitted.emplace_back(ticket, *id);
        return;
      }
      GenerationEvent refusal;
      refusal.kind = GenerationEvent::Kind::kFailed;
      refusal.error = id.error();
      box.events.emplace_back(ticket, std::move(refusal));
    });
  });
  return ticket;
}

void Desk::admitted(Ticket ticket, GenerationId id) {
  const auto found = open_.find(ticket);
  if (found == open_.end()) return service_.cancel(id);  // abandoned meanwhile, or over already
  found->second.id = id;
  if (found->second.cancel) service_.cancel(id);
  if (found->second.paused) service_.pause(id, true);
}

void Desk::deliver() {
  std::vector<std::pair<Ticket, GenerationEvent>> events;
  std::vector<std::pair<Ticket, GenerationId>> admitted_now;
  {
    const std::lock_guard lock(inbox_->mutex);
    events.swap(inbox_->events);
    admitted_now.swap(inbox_->admitted);
    const Clock::time_point now = Clock::now();
    const bool soon = !events.empty() && now - std::exchange(delivered_, now) < kTurn;
    inbox_->posted = soon;
    if (soon) look_again();
  }
  for (const auto& [ticket, id] : admitted_now) admitted(ticket, id);
  std::ranges::stable_sort(events, {}, [](const auto& e) { return e.first; });
  std::vector<GenerationEvent> batch;
  for (size_t i = 0; i < events.size();) {
    const Ticket ticket = events[i].first;
    batch.clear();
    for (; i < events.size() && events[i].first == ticket; ++i) {
      count(events[i].second);
      batch.push_back(std::move(events[i].second));
    }
    const auto found = open_.find(ticket);
    if (found == open_.end()) continue;
    const OnEvents on_events = found->second.on_events;  // which may abandon any ticket
    const auto last = batch.back().kind;
    using Kind = GenerationEvent::Kind;
    if (last == Kind::kDone || last == Kind::kFailed) open_.erase(found);
    on_events(batch);
  }
}

void Desk::look_again() {
  inbox_->loop->after(std::chrono::duration<double>(kTurn).count(), [inbox = inbox_] {
    if (inbox->desk != nullptr) inbox->desk->deliver();
  });
}

void Desk::count(const GenerationEvent& event) {
  using Kind = GenerationEvent::Kind;
  if (event.kind == Kind::kDone) {
    metrics_.finished(finish_reason_name(event.finish), event.usage, event.timings);
  }
  if (event.kind == Kind::kFailed) metrics_.failed(code_name(event.error.code));
}

void Desk::cancel(Ticket ticket) {
  const auto found = open_.find(ticket);
  if (found == open_.end()) return;
  found->second.cancel = true;
  if (found->second.id != 0) service_.cancel(found->second.id);
}

void Desk::abandon(Ticket ticket) {
  cancel(ticket);
  open_.erase(ticket);
}

void Desk::pause(Ticket ticket, bool paused) {
  const auto found = open_.find(ticket);
  if (found == open_.end() || found->second.paused == paused) return;
  found->second.paused = paused;
  if (found->second.id != 0) service_.pause(found->second.id, paused);
}

void Desk::background(std::function<void()> work, std::function<void()> then) {
  errands_.add([inbox = inbox_, work = std::move(work), then = std::move(then)] {
    work();
    inbox->loop->post([inbox, then] {
      if (inbox->desk != nullptr) then();
    });
  });
}

}  // namespace lamina::daemon
