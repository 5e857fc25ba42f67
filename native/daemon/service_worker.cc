// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/service_worker.h"

#include <algorithm>
#include <future>

#include "core/engine/text_stream.h"

namespace lamina::daemon {
namespace {

using Clock = ServiceWorker::Clock;

// How long decoding generations may be held up by others' prompts in one step, where their own part of
// it does not take longer.
constexpr double kPromptSeconds = 0.1;
constexpr int32_t kLeastPromptRows = 16;
constexpr int32_t kMaxTopLogprobs = 20;

double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

int64_t slot_of(Clock::time_point t) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(t.time_since_epoch()).count() / 125;
}

}  // namespace

Result<std::unique_ptr<ServiceWorker>> ServiceWorker::start(std::unique_ptr<ModelHost> host,
                                                            const std::string& name,
                                                            const std::string& directory,
                                                            const ServiceOptions& options) {
  std::unique_ptr<ServiceWorker> w(new ServiceWorker(std::move(host), name, directory, options));
  LAMINA_ASSIGN(MadeEngine made, w->host_->make_engine(options.backend));
  w->kind_ = made.kind;
  w->why_ = made.why;
  w->context_ = made.engine->options().context;
  w->survivor_ = std::make_unique<Survivor>(
      std::move(made.engine), SurvivorOptions{},
      [worker = w.get()](Survivor::Next next) { return worker->replace_engine(next); },
      [worker = w.get()](std::string_view line) { worker->notice(line); });
  w->scheduler_ = std::make_unique<Scheduler>(
      w->survivor_.get(), w->host_->tokenizer(), options.parallel,
      [worker = w.get()](const SchedulerEvent& event) { worker->on_scheduler(event); });
  w->publish();
  w->thread_ = std::thread([worker = w.get()] { worker->run(); });
  return w;
}

ServiceWorker::ServiceWorker(std::unique_ptr<ModelHost> host, const std::string& name,
                             const std::string& directory, const ServiceOptions& options)
    : host_(std::move(host)), name_(name), directory_(directory), options_(options) {
  status_.name = name;
  status_.directory = directory;
  status_.backends = host_->backends();
  status_.parallel = options.parallel;
}

ServiceWorker::~ServiceWorker() {
  stop(make_error(Code::kUnloaded, "model %s has been unloaded", quote(name_).c_str()));
}

Error ServiceWorker::closed_error() const {
  const std::lock_guard lock(mutex_);
  return *closed_;
}

bool ServiceWorker::post(Task task) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return false;
  mailbox_.push_back(std::move(task));
  mail_.notify_one();
  return true;
}

Result<void> ServiceWorker::check(const GenerateRequest& request,
                                  std::span<const int32_t> ids) const {
  if (ids.empty()) return make_error(Code::kInvalidArgument, "the prompt is empty");
  const int32_t vocab = host_->config().vocab_size;
  for (int32_t id : ids) {
    if (id >= 0 && id < vocab) continue;
    return make_error(Code::kInvalidArgument, "token id %d is outside the vocabulary of %d", id,
                      vocab);
  }
  if (ids.size() > static_cast<size_t>(context_)) {
    return make_error(Code::kContextExceeded,
                      "the prompt has %zu tokens, the context holds %d: shorten it or raise --ctx",
                      ids.size(), context_);
  }
  if (request.top_logprobs < -1 || request.top_logprobs > kMaxTopLogprobs) {
    return make_error(Code::kInvalidArgument, "top_logprobs is %d, must be from 0 to %d",
                      request.top_logprobs, kMaxTopLogprobs);
  }
  if (request.answer.max_new_tokens < -1) {
    return make_error(Code::kInvalidArgument, "max_new_tokens is %d, must be -1 or more",
                      request.answer.max_new_tokens);
  }
  LAMINA_TRY(request.answer.sampling.validate(vocab));
  LAMINA_TRY(TextStream::create(request.answer.stop));
  return {};
}

Error ServiceWorker::busy_error() const {
  return make_error(
      Code::kQueueFull,
      "model %s is busy: %d generations run at once (--parallel) and %d wait (--queue)",
      quote(name_).c_str(), options_.parallel, options_.queue);
}

// Where nothing is free, one who has less here than somebody else takes a place of theirs.
bool ServiceWorker::has_place(const std::string& caller) const {
  const int32_t places = options_.parallel + options_.queue;
  if (unfinished_ < places) return true;
  const auto own = unfinished_of_.find(caller);
  const int32_t mine = own == unfinished_of_.end() ? 0 : own->second;
  const bool less = std::ranges::any_of(unfinished_of_,
                                        [&](const auto& other) { return other.second > mine + 1; });
  return less && unfinished_ < 2 * places;  // the places are taken by the compute thread, later
}

