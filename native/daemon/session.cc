// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/session.h"

#include <random>

namespace lamina::daemon {
namespace {

using Clock = std::chrono::steady_clock;

// A full peer says when it is empty again; this is for one that never was full by its own measure.
constexpr double kRetrySeconds = 0.25;
constexpr auto kProgressEvery = std::chrono::milliseconds(100);

uint64_t draw_seed() {
  std::random_device device;
  return ((uint64_t{device()} << 32) | device()) & kMaxSeed;
}

}  // namespace

Session::Session(SessionHub& hub, std::string id)
    : hub_(hub),
      id_(std::move(id)),
      detached_at_(Clock::now()),
      frames_(hub.options_.buffer_bytes) {
  frames_.on_dropped = [this](const std::string& request, int64_t seq) { dropped(request, seq); };
}

Session::~Session() {
  for (const auto& [id, request] : requests_) {
    if (request.ticket != 0 && !request.finished) hub_.parts_.desk.abandon(request.ticket);
  }
}

bool Session::busy() const {
  return running_ > 0;
}

void Session::attach(std::shared_ptr<WebSocketPeer> peer) {
  peer_ = std::move(peer);
}

void Session::detach() {
  peer_ = nullptr;
  detached_at_ = Clock::now();
  hold_back();
}

// --- frames out ---

FrameOf Session::next_frame(const std::string& id, Request& request) {
  return {id, ++request.seq};
}

void Session::say(const std::string& id, int64_t seq, std::string text,
                  Clock::time_point computed) {
  frames_.add({id, seq, std::move(text), computed});
  pump();
}

void Session::pump() {
  while (peer_ != nullptr && peer_->unsent() < hub_.options_.unsent_bytes) {
    SessionFrames::Frame* frame = frames_.next();
    if (frame == nullptr) break;
    peer_->send(frame->text);
    if (frame->computed != Clock::time_point{}) {
      hub_.parts_.metrics.delivered(std::chrono::duration<double>(Clock::now() - frame->computed));
    }
    frames_.sent();
  }
  hold_back();
  if (peer_ == nullptr || !frames_.waiting() || retry_set_) return;
  retry_set_ = true;
  hub_.parts_.loop.after(kRetrySeconds, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->retry_set_ = false;
    self->pump();
  });
}

// With a slow reader nothing waits here longer than needed; without any connection a part of the
// buffer may fill, so that an answer goes on while its reader is away.
void Session::hold_back() {
  const size_t most = hub_.options_.buffer_bytes / 2;
  const bool pause = attached() ? frames_.waiting() : frames_.waiting_bytes() > most;
  if (pause == paused_) return;
  paused_ = pause;
  if (pause) hub_.parts_.metrics.paused();
  for (const auto& [id, request] : requests_) {
    if (request.ticket != 0 && !request.finished) hub_.parts_.desk.pause(request.ticket, pause);
  }
}

void Session::dropped(const std::string& id, int64_t seq) {
  const auto found = requests_.find(id);
  if (found == requests_.end() || !found->second.finished || found->second.seq != seq) return;
  requests_.erase(found);
  frames_.forget_past(id);
}

void Session::resume(const std::map<std::string, int64_t>& last_seq) {
  const std::vector<std::string> gone = frames_.rewind(last_seq);
  for (const std::string& id : gone) {
    const auto found = requests_.find(id);
    if (found == requests_.end()) continue;
    if (!found->second.finished) {
      hub_.parts_.desk.abandon(found->second.ticket);
      finish(found->second);
    }
    requests_.erase(found);
  }
  std::vector<ResumedRequest> known;
  for (auto it = requests_.begin(); it != requests_.end();) {
    const Request& request = it->second;
    known.push_back({it->first, request.seq, request.finished});
    const auto last = last_seq.find(it->first);
    const bool told = request.finished && last != last_seq.end() && last->second >= request.seq;
    if (told) frames_.forget_past(it->first);
    it = told ? requests_.erase(it) : std::next(it);
  }
  peer_->send(resumed_frame(id_, known));
  for (const std::string& id : gone) {
    peer_->send(error_frame({error_code::kGone,
                             "frames after the last that arrived are no longer kept; the request "
                             "has ended",
                             "last_seq", id}));
  }
  pump();
}

// --- requests ---

Session::Request* Session::begin(const std::string& id, ProtocolError& error) {
  if (requests_.contains(id)) {
    error = {error_code::kDuplicateId, "a request has this id already; ids are used once", "id",
             id};
    return nullptr;
  }
  if (running_ >= ProtocolLimits::kRequests) {
    error = {error_code::kTooMany,
             "at most " + std::to_string(ProtocolLimits::kRequests) +
                 " requests of a session run or wait at once",
             "", id};
    return nullptr;
  }
  ++running_;
  return &requests_[id];
}

void Session::finish(Request& request) {
  if (request.finished) return;
  request.finished = true;
  --running_;
}

void Session::fail(const std::string& id, const Error& error) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  finish(found->second);
  const FrameOf of = next_frame(id, found->second);
  say(id, of.seq, failed_frame(of, code_name(error.code), error.message));
}

void Session::generate(GenerateMessage message, ProtocolError& error) {
  Request* request = begin(message.id, error);
  if (request == nullptr) return;
  SamplingParams& sampling = message.request.answer.sampling;
  if (!message.has_seed) sampling.seed = draw_seed();
  request->seed = sampling.seed;
  if (message.request.model.empty()) message.request.model = hub_.default_model();
  message.request.caller = id_;
  request->model = message.request.model;
  request->ticket = hub_.parts_.desk.submit(
      std::move(message.request),
      [weak = weak_from_this(), id = message.id](std::span<const GenerationEvent> events) {
        if (const auto self = weak.lock()) self->on_events(id, events);
      });
  if (paused_) hub_.parts_.desk.pause(request->ticket, true);
}

