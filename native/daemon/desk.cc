// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/desk.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>
#include <variant>

#include "native/daemon/metrics.h"

namespace lamina::daemon {

using Clock = std::chrono::steady_clock;

namespace {

// Tokens that follow each other faster than this are delivered so often and no oftener: waking the
// loop and the reader takes longer than computing a token of a small model.
constexpr auto kTurn = std::chrono::milliseconds(2);

// Texts up to this become tokens in a few milliseconds.
constexpr size_t kShortBytes = size_t{16} << 10;

size_t text_bytes(const GenerateRequest& request) {
  size_t bytes = request.prompt.size();
  for (const ChatMessage& message : request.messages) bytes += message.content.size();
  return bytes;
}

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

// On its way to the service.
struct Desk::Submission {
  GenerateRequest request;
  std::atomic<bool> cancelled{false};  // nobody wants it any more

  // The event that ends it at once, or the service's id.
  std::variant<GenerationEvent, GenerationId> bring(Service& service, OnEvent on_event) {
    GenerationEvent end{};
    if (cancelled) {
      end.kind = GenerationEvent::Kind::kDone;
      end.finish = FinishReason::kCancelled;
      return end;
    }
    const Result<GenerationId> id = service.submit(std::move(request), std::move(on_event));
    if (id) return *id;
    end.kind = GenerationEvent::Kind::kFailed;
    end.error = id.error();
    return end;
  }
};

Ticket Desk::submit(GenerateRequest request, OnEvents on_events) {
  const Ticket ticket = ++last_;
  const std::string caller = request.caller;
  const bool is_long = text_bytes(request) > kShortBytes;
  const auto submission = std::make_shared<Submission>();
  submission->request = std::move(request);
  open_.emplace(ticket, Open{std::move(on_events), submission});
  submissions_.add(caller, is_long, [&service = service_, inbox = inbox_, ticket, submission] {
    auto outcome = submission->bring(service, [inbox, ticket](const GenerationEvent& event) {
      inbox->put(inbox, [&](Inbox& box) { box.events.emplace_back(ticket, event); });
    });
    inbox->put(inbox, [&](Inbox& box) {
      if (const auto* id = std::get_if<GenerationId>(&outcome)) {
        box.admitted.emplace_back(ticket, *id);
      } else {
        box.events.emplace_back(ticket, std::get<GenerationEvent>(std::move(outcome)));
      }
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
      batch.push_back(std::move(events[i].second));
    }
    const auto found = open_.find(ticket);
    if (found == open_.end()) continue;
    count(found->second, batch);
    const OnEvents on_events = found->second.on_events;  // which may abandon any ticket
    const auto last = batch.back().kind;
    using Kind = GenerationEvent::Kind;
    if (last == Kind::kDone || last == Kind::kFailed) open_.erase(found);
    if (on_events) on_events(batch);
  }
}

void Desk::look_again() {
  inbox_->loop->after(std::chrono::duration<double>(kTurn).count(), [inbox = inbox_] {
    if (inbox->desk != nullptr) inbox->desk->deliver();
  });
}

void Desk::count(Open& open, std::span<const GenerationEvent> events) {
  using Kind = GenerationEvent::Kind;
  const Usage before = open.counted;
  Usage& now = open.counted;
  for (const GenerationEvent& event : events) {
    if (event.kind == Kind::kStarted) metrics_.started(event.timings.queued);
    if (event.kind == Kind::kDone) metrics_.finished(finish_reason_name(event.finish));
    if (event.kind == Kind::kFailed) metrics_.failed(code_name(event.error.code));
    open.started = open.started || event.kind == Kind::kStarted;
    if (!open.started) continue;
    const Usage& usage = event.usage;
    if (now.completion_tokens == 0 && usage.completion_tokens > 0) {
      metrics_.first_token(event.timings.first_token);
    }
    now.prompt_tokens = std::max(now.prompt_tokens, usage.prompt_tokens);
    now.cached_tokens = std::max(now.cached_tokens, usage.cached_tokens);
    now.completion_tokens = std::max(now.completion_tokens, usage.completion_tokens);
  }
  metrics_.computed({now.prompt_tokens - before.prompt_tokens,
                     now.cached_tokens - before.cached_tokens,
                     now.completion_tokens - before.completion_tokens});
}

void Desk::cancel(Ticket ticket) {
  const auto found = open_.find(ticket);
  if (found == open_.end()) return;
  found->second.cancel = true;
  found->second.submission->cancelled = true;
  if (found->second.id != 0) service_.cancel(found->second.id);
}

void Desk::abandon(Ticket ticket) {
  cancel(ticket);
  const auto found = open_.find(ticket);
  if (found != open_.end()) found->second.on_events = nullptr;
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