Result<void> ServiceWorker::submit(GenerationId id, GenerateRequest request, OnEvent on_event) {
  std::vector<int32_t> ids = std::move(request.prompt_ids);
  if (ids.empty()) {
    LAMINA_ASSIGN(ids, host_->prompt_ids(request));
  }
  LAMINA_TRY(check(request, ids));
  auto job = std::make_shared<SchedulerJob>();
  *job = {id, request.caller, std::move(ids), std::move(request.answer)};
  job->answer.keep_logits = request.top_logprobs >= 0;
  auto generation = std::make_shared<Generation>();
  *generation = {std::move(on_event), request.caller, request.top_logprobs, Clock::now(), {}, {}};

  const std::lock_guard lock(mutex_);
  if (closed_) return *closed_;
  if (!has_place(request.caller)) return busy_error();
  ++unfinished_;
  ++unfinished_of_[request.caller];
  ++undelivered_;
  mailbox_.push_back([this, id, job, generation] {
    generations_.emplace(id, std::move(*generation));
    scheduler_->submit(std::move(*job));
    const int32_t here = scheduler_->n_running() + scheduler_->n_queued();
    if (here > options_.parallel + options_.queue) scheduler_->refuse_last(busy_error());
  });
  mail_.notify_one();
  return {};
}

void ServiceWorker::cancel(GenerationId id) {
  post([this, id] { scheduler_->cancel(id); });
}

void ServiceWorker::pause(GenerationId id, bool paused) {
  post([this, id, paused] { scheduler_->pause(id, paused); });
}

Result<void> ServiceWorker::switch_backend(const std::string& kind) {
  const std::lock_guard one(switching_);
  LAMINA_ASSIGN(MadeEngine made, host_->make_engine(kind));
  const auto engine = std::make_shared<MadeEngine>(std::move(made));
  const auto done = std::make_shared<std::promise<Result<void>>>();
  std::future<Result<void>> result = done->get_future();
  const bool posted = post([this, engine, done] {
    const std::string device = engine->engine->backend().info().device;
    Result<void> moved = scheduler_->switch_to(std::move(engine->engine));
    if (moved) {
      kind_ = engine->kind;
      why_ = engine->why;
      notice("going on with " + kind_ + " (" + device + ")");
      publish();
    }
    done->set_value(std::move(moved));
  });
  if (!posted) return closed_error();
  return result.get();
}

ModelStatus ServiceWorker::status() const {
  const std::lock_guard lock(mutex_);
  ModelStatus status = status_;
  status.running = std::min(status.running, unfinished_);
  status.queued = unfinished_ - status.running;
  const int64_t now = slot_of(Clock::now());
  for (const Second& s : recent_) {
    if (s.slot > now - static_cast<int64_t>(recent_.size())) status.tokens_per_second += s.tokens;
  }
  return status;
}

bool ServiceWorker::wait_idle(Clock::time_point deadline) const {
  std::unique_lock lock(mutex_);
  return idle_.wait_until(lock, deadline, [&] { return undelivered_ == 0; });
}

void ServiceWorker::refuse(const Error& why) {
  const std::lock_guard lock(mutex_);
  if (!closed_) closed_ = why;
}

void ServiceWorker::fail_all(const Error& why) {
  post([this, why] { scheduler_->fail_all(why); });
}