void Session::cancel(const CancelMessage& message, ProtocolError& error) {
  const auto found = requests_.find(message.id);
  if (found == requests_.end()) {
    error = {error_code::kUnknownId, "no request of this session has this id", "id", message.id};
    return;
  }
  if (found->second.ticket == 0) {
    error = {error_code::kUnknownId, "only generations can be cancelled, and this is none", "id",
             message.id};
    return;
  }
  hub_.parts_.desk.cancel(found->second.ticket);
  hub_.parts_.desk.pause(found->second.ticket, false);
}

void Session::on_events(const std::string& id, std::span<const GenerationEvent> events) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  using Kind = GenerationEvent::Kind;
  Request& request = found->second;
  std::vector<const GenerationEvent*> tokens;
  const auto flush = [&] {
    if (!tokens.empty()) say_tokens(id, request, tokens);
    tokens.clear();
  };
  for (const GenerationEvent& event : events) {
    if (event.kind == Kind::kToken) {
      tokens.push_back(&event);
      continue;
    }
    flush();
    say_event(id, request, event);
    if (event.kind == Kind::kDone || event.kind == Kind::kFailed) return;  // `request` may be gone
  }
  flush();
}

void Session::say_tokens(const std::string& id, Request& request,
                         std::span<const GenerationEvent* const> tokens) {
  const FrameOf of = next_frame(id, request);
  say(id, of.seq, token_frame(of, tokens), tokens.front()->computed);
}

void Session::say_event(const std::string& id, Request& request, const GenerationEvent& event) {
  using Kind = GenerationEvent::Kind;
  if (event.kind == Kind::kFailed) return fail(id, event.error);
  if (event.kind == Kind::kDone) finish(request);
  const FrameOf of = next_frame(id, request);
  switch (event.kind) {
    case Kind::kStarted:
      return say(id, of.seq, started_frame(of, request.model, event.usage, request.seed));
    case Kind::kNotice:
      return say(id, of.seq, notice_frame(of, event.text));
    default:
      return say(id, of.seq, done_frame(of, event.finish, event.usage, event.timings));
  }
}

// --- models ---

void Session::errand(const std::string& id, std::function<Result<void>()> work,
                     std::function<std::string(FrameOf)> answer) {
  const auto outcome = std::make_shared<Result<void>>();
  hub_.parts_.desk.background([outcome, work = std::move(work)] { *outcome = work(); },
                              [weak = weak_from_this(), id, outcome, answer = std::move(answer)] {
                                const auto self = weak.lock();
                                if (!self) return;
                                if (!*outcome) return self->fail(id, outcome->error());
                                const auto found = self->requests_.find(id);
                                if (found == self->requests_.end()) return;
                                self->finish(found->second);
                                const FrameOf of = self->next_frame(id, found->second);
                                self->say(id, of.seq, answer(of));
                              });
}

void Session::progress(const std::string& id, const LoadProgress& progress) {
  const auto found = requests_.find(id);
  if (found == requests_.end() || found->second.finished) return;
  const FrameOf of = next_frame(id, found->second);
  say(id, of.seq, progress_frame(of, progress));
}

void Session::load(const LoadMessage& message, ProtocolError& error) {
  if (begin(message.id, error) == nullptr) return;
  const auto directory = hub_.parts_.catalogue.directory_of(message.model);
  if (!directory) {
    return fail(message.id, make_error(Code::kNotFound, "no model is called %s; hello lists them",
                                       quote(message.model).c_str()));
  }
  struct Told {
    std::string stage;
    Clock::time_point when{};
  };
  const auto tell = [weak = weak_from_this(), &loop = hub_.parts_.loop, id = message.id,
                     told = std::make_shared<Told>()](const LoadProgress& p) {
    const Clock::time_point now = Clock::now();
    if (p.stage == told->stage && now - told->when < kProgressEvery) return;
    *told = {p.stage, now};
    loop.post([weak, id, p] {
      if (const auto self = weak.lock()) self->progress(id, p);
    });
  };
  errand(
      message.id,
      [&service = hub_.parts_.service, directory = *directory, name = message.model, tell,
       loaded = hub_.options_.loaded]() -> Result<void> {
        LAMINA_TRY(service.load(directory, name, tell));
        if (loaded) loaded(name, directory);
        return {};
      },
      [this, name = message.model](FrameOf of) {
        for (ModelEntry& model : hub_.model_entries()) {
          if (model.name == name) return loaded_frame(of, model);
        }
        return loaded_frame(of, {name, false, std::nullopt});
      });
}

void Session::unload(const UnloadMessage& message, ProtocolError& error) {
  if (begin(message.id, error) == nullptr) return;
  errand(
      message.id,
      [&service = hub_.parts_.service, name = message.model,
       unloaded = hub_.options_.unloaded]() -> Result<void> {
        LAMINA_TRY(service.unload(name));
        if (unloaded) unloaded(name);
        return {};
      },
      [name = message.model](FrameOf of) { return unloaded_frame(of, name); });
}

void Session::switch_backend(const SwitchBackendMessage& message, ProtocolError& error) {
  if (begin(message.id, error) == nullptr) return;
  const std::string model = message.model.empty() ? hub_.default_model() : message.model;
  errand(
      message.id,
      [&service = hub_.parts_.service, model, backend = message.backend] {
        return service.switch_backend(model, backend);
      },
      [model, backend = message.backend](FrameOf of) {
        return switched_frame(of, model, backend);
      });
}

}  // namespace lamina::daemon
