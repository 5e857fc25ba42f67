// SPDX-License-Identifier: Apache-2.0
// The network and the service as tests want them: everything by hand, on one thread but for the
// desk's workers.
#pragma once

#include <atomic>
#include <climits>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "native/daemon/http.h"
#include "native/daemon/service.h"

namespace lamina::daemon {

class FakeLoop : public EventLoop {
 public:
  bool keep_turns = false;  // waits of a few milliseconds need pass() too

  void post(std::function<void()> task) override {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    changed_.notify_all();
  }
  void after(double seconds, std::function<void()> task) override {
    if (seconds < 0.01 && !keep_turns) return post(std::move(task));
    timers_.emplace(now_ + seconds, std::move(task));
  }
  // Runs until `done`, waiting for posts from other threads; false after ten seconds.
  template <typename Done>
  bool run_until(Done done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done()) {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_until(lock, deadline, [this] { return !tasks_.empty(); })) return false;
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
    return true;
  }
  void run_posted() {
    run_until([this] {
      const std::lock_guard lock(mutex_);
      return tasks_.empty();
    });
  }
  void pass(double seconds) {
    now_ += seconds;
    while (!timers_.empty() && timers_.begin()->first <= now_) {
      const auto task = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      task();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::multimap<double, std::function<void()>> timers_;
  double now_ = 0.0;
};

class FakeService : public Service {
 public:
  struct Generation {
    GenerateRequest request;
    OnEvent on_event;
    bool cancelled = false, paused = false;
  };

  FakeService() {
    ModelStatus model;
    model.name = "owl";
    model.backend = "cpu";
    model.backends = {"cpu", "reference"};
    models.push_back(model);
  }
  Result<void> load(const std::string& directory, const std::string& name,
                    const std::function<void(const LoadProgress&)>& progress) override {
    progress({"loading", 1, 2});
    progress({"preparing", 2, 2});
    if (fail_load) return make_error(Code::kIntegrity, "%s is damaged", directory.c_str());
    ModelStatus model;
    model.name = name;
    models.push_back(model);
    return {};
  }
  Result<void> unload(const std::string& name) override {
    std::erase_if(models, [&](const ModelStatus& m) { return m.name == name; });
    return {};
  }
  Result<GenerationId> submit(GenerateRequest request, OnEvent on_event) override {
    const std::lock_guard lock(mutex_);
    if (refusal) return *refusal;
    if (running >= places) return make_error(Code::kQueueFull, "full");
    ++running;
    generations[++last].request = std::move(request);
    generations[last].on_event = std::move(on_event);
    return last;
  }
  void cancel(GenerationId id) override { generations[id].cancelled = true; }
  void pause(GenerationId id, bool paused) override { generations[id].paused = paused; }
  Result<void> switch_backend(const std::string& model, const std::string& backend) override {
    switched = model + " " + backend;
    return {};
  }
  std::vector<ModelStatus> status() const override { return models; }
  void refuse_new() override {}
  bool drain(double) override { return true; }

  size_t count() {
    const std::lock_guard lock(mutex_);
    return generations.size();
  }
  void emit(GenerationId id, const GenerationEvent& event) { generations[id].on_event(event); }
  void start(GenerationId id, int32_t prompt_tokens = 3) {
    GenerationEvent event;
    event.kind = GenerationEvent::Kind::kStarted;
    event.usage.prompt_tokens = prompt_tokens;
    emit(id, event);
  }
  void token(GenerationId id, int32_t token, const std::string& text) {
    GenerationEvent event;
    event.token = token;
    event.text = text;
    event.computed = std::chrono::steady_clock::now();
    const int32_t n = generations[id].request.top_logprobs;
    if (n >= 0) event.logprobs.push_back({token, -0.5f, text});
    for (int32_t i = 0; i < n; ++i) event.logprobs.push_back({token + i, -0.5f - i, text});
    emit(id, event);
  }
  void finish(GenerationId id, FinishReason reason = FinishReason::kEos, int32_t tokens = 2) {
    GenerationEvent event;
    event.kind = GenerationEvent::Kind::kDone;
    event.finish = reason;
    event.usage = {3, 1, tokens};
    --running;
    emit(id, event);
  }

  std::mutex mutex_;
  std::map<GenerationId, Generation> generations;
  GenerationId last = 0;
  std::optional<Error> refusal;
  std::atomic<int> running{0}, places{INT_MAX};  // a finished one leaves its place
  std::vector<ModelStatus> models;
  std::string switched;
  bool fail_load = false;
};

class FakePeer : public WebSocketPeer {
 public:
  void send(std::string text) override {
    buffered += holding ? text.size() : 0;
    frames.push_back(std::move(text));
  }
  size_t unsent() const override { return buffered; }
  void close(uint16_t code, std::string_view) override { closed_with = code; }

  std::vector<std::string> frames;
  bool holding = false;
  size_t buffered = 0;
  uint16_t closed_with = 0;
};

class FakeResponder : public HttpResponder {
 public:
  void respond(int s, const Headers& h, std::string b) override {
    status = s;
    headers = h;
    body = std::move(b);
    ended = true;
  }
  void begin(int s, const Headers& h) override {
    status = s;
    headers = h;
  }
  void write(std::string part) override { body += part; }
  void end() override { ended = true; }
  size_t unsent() const override { return buffered; }
  bool connected() const override { return !gone; }
  void on_close(std::function<void()> f) override { closed = std::move(f); }
  void on_drained(std::function<void()> f) override { drained = std::move(f); }

  int status = 0;
  Headers headers;
  std::string body;
  bool ended = false, gone = false;
  size_t buffered = 0;
  std::function<void()> closed, drained;
};

// A value out of a JSON text as text: at("a.0.b"). Absent: "-".
inline std::string json_at(const std::string& text, const std::string& path) {
  const auto document = JsonDocument::parse(text, "test");
  if (!document) return "not JSON";
  JsonValue value = (*document)->root();
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('.', at), path.size());
    const std::string name = path.substr(at, end - at);
    at = end + 1;
    if (value.is_array()) {
      JsonValue child = value.first_child();
      for (int i = std::stoi(name); i > 0 && !child.is_missing(); --i) child = child.next_sibling();
      value = child;
    } else {
      value = value.find(name);
    }
    if (value.is_missing()) return "-";
  }
  if (value.is_string()) return std::string(value.as_string());
  if (value.is_int()) return std::to_string(value.as_int());
  if (value.is_bool()) return value.as_bool() ? "true" : "false";
  if (value.is_null()) return "null";
  if (value.is_array() || value.is_object()) return "#" + std::to_string(value.size());
  return std::to_string(value.as_double());
}

}  // namespace lamina::daemon
