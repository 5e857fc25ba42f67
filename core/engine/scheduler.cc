// SPDX-License-Identifier: Apache-2.0
#include "core/engine/scheduler.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/base/numeric.h"

namespace lamina {

using Kind = SchedulerEvent::Kind;

namespace {

// Of earlier prompts' KV, when the backend changes: copied in the time of a few steps.
constexpr uint64_t kMostCarriedBytes = uint64_t{1} << 30;

}  // namespace

Scheduler::Scheduler(Survivor* survivor, const Tokenizer* tokenizer, int32_t parallel,
                     OnEvent on_event)
    : survivor_(survivor),
      tokenizer_(tokenizer),
      parallel_(parallel),
      on_event_(std::move(on_event)) {}

Scheduler::~Scheduler() {
  for (const auto& r : running_) survivor_->close(*r->session);
}

void Scheduler::submit(SchedulerJob job) {
  uint64_t round = round_;
  const auto after = [&](const std::string& caller, uint64_t theirs) {
    if (caller == job.caller) round = std::max(round, theirs + 1);
  };
  for (const Queued& q : queue_) after(q.job.caller, q.round);
  for (const auto& r : running_) after(r->caller, r->round);
  queue_.push_back({std::move(job), round});
}

void Scheduler::refuse_last(const Error& error) {
  std::unordered_map<std::string_view, size_t> jobs;
  for (const auto& r : running_) ++jobs[r->caller];
  for (const Queued& q : queue_) ++jobs[q.job.caller];
  auto last = queue_.end();
  for (auto q = queue_.begin(); q != queue_.end(); ++q) {
    if (last == queue_.end() || jobs[q->job.caller] >= jobs[last->job.caller]) last = q;
  }
  if (last == queue_.end()) return;
  const SchedulerJob job = std::move(last->job);
  queue_.erase(last);
  emit_unstarted(Kind::kFailed, job, &error);
}

void Scheduler::cancel(uint64_t id) {
  const auto queued = std::ranges::find_if(queue_, [&](const Queued& q) { return q.job.id == id; });
  if (queued != queue_.end()) {
    const SchedulerJob job = std::move(queued->job);
    queue_.erase(queued);
    return emit_unstarted(Kind::kDone, job, nullptr);
  }
  const auto at = std::ranges::find_if(running_, [&](const auto& r) { return r->id == id; });
  if (at == running_.end()) return;
  const TokenEvent last = (*at)->session->cancel();
  if (!last.text.empty()) emit(Kind::kToken, **at, &last);
  emit(Kind::kDone, **at, &last);
  close(**at);
  running_.erase(at);
}

void Scheduler::pause(uint64_t id, bool paused) {
  for (Queued& q : queue_) {
    if (q.job.id == id) q.paused = paused;
  }
  for (const auto& r : running_) {
    if (r->id != id || r->paused == paused) continue;
    r->paused = paused;
    r->parked = true;  // it stands in line for its turn when it goes on
  }
}

void Scheduler::fail_all(const Error& error) {
  for (const auto& r : running_) {
    emit(Kind::kFailed, *r, nullptr, &error);
    close(*r);
  }
  running_.clear();
  for (const Queued& q : queue_) emit_unstarted(Kind::kFailed, q.job, &error);
  queue_.clear();
}

Result<void> Scheduler::switch_to(std::unique_ptr<Engine> engine) {
  return survivor_->switch_to(std::move(engine), [this](Engine& from) {
    engine_ = &survivor_->engine();
    for (const auto& r : running_) {  // their pages are there already
      r->kept_pages = 0;
      keep_prefix(*r);
    }
    survivor_->engine().take_prefixes(from, kMostCarriedBytes);
  });
}

int32_t Scheduler::n_active() const {
  return static_cast<int32_t>(
      std::ranges::count_if(running_, [](const auto& r) { return !r->paused && !r->parked; }));
}

// Whether so many tokens and the next few of everybody else would fit.
bool Scheduler::has_room(int32_t tokens, int32_t owned_pages) const {
  const int32_t wanted = tokens / kPageSize + 1 - owned_pages;
  Engine& engine = survivor_->engine();
  return wanted <= 0 || engine.pool().n_free() + engine.prefix_cache().n_evictable() >=
                            wanted + n_active();
}

// Those that have begun come first: nobody starts while one of them has no room to go on.
void Scheduler::admit() {
  int32_t active = n_active();
  for (const auto& r : running_) {
    if (!r->parked || r->paused) continue;
    const auto tokens = static_cast<int32_t>(r->session->tokens().size());
    const auto owned = static_cast<int32_t>(r->session->pages().size());
    if (active >= parallel_ || (active > 0 && !has_room(tokens, owned))) return;
    r->parked = false;
    ++active;
  }
  // Beside those that run, as many may be paused; more of them hold up the queue.
  while (!queue_.empty() && active < parallel_ && n_running() < 2 * parallel_) {
    const auto next = next_in_queue();
    if (active > 0 && !has_room(static_cast<int32_t>(next->job.prompt.size()), 0)) return;
    Queued queued = std::move(*next);
    queue_.erase(next);
    start(std::move(queued));
    active = n_active();
  }
}

// The first of the caller for whom least is running; of several such, whose turn comes first.
std::deque<Scheduler::Queued>::iterator Scheduler::next_in_queue() {
  const auto turn = [&](const Queued& q) {
    const auto same = [&](const auto& r) { return r->caller == q.job.caller; };
    return std::pair(std::ranges::count_if(running_, same), q.round);
  };
  return std::ranges::min_element(queue_, {}, turn);
}

void Scheduler::start(Queued queued) {
  SchedulerJob& job = queued.job;
  round_ = std::max(round_, queued.round);
  Result<Session*> session = survivor_->new_session(tokenizer_);
  if (!session) return emit_unstarted(Kind::kFailed, job, &session.error());
  if (const Result<void> set = (*session)->set_prompt(job.prompt, job.answer); !set) {
    survivor_->close(**session);
    return emit_unstarted(Kind::kFailed, job, &set.error());
  }
  survivor_->begin_answer();
  auto r = std::make_unique<Running>(Running{job.id, std::move(job.caller), queued.round, *session,
                                             static_cast<int32_t>(job.prompt.size())});
  r->paused = r->parked = queued.paused;
  if ((*session)->finished()) {  // no token was asked for
    const TokenEvent nothing{-1, {}, (*session)->finish_reason()};
    emit(Kind::kStarted, *r, nullptr);
    emit(Kind::kDone, *r, &nothing);
    return close(*r);
  }
  running_.push_back(std::move(r));
}

// Whether an older generation is about to compute the very pages that this one needs next.
bool Scheduler::waits_for_older(const Running& r) const {
  const Session& mine = *r.session;
  if (mine.n_pending() <= 1) return false;
  for (const Running* older : runnable_) {
    const Session& other = *older->session;
    if (other.n_pending() <= 1 || other.n_cached() < mine.n_cached()) continue;
    const auto common = std::ranges::mismatch(mine.tokens(), other.tokens()).in1;
    const auto same = static_cast<int32_t>(common - mine.tokens().begin());
    const int32_t most = static_cast<int32_t>(mine.tokens().size()) - 1;
    const int32_t whole = std::min(same, most) / kPageSize * kPageSize;
    if (whole >= mine.n_cached() + kPageSize && whole > other.n_cached()) return true;
  }
  return false;
}

void Scheduler::choose_runnable() {
  runnable_.clear();
  sessions_.clear();
  for (const auto& r : running_) {
    if (r->paused || r->parked) continue;
    share_prefix(*r);
    if (waits_for_older(*r)) continue;
    runnable_.push_back(r.get());
    sessions_.push_back(r->session);
  }
}

void Scheduler::share_prefix(Running& r) {
  Session& session = *r.session;
  if (session.n_pending() <= kPageSize || session.n_cached() % kPageSize != 0) return;
  const auto whole = static_cast<size_t>(session.n_cached() / kPageSize);
  const std::span<const int32_t> pages =
      survivor_->engine().prefix_cache().find(session.tokens().first(session.tokens().size() - 1));
  if (pages.size() > whole) session.share_pages(pages.subspan(whole));
}

void Scheduler::keep_prefix(Running& r) {
  const Session& session = *r.session;
  const int32_t whole = session.n_cached() / kPageSize;
  if (whole <= r.kept_pages || session.n_evicted() > 0) return;
  const auto n = static_cast<size_t>(whole);
  survivor_->engine().prefix_cache().insert(session.tokens().first(n * kPageSize),
                                            session.pages().first(n));
  r.kept_pages = whole;
}

bool Scheduler::step(int32_t prompt_rows) {
  admit();
  choose_runnable();
  if (runnable_.empty()) return false;
  for (Running* r : runnable_) {
    if (!r->started) emit(Kind::kStarted, *r, nullptr);
    r->started = true;
  }
  const auto on_token = [&](Session& session, const TokenEvent& event) {
    const Running& r = *find(session);
    emit(Kind::kToken, r, &event);
    if (event.finish != FinishReason::kNone) emit(Kind::kDone, r, &event);
  };
  prompt_rows_ = 0;
  for (const Session* session : sessions_) {
    if (session->n_pending() > 1) prompt_rows_ += session->n_pending();
  }
  for (;;) {
    const Result<bool> worked = survivor_->step(sessions_, on_token, prompt_rows);
    if (worked) break;
    if (worked.error().code == Code::kResourceExhausted && preempt_one()) continue;
    for (Running* r : runnable_) {
      emit(Kind::kFailed, *r, nullptr, &worked.error());
      r->session->cancel();
    }
    break;
  }
  after_step();
  return true;
}

void Scheduler::after_step() {
  if (engine_ != &survivor_->engine()) {  // another one, whose prefix cache knows nothing yet
    engine_ = &survivor_->engine();
    for (const auto& r : running_) r->kept_pages = 0;
  }
  for (const Running* r : runnable_) {
    if (r->session->n_pending() > 1) prompt_rows_ -= r->session->n_pending();
  }
  prompt_rows_ = std::max(prompt_rows_, 0);
  std::erase_if(running_, [&](const auto& r) {
    keep_prefix(*r);
    const bool ended = r->session->finished();
    if (ended) survivor_->close(*r->session);
    return ended;
  });
}

// Frees pages, or needs fewer: of those that miss them least. False when the oldest is left alone.
bool Scheduler::preempt_one() {
  for (auto r = running_.rbegin(); r != running_.rend(); ++r) {
    const bool idle = (*r)->paused || (*r)->parked;
    if (idle && !(*r)->session->pages().empty()) return park(**r), true;
  }
  for (auto r = running_.rbegin(); r != running_.rend(); ++r) {
    if ((*r)->parked || (*r)->paused || r->get() == runnable_.front()) continue;
    std::erase(runnable_, r->get());
    std::erase(sessions_, (*r)->session);
    return park(**r), true;
  }
  return false;
}

void Scheduler::park(Running& r) {
  r.session->drop_kv();
  r.kept_pages = 0;
  r.parked = true;
  ++preempted_;
}

Scheduler::Running* Scheduler::find(const Session& session) {
  return std::ranges::find_if(running_, [&](const auto& r) { return r->session == &session; })->get();
}

void Scheduler::emit(Kind kind, const Running& r, const TokenEvent* token, const Error* error) {
  SchedulerEvent event;
  event.kind = kind;
  event.id = r.id;
  event.token = token;
  event.error = error;
  event.finish = token != nullptr ? token->finish : FinishReason::kNone;
  event.prompt_tokens = r.prompt_tokens;
  event.cached_tokens = std::min(r.session->reused_tokens(), r.prompt_tokens);
  event.completion_tokens = r.session->n_generated();
  on_event_(event);
}

void Scheduler::emit_unstarted(Kind kind, const SchedulerJob& job, const Error* error) {
  SchedulerEvent event;
  event.kind = kind;
  event.id = job.id;
  event.error = error;
  event.finish = kind == Kind::kDone ? FinishReason::kCancelled : FinishReason::kNone;
  event.prompt_tokens = static_cast<int32_t>(job.prompt.size());
  on_event_(event);
}

void Scheduler::close(Running& r) {
  keep_prefix(r);
  survivor_->close(*r.session);
}

}  // namespace lamina
