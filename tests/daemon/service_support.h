// SPDX-License-Identifier: Apache-2.0
// A service over a small random model in memory, and what its callers saw.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "backends/reference/reference_backend.h"
#include "native/daemon/model_host.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/random_model.h"

namespace lamina::daemon {

// What one caller saw, in order. Waits for it.
class Listener {
 public:
  struct Seen {
    std::string text;
    std::vector<int32_t> tokens;
    std::vector<std::vector<Logprob>> logprobs;
    std::vector<std::string> notices;
    int started = 0, ends = 0, after_end = 0;
    FinishReason finish = FinishReason::kNone;
    Usage usage;
    Timings timings;
    Error error{};
  };

  OnEvent on_event() {
    return [this](const GenerationEvent& event) {
      std::unique_lock lock(mutex_);
      add(event);
      changed_.notify_all();
      changed_.wait(lock, [&] { return seen_.tokens.size() < hold_at_ || seen_.ends > 0; });
    };
  }

  Seen wait() {
    return wait_until([](const Seen& s) { return s.ends > 0; });
  }
  template <typename Condition>
  Seen wait_until(Condition condition) {
    std::unique_lock lock(mutex_);
    const bool in_time =
        changed_.wait_for(lock, std::chrono::seconds(120), [&] { return condition(seen_); });
    EXPECT_TRUE(in_time);
    return seen_;
  }
  // The compute thread waits at this token, until it may go on to another; a call made meanwhile
  // takes effect before the next step.
  void hold_at(size_t tokens) {
    const std::lock_guard lock(mutex_);
    hold_at_ = tokens;
    changed_.notify_all();
  }
  void wait_held() {
    wait_until([&](const Seen& s) { return s.tokens.size() >= hold_at_; });
  }
  void release() { hold_at(SIZE_MAX); }
  Seen now() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  void add(const GenerationEvent& event) {
    using Kind = GenerationEvent::Kind;
    seen_.after_end += seen_.ends > 0;
    if (event.kind == Kind::kStarted) ++seen_.started;
    if (event.kind == Kind::kNotice) seen_.notices.push_back(event.text);
    if (event.kind == Kind::kToken) {
      seen_.text += event.text;
      if (event.token >= 0) seen_.tokens.push_back(event.token);
      seen_.logprobs.push_back(event.logprobs);
    }
    if (event.kind == Kind::kDone || event.kind == Kind::kFailed) {
      ++seen_.ends;
      seen_.finish = event.finish;
      seen_.usage = event.usage;
      seen_.timings = event.timings;
      seen_.error = event.error;
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Seen seen_;
  size_t hold_at_ = SIZE_MAX;
};

// The model, shared by all services of a test.
struct TestModel {
  TestModel() : tokenizer(read_tokenizer()) {
    ModelConfig config = test::small_config();
    config.vocab_size = tokenizer.vocab_size();
    model = test::random_model(config, DType::kF32);
  }
  static Tokenizer read_tokenizer() {
    std::ifstream file(LAMINA_SOURCE_DIR "/tests/models/storyteller/tokenizer.json");
    const std::string json{std::istreambuf_iterator<char>(file), {}};
    return Tokenizer::from_json(json, "tokenizer.json").value();
  }
  Tokenizer tokenizer;
  std::unique_ptr<test::RandomModel> model;
};

// "faulty" is the CPU, lost as the faults say in turn, and no more to be had after the last.
class TestHost final : public ModelHost {
 public:
  TestHost(const TestModel& model, const ServiceOptions& options, std::vector<test::Fault> faults)
      : model_(model), options_(options), faults_(std::move(faults)) {}

  const ModelConfig& config() const override { return model_.model->config; }
  const Tokenizer* tokenizer() const override { return &model_.tokenizer; }
  Result<std::vector<int32_t>> prompt_ids(const GenerateRequest& request) const override {
    return model_.tokenizer.encode(request.prompt, {false, false});
  }
  std::vector<std::string> backends() const override { return {"cpu", "reference", "faulty"}; }
  Result<MadeEngine> make_engine(const std::string& kind) override {
    LAMINA_ASSIGN(std::unique_ptr<Backend> backend, make_backend(kind));
    MadeEngine made{nullptr, kind, "the test's wish"};
    LAMINA_ASSIGN(made.engine, Engine::create(std::move(backend), config(), model_.model->weights,
                                              engine_options(options_, config())));
    return made;
  }

 private:
  Result<std::unique_ptr<Backend>> make_backend(const std::string& kind) {
    if (kind == "reference") return std::unique_ptr<Backend>(make_reference_backend());
    LAMINA_ASSIGN(std::unique_ptr<Backend> cpu, make_cpu_backend({.threads = 1, .force_isa = ""}));
    if (kind == "cpu") return cpu;
    if (kind != "faulty") return make_error(Code::kInvalidArgument, "no backend %s", kind.c_str());
    const size_t number = made_++;
    if (number > 0 && number >= faults_.size()) return make_error(Code::kDevice, "no such device any more");
    const test::Fault fault = number < faults_.size() ? faults_[number] : test::Fault{};
    return std::unique_ptr<Backend>(std::make_unique<test::FaultyBackend>(std::move(cpu), fault));
  }

  const TestModel& model_;
  const ServiceOptions options_;
  const std::vector<test::Fault> faults_;
  std::atomic<size_t> made_{0};
};

class ServiceTest : public ::testing::Test {
 protected:
  static const TestModel& model() {
    static const TestModel* const model = new TestModel;
    return *model;
  }

  ServiceTest() {
    options_.backend = "cpu";
    options_.context = 512;
    options_.parallel = 4;
    options_.queue = 64;
  }

  // A service with the model "m", whose "faulty" backends have these faults.
  std::unique_ptr<Service> service(std::vector<test::Fault> faults = {}) const {
    auto made = create_service(options_, [faults](const std::string&, const ServiceOptions& options,
                                                  const LoadTold&) {
      return Result<std::unique_ptr<ModelHost>>(std::make_unique<TestHost>(model(), options, faults));
    });
    EXPECT_TRUE(made);
    EXPECT_TRUE((*made)->load("nowhere", "m", {}));
    return std::move(*made);
  }

  static std::vector<int32_t> prompt(int32_t n, int32_t salt = 0) {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < n; ++i) ids.push_back((i * 37 + salt * 11 + 300) % 2000);
    return ids;
  }

  static GenerateRequest request(int32_t prompt_tokens, int32_t salt, int32_t new_tokens,
                                 float temperature = 0.0f) {
    GenerateRequest r;
    r.prompt_ids = prompt(prompt_tokens, salt);
    r.answer.sampling.temperature = temperature;
    r.answer.sampling.seed = static_cast<uint64_t>(salt) + 5;
    r.answer.max_new_tokens = new_tokens;
    r.answer.ignore_eos = true;
    return r;
  }

  static Listener::Seen run(Service& service, GenerateRequest r) {
    Listener listener;
    const auto id = service.submit(std::move(r), listener.on_event());
    EXPECT_TRUE(id) << id.error().message;
    return id ? listener.wait() : Listener::Seen{};
  }

  ServiceOptions options_;
};

}  // namespace lamina::daemon
