// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/service.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>

#include "native/daemon/model_host.h"
#include "native/daemon/service_worker.h"

namespace lamina::daemon {
namespace {

constexpr size_t kMaxName = 128;
// What a model's last step is given before its generations are left untold.
constexpr std::chrono::seconds kStepTime{5};

Result<void> in_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return make_error(Code::kInvalidArgument, "%s is %lld, must be from %lld to %lld", name,
                    static_cast<long long>(value), static_cast<long long>(low),
                    static_cast<long long>(high));
}

class ServiceOfModels final : public Service {
 public:
  ServiceOfModels(const ServiceOptions& options, OpenHost open)
      : options_(options), open_(std::move(open)) {}
  ~ServiceOfModels() override {
    for (const auto& w : workers()) w->stop(draining_error());
  }

  Result<void> load(const std::string& directory, const std::string& name,
                    const std::function<void(const LoadProgress&)>& progress) override {
    if (draining_) return draining_error();
    LAMINA_TRY(reserve(name));
    Result<std::unique_ptr<ServiceWorker>> made = open_worker(directory, name, progress);
    const std::lock_guard lock(mutex_);
    loading_.erase(name);
    if (!made) return std::move(made).error();
    if (draining_) return draining_error();
    workers_.push_back(std::move(*made));
    return {};
  }

  Result<void> unload(const std::string& name) override {
    std::shared_ptr<Worker> worker;
    {
      const std::lock_guard lock(mutex_);
      const auto at = std::ranges::find_if(workers_, [&](const auto& w) { return w->name() == name; });
      if (at == workers_.end()) return unknown(name);
      worker = std::move(*at);
      workers_.erase(at);
    }
    worker->stop(make_error(Code::kUnloaded, "model %s has been unloaded", quote(name).c_str()));
    return {};
  }

  Result<GenerationId> submit(GenerateRequest request, OnEvent on_event) override {
    if (draining_) return draining_error();
    LAMINA_ASSIGN(const std::shared_ptr<Worker> worker, find(request.model));
    const GenerationId id = ++last_id_;
    LAMINA_TRY(worker->submit(id, std::move(request), std::move(on_event)));
    return id;
  }

  // Ids are looked up by the models themselves: there are few.
  void cancel(GenerationId id) override {
    for (const auto& w : workers()) w->cancel(id);
  }
  void pause(GenerationId id, bool paused) override {
    for (const auto& w : workers()) w->pause(id, paused);
  }

  Result<void> switch_backend(const std::string& model, const std::string& backend) override {
    LAMINA_ASSIGN(const std::shared_ptr<Worker> worker, find(model));
    return worker->switch_backend(backend);
  }

  std::vector<ModelStatus> status() const override {
    std::vector<ModelStatus> all;
    for (const auto& w : workers()) all.push_back(w->status());
    return all;
  }

  void refuse_new() override { draining_ = true; }

  bool drain(double seconds) override {
    using Clock = ServiceWorker::Clock;
    refuse_new();
    const auto wait = std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e6));
    const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(wait);
    const auto all = workers();
    for (const auto& w : all) w->refuse(draining_error());
    bool idle = true;
    for (const auto& w : all) idle = w->wait_idle(deadline) && idle;
    if (idle) return true;
    for (const auto& w : all) w->fail_all(draining_error());
    const auto told = Clock::now() + kStepTime;
    for (const auto& w : all) w->wait_idle(told);
    return false;
  }

 private:
  using Worker = ServiceWorker;

  static Error draining_error() {
    return make_error(Code::kDraining, "the daemon is leaving and takes nothing new");
  }

  Result<void> reserve(const std::string& name) {
    if (name.empty() || name.size() > kMaxName) {
      return make_error(Code::kInvalidArgument, "a model's name must have 1 to %zu bytes", kMaxName);
    }
    const std::lock_guard lock(mutex_);
    const bool loaded =
        std::ranges::any_of(workers_, [&](const auto& w) { return w->name() == name; });
    if (loaded || !loading_.insert(name).second) {
      return make_error(Code::kInvalidArgument, "a model named %s is loaded already",
                        quote(name).c_str());
    }
    return {};
  }

  Result<std::unique_ptr<Worker>> open_worker(const std::string& directory, const std::string& name,
                                              const LoadTold& told) {
    LAMINA_ASSIGN(std::unique_ptr<ModelHost> host, open_(directory, options_, told));
    return Worker::start(std::move(host), name, directory, options_);
  }

  Error unknown(const std::string& name) const {
    return make_error(Code::kNotFound, "there is no model %s here", quote(name).c_str());
  }

  Result<std::shared_ptr<Worker>> find(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    if (workers_.empty()) return make_error(Code::kNotFound, "no model is loaded");
    if (name.empty()) return workers_.front();
    const auto at = std::ranges::find_if(workers_, [&](const auto& w) { return w->name() == name; });
    if (at == workers_.end()) return unknown(name);
    return *at;
  }

  std::vector<std::shared_ptr<Worker>> workers() const {
    const std::lock_guard lock(mutex_);
    return workers_;
  }

  const ServiceOptions options_;
  const OpenHost open_;
  std::atomic<GenerationId> last_id_{0};
  std::atomic<bool> draining_{false};
  mutable std::mutex mutex_;  // for both below
  std::vector<std::shared_ptr<Worker>> workers_;  // in the order of loading
  std::set<std::string> loading_;
};

}  // namespace

Result<std::unique_ptr<Service>> create_service(const ServiceOptions& options, OpenHost open) {
  LAMINA_TRY(in_range("parallel", options.parallel, 1, 256));
  LAMINA_TRY(in_range("queue", options.queue, 0, 1 << 20));
  LAMINA_TRY(in_range("context", options.context, 0, 1 << 24));
  LAMINA_TRY(in_range("threads", options.threads, 0, 256));
  LAMINA_TRY(in_range("cache positions", options.cache_positions, 0, INT32_MAX));
  return std::unique_ptr<Service>(std::make_unique<ServiceOfModels>(options, std::move(open)));
}

Result<std::unique_ptr<Service>> Service::create(const ServiceOptions& options) {
  return create_service(options, open_model_host);
}

}  // namespace lamina::daemon