void ServiceWorker::stop(const Error& why) {
  refuse(why);
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    mail_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void ServiceWorker::run() {
  bool busy = false;
  while (run_tasks(!busy)) {
    const Clock::time_point start = Clock::now();
    busy = scheduler_->step(prompt_rows_);
    if (busy) adapt_prompt_rows(seconds(start, Clock::now()));
    publish();
    // Where compute threads have all CPUs, who delivers tokens has its turn now and not a tick later.
    if (busy) std::this_thread::yield();
  }
  scheduler_->fail_all(closed_error());
  publish();
  scheduler_.reset();
  survivor_.reset();
}

// Does what is in the mailbox, once there is something where `wait`. False when it is time to stop.
bool ServiceWorker::run_tasks(bool wait) {
  std::vector<Task> tasks;
  bool stopping;
  {
    std::unique_lock lock(mutex_);
    if (wait) mail_.wait(lock, [&] { return stopping_ || !mailbox_.empty(); });
    tasks.swap(mailbox_);
    stopping = stopping_;
  }
  for (const Task& task : tasks) task();
  return !stopping;
}

// So many rows of prompts as take as long as the decoding beside them, or kPromptSeconds.
void ServiceWorker::adapt_prompt_rows(double took) {
  const auto follow = [](double& average, double value) {
    average = average > 0 ? (average + value) / 2 : value;
  };
  const int32_t rows = scheduler_->prompt_rows();
  if (rows == 0) return follow(decode_seconds_, took);
  if (rows < kLeastPromptRows) return;
  follow(seconds_per_row_, std::max(took - decode_seconds_, 0.0) / rows);
  const double time = std::max(kPromptSeconds, decode_seconds_);
  const double wanted = time / std::max(seconds_per_row_, 1e-6);
  prompt_rows_ = std::max(kLeastPromptRows, static_cast<int32_t>(std::min(wanted, 1e6)) / 16 * 16);
}

void ServiceWorker::on_scheduler(const SchedulerEvent& event) {
  const auto at = generations_.find(event.id);
  LAMINA_CHECK(at != generations_.end());
  using Kind = SchedulerEvent::Kind;
  const bool last = event.kind == Kind::kDone || event.kind == Kind::kFailed;
  if (last) {
    const std::lock_guard lock(mutex_);
    --unfinished_;
    const auto of = unfinished_of_.find(at->second.caller);
    if (--of->second == 0) unfinished_of_.erase(of);
  }
  tell(at->second, event);
  if (last) ended_ += static_cast<int32_t>(generations_.erase(event.id));
}

void ServiceWorker::tell(Generation& g, const SchedulerEvent& event) {
  GenerationEvent out;
  out.computed = Clock::now();
  out.usage = {event.prompt_tokens, event.cached_tokens, event.completion_tokens};
  switch (event.kind) {
    case SchedulerEvent::Kind::kStarted:
      out.kind = GenerationEvent::Kind::kStarted;
      g.started = out.computed;
      break;
    case SchedulerEvent::Kind::kToken:
      out.kind = GenerationEvent::Kind::kToken;
      out.token = event.token->token;
      out.text = event.token->text;
      if (g.first_token == Clock::time_point{}) g.first_token = out.computed;
      if (out.token >= 0) ++step_tokens_;
      add_logprobs(g, *event.token, out);
      break;
    case SchedulerEvent::Kind::kDone:
      out.kind = GenerationEvent::Kind::kDone;
      out.finish = event.finish;
      break;
    case SchedulerEvent::Kind::kFailed:
      out.kind = GenerationEvent::Kind::kFailed;
      out.error = *event.error;
      break;
  }
  const bool started = g.started != Clock::time_point{};
  out.timings.queued = seconds(g.submitted, started ? g.started : out.computed);
  if (g.first_token != Clock::time_point{}) out.timings.first_token = seconds(g.started, g.first_token);
  out.timings.total = seconds(g.submitted, out.computed);
  g.on_event(out);
}

void ServiceWorker::add_logprobs(const Generation& g, const TokenEvent& token,
                                 GenerationEvent& out) const {
  if (g.top_logprobs < 0 || token.token < 0 || token.logits.empty()) return;
  const Tokenizer* const tokenizer = host_->tokenizer();
  const auto add = [&](int32_t id, double logprob) {
    out.logprobs.push_back({id, static_cast<float>(logprob),
                            tokenizer ? std::string(tokenizer->token_bytes(id)) : std::string()});
  };
  add(token.token, log_probability(token.logits, token.token));
  if (g.top_logprobs == 0) return;
  const auto n = static_cast<size_t>(g.top_logprobs);
  for (const auto& [id, logprob] : top_log_probabilities(token.logits, n)) add(id, logprob);
}

void ServiceWorker::notice(std::string_view line) {
  if (options_.log) options_.log(LogLevel::kWarning, "model " + name_ + ": " + std::string(line));
  GenerationEvent event;
  event.kind = GenerationEvent::Kind::kNotice;
  event.text = line;
  event.computed = Clock::now();
  for (auto& [id, g] : generations_) g.on_event(event);
}

Result<std::unique_ptr<Engine>> ServiceWorker::replace_engine(Survivor::Next next) {
  const bool fallback = next == Survivor::Next::kFallback;
  if (fallback && kind_ == "cpu") {
    return make_error(Code::kDevice, "there is no other backend to go on with");
  }
  LAMINA_ASSIGN(MadeEngine made, host_->make_engine(fallback ? "cpu" : kind_));
  why_ = fallback ? "in place of " + kind_ + ", which failed" : "made again after it failed";
  kind_ = made.kind;
  return std::move(made.engine);
}

void ServiceWorker::publish() {
  Engine& engine = survivor_->engine();
  const bool other = published_ != &engine || status_.backend != kind_;
  BackendInfo info;
  if (other && engine.has_backend()) info = engine.backend().info();
  const MemoryUse memory = engine.has_backend() ? engine.backend().memory() : MemoryUse{};
  const int64_t slot = slot_of(Clock::now());

  const std::lock_guard lock(mutex_);
  if (other) {
    status_.backend = kind_;
    status_.backend_reason = why_;
    status_.device = info.device;
    status_.context = context_;
    published_ = &engine;
  }
  status_.running = scheduler_->n_running();
  status_.weight_bytes = memory.weight_bytes;
  status_.kv_bytes = memory.kv_bytes;
  status_.activation_bytes = memory.activation_bytes;
  status_.kv_pages = engine.pool().n_pages();
  status_.kv_pages_cached = engine.prefix_cache().n_evictable();
  status_.kv_pages_used = status_.kv_pages - engine.pool().n_free() - status_.kv_pages_cached;
  Second& now = recent_[static_cast<size_t>(slot) % recent_.size()];
  if (now.slot != slot) now = {slot, 0};
  now.tokens += std::exchange(step_tokens_, 0);
  undelivered_ -= std::exchange(ended_, 0);
  if (undelivered_ == 0) idle_.notify_all();
}

}  // namespace lamina::daemon
