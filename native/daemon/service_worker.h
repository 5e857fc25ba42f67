// SPDX-License-Identifier: Apache-2.0
// A loaded model and the thread that computes for it. Callers leave tasks in a mailbox; between two
// steps the thread does them, and it sleeps while there is nothing to step.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "core/engine/scheduler.h"
#include "native/daemon/model_host.h"

namespace lamina::daemon {

class ServiceWorker {
 public:
  using Clock = std::chrono::steady_clock;

  // Makes the first engine, on the calling thread.
  static Result<std::unique_ptr<ServiceWorker>> start(std::unique_ptr<ModelHost> host,
                                                      const std::string& name,
                                                      const std::string& directory,
                                                      const ServiceOptions& options);
  ~ServiceWorker();

  const std::string& name() const { return name_; }

  Result<void> submit(GenerationId id, GenerateRequest request, OnEvent on_event);
  void cancel(GenerationId id);
  void pause(GenerationId id, bool paused);
  Result<void> switch_backend(const std::string& kind);
  ModelStatus status() const;
  // Whether all generations had ended, and were told so, by then.
  bool wait_idle(Clock::time_point deadline) const;
  // From now on submit() is refused so; what runs and waits goes on. The first reason stays.
  void refuse(const Error& why);
  // What runs and waits fails so, after the step at hand.
  void fail_all(const Error& why);
  // Both, and nothing else is done any more either. Joins.
  void stop(const Error& why);

 private:
  using Task = std::function<void()>;

  struct Generation {
    OnEvent on_event;
    std::string caller;
    int32_t top_logprobs = -1;
    Clock::time_point submitted, started{}, first_token{};
  };

  ServiceWorker(std::unique_ptr<ModelHost> host, const std::string& name,
                const std::string& directory, const ServiceOptions& options);

  Result<void> check(const GenerateRequest& request, std::span<const int32_t> ids) const;
  bool has_place(const std::string& caller) const;
  Error busy_error() const;
  bool post(Task task);
  Error closed_error() const;

  // On the compute thread.
  void run();
  bool run_tasks(bool wait);
  void adapt_prompt_rows(double seconds);
  void on_scheduler(const SchedulerEvent& event);
  void tell(Generation& g, const SchedulerEvent& event);
  void add_logprobs(const Generation& g, const TokenEvent& token, GenerationEvent& out) const;
  void notice(std::string_view line);
  Result<std::unique_ptr<Engine>> replace_engine(Survivor::Next next);
  void publish();

  const std::unique_ptr<ModelHost> host_;
  const std::string name_, directory_;
  const ServiceOptions options_;
  int32_t context_ = 0;

  // The compute thread's, once it runs.
  std::unique_ptr<Survivor> survivor_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unordered_map<GenerationId, Generation> generations_;
  const Engine* published_ = nullptr;
  std::string kind_, why_;
  int32_t prompt_rows_ = 64;      // of a step in which others decode
  double seconds_per_row_ = 0.0;  // of prompts, lately
  double decode_seconds_ = 0.0;   // of steps without prompts, lately
  int32_t step_tokens_ = 0, ended_ = 0;  // since the last publish()

  std::mutex switching_;  // one switch at a time

  mutable std::mutex mutex_;  // for all below
  mutable std::condition_variable idle_;
  std::condition_variable mail_;
  std::vector<Task> mailbox_;
  bool stopping_ = false;
  std::optional<Error> closed_;  // why submit() is refused
  int32_t unfinished_ = 0;   // taken by submit() and not ended
  std::unordered_map<std::string, int32_t> unfinished_of_;  // the same, by caller
  int32_t undelivered_ = 0;  // the same, but until the last event and the status have been told
  ModelStatus status_;
  struct Second {
    int64_t slot = 0;  // eighth of a second
    int32_t tokens = 0;
  };
  std::array<Second, 8> recent_;

  std::thread thread_;
};

}  // namespace lamina::daemon
