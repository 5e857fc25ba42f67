// SPDX-License-Identifier: Apache-2.0
// Continuous batching: which generations take part in a step, which wait, and whose KV is kept.
// Sans-IO like a session: somebody calls step() again and again, and does the waiting.
//
// Generations start in the order of their coming, callers taking turns; `parallel` of them are
// stepped together. Prompts begin with the pages that the prefix cache knows, and wait while an
// older one computes pages that they need too. When the KV cache is full, the paused and then the
// youngest generations lose their pages and go on later, computing what the cache has not kept.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/engine/survivor.h"

namespace lamina {

struct SchedulerJob {
  uint64_t id = 0;
  std::string caller;  // who asks; jobs of different callers take turns in the queue
  std::vector<int32_t> prompt;
  AnswerOptions answer;
};

struct SchedulerEvent {
  // Per job: kStarted once, then kTokens, then kDone; kFailed or a kDone of kCancelled at any time.
  enum class Kind : uint8_t { kStarted, kToken, kDone, kFailed };
  Kind kind = Kind::kStarted;
  uint64_t id = 0;
  const TokenEvent* token = nullptr;  // kToken's
  const Error* error = nullptr;       // kFailed's
  FinishReason finish = FinishReason::kNone;
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;  // of the prompt, that were not computed; may grow after kStarted
  int32_t completion_tokens = 0;
};

class Scheduler {
 public:
  // Must not call the scheduler.
  using OnEvent = std::function<void(const SchedulerEvent&)>;

  // `survivor`, which nobody else drives, and `tokenizer`, which may be null, outlive this.
  Scheduler(Survivor* survivor, const Tokenizer* tokenizer, int32_t parallel, OnEvent on_event);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  void submit(SchedulerJob job);
  // Fails, with `error`, the last in the queue of whoever of those that wait has most here.
  void refuse_last(const Error& error);
  // At once, with text that was held back. Unknown ids are ignored, here and below.
  void cancel(uint64_t id);
  // A paused generation is not stepped, and others may take its turn. Its KV stays while there is room.
  void pause(uint64_t id, bool paused);
  void fail_all(const Error& error);

  // One step; prompts take at most `prompt_rows` rows of it when others decode. False when there is
  // nothing to do before the next call of another method.
  bool step(int32_t prompt_rows = INT32_MAX);

  // Survivor::switch_to, with what is kept for later prompts.
  Result<void> switch_to(std::unique_ptr<Engine> engine);

  int32_t n_running() const { return static_cast<int32_t>(running_.size()); }  // started, not ended
  int32_t n_queued() const { return static_cast<int32_t>(queue_.size()); }
  int32_t n_preempted() const { return preempted_; }   // times that one lost its KV, in all
  int32_t prompt_rows() const { return prompt_rows_; }  // that the last step computed

 private:
  struct Running {
    uint64_t id;
    std::string caller;
    uint64_t round;
    Session* session;
    int32_t prompt_tokens;
    bool started = false;  // the event was given
    bool paused = false;
    bool parked = false;   // has lost its turn
    int32_t kept_pages = 0;  // that the prefix cache was told of
  };
  struct Queued {
    SchedulerJob job;
    uint64_t round = 0;  // a caller's jobs are in different ones; lower ones start first
    bool paused = false;
  };

  void admit();
  void start(Queued queued);
  std::deque<Queued>::iterator next_in_queue();
  bool has_room(int32_t tokens, int32_t owned_pages) const;
  int32_t n_active() const;

  void choose_runnable();
  bool waits_for_older(const Running& r) const;
  void share_prefix(Running& r);
  void keep_prefix(Running& r);
  void after_step();
  bool preempt_one();
  void park(Running& r);

  Running* find(const Session& session);
  void emit(SchedulerEvent::Kind kind, const Running& r, const TokenEvent* token,
            const Error* error = nullptr);
  void emit_unstarted(SchedulerEvent::Kind kind, const SchedulerJob& job, const Error* error);
  void close(Running& r);

  Survivor* survivor_;
  const Tokenizer* tokenizer_;
  int32_t parallel_;
  OnEvent on_event_;
  std::deque<Queued> queue_;
  uint64_t round_ = 0;                             // of the job that started last
  std::vector<std::unique_ptr<Running>> running_;  // in the order of their start
  std::vector<Running*> runnable_;
  std::vector<Session*> sessions_;  // runnable_'s
  const Engine* engine_ = nullptr;  // that kept_pages speak of
  int32_t preempted_ = 0;
  int32_t prompt_rows_ = 0;
};

}  // namespace lamina
