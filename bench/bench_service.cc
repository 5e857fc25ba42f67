// SPDX-License-Identifier: Apache-2.0
// The daemon's service without its network, on a model of a real shape with random weights.
//
//   bench_service [SHAPE [STREAMS [TOKENS [THREADS]]]]
//
// Prints tokens/s of one generation and of STREAMS together, the time to the first token of a
// prompt of 1,000 tokens before and after it is in the cache, how long others wait for a token
// while a long prompt comes in, and how long a cancel takes. Compare ratios: all are of one run.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "backends/cpu/cpu_backend.h"
#include "native/daemon/model_host.h"
#include "native/platform/synthetic.h"

namespace lamina::daemon {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

class SyntheticHost final : public ModelHost {
 public:
  SyntheticHost(std::unique_ptr<LoadedModel> model, const ServiceOptions& options)
      : model_(std::move(model)), options_(options) {}
  const ModelConfig& config() const override { return model_->manifest.config; }
  const Tokenizer* tokenizer() const override { return nullptr; }
  Result<std::vector<int32_t>> prompt_ids(const GenerateRequest&) const override {
    return make_error(Code::kUnsupported, "a model without words takes tokens");
  }
  std::vector<std::string> backends() const override { return {"cpu"}; }
  Result<MadeEngine> make_engine(const std::string&) override {
    CpuOptions cpu;
    cpu.threads = options_.threads;
    LAMINA_ASSIGN(std::unique_ptr<Backend> backend, make_cpu_backend(cpu));
    MadeEngine made{nullptr, "cpu", "measured"};
    LAMINA_ASSIGN(made.engine, Engine::create(std::move(backend), config(), model_->weights,
                                              engine_options(options_, config())));
    return made;
  }

 private:
  std::unique_ptr<LoadedModel> model_;
  ServiceOptions options_;
};

// When each token of a generation came.
class Watch {
 public:
  OnEvent on_event() {
    return [this](const GenerationEvent& event) {
      const std::lock_guard lock(mutex_);
      if (event.kind == GenerationEvent::Kind::kToken && event.token >= 0) {
        times_.push_back(event.computed);
      }
      ended_ = event.kind == GenerationEvent::Kind::kDone || event.kind == GenerationEvent::Kind::kFailed;
      if (ended_) end_ = event;
      changed_.notify_all();
    };
  }
  void wait_tokens(size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ || times_.size() >= n; });
  }
  GenerationEvent wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_; });
    return end_;
  }
  std::vector<Clock::time_point> times() const {
    const std::lock_guard lock(mutex_);
    return times_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Clock::time_point> times_;
  bool ended_ = false;
  GenerationEvent end_;
};

GenerateRequest request(int32_t prompt, int32_t salt, int32_t tokens) {
  GenerateRequest r;
  for (int32_t i = 0; i < prompt; ++i) r.prompt_ids.push_back((i * 37 + salt * 1009 + 300) % 20000);
  r.answer.sampling.temperature = 0.8f;
  r.answer.max_new_tokens = tokens;
  r.answer.ignore_eos = true;
  return r;
}

GenerationId submit(Service& service, GenerateRequest r, Watch& watch) {
  const auto id = service.submit(std::move(r), watch.on_event());
  if (id) return *id;
  std::fprintf(stderr, "bench_service: %s\n", id.error().message.c_str());
  std::exit(1);
}

// Tokens/s of `n` together, from when all have their first token to when the first one ends.
double rate(Service& service, int32_t n, int32_t tokens) {
  std::vector<std::unique_ptr<Watch>> watches;
  for (int32_t i = 0; i < n; ++i) {
    watches.push_back(std::make_unique<Watch>());
    submit(service, request(16, i, tokens), *watches.back());
  }
  for (const auto& w : watches) w->wait();
  Clock::time_point from = Clock::time_point::min(), to = Clock::time_point::max();
  for (const auto& w : watches) {
    from = std::max(from, w->times().front());
    to = std::min(to, w->times().back());
  }
  int64_t inside = 0;
  for (const auto& w : watches) {
    inside += std::ranges::count_if(w->times(), [&](auto t) { return t > from && t <= to; });
  }
  return static_cast<double>(inside) / seconds_between(from, to);
}

double first_token(Service& service, int32_t prompt, int32_t salt, int32_t* cached) {
  Watch watch;
  const Clock::time_point start = Clock::now();
  submit(service, request(prompt, salt, 1), watch);
  *cached = watch.wait().usage.cached_tokens;
  return seconds_between(start, watch.times().front());
}

double most_between_tokens(const std::vector<Clock::time_point>& times) {
  double most = 0;
  for (size_t i = 1; i < times.size(); ++i) {
    most = std::max(most, seconds_between(times[i - 1], times[i]));
  }
  return most;
}

void prefixes(Service& service) {
  int32_t cached = 0;
  const double cold = first_token(service, 1000, 1, &cached);
  const double warm = first_token(service, 1000, 1, &cached);
  std::printf("first token of 1000: %.3f s, again %.4f s (%d cached): %.1fx sooner\n", cold, warm,
              cached, cold / warm);
}

void long_prompt_beside(Service& service) {
  Watch decoding, prompt;
  const GenerationId id = submit(service, request(16, 5, -1), decoding);
  decoding.wait_tokens(10);
  const double alone = most_between_tokens(decoding.times());
  const Clock::time_point start = Clock::now();
  submit(service, request(1000, 77, 1), prompt);
  prompt.wait();
  const double took = seconds_between(start, prompt.times().front());
  const size_t before = decoding.times().size();
  service.cancel(id);
  decoding.wait();
  std::printf("beside a prompt of 1000: a token at least every %.3f s (alone %.3f), %zu tokens while "
              "it took %.2f s\n", most_between_tokens(decoding.times()), alone, before, took);
}

void cancelling(Service& service, int32_t streams, int32_t tokens) {
  std::vector<std::unique_ptr<Watch>> watches;
  std::vector<GenerationId> ids;
  for (int32_t i = 0; i < streams; ++i) {
    watches.push_back(std::make_unique<Watch>());
    ids.push_back(submit(service, request(16, i, tokens), *watches.back()));
  }
  for (const auto& w : watches) w->wait_tokens(3);
  const double step = most_between_tokens(watches[0]->times());
  const Clock::time_point start = Clock::now();
  service.cancel(ids[0]);
  const Clock::time_point end = watches[0]->wait().computed;
  std::printf("cancel: %.3f s, the longest step so far %.3f s\n", seconds_between(start, end), step);
  for (GenerationId id : ids) service.cancel(id);
  for (const auto& w : watches) w->wait();
}

int run(int argc, char** argv) {
  const auto argument = [&](int i, const char* otherwise) { return argc > i ? argv[i] : otherwise; };
  const std::string shape = argument(1, "tinyllama-1.1b");
  const int32_t streams = std::atoi(argument(2, "8")), tokens = std::atoi(argument(3, "32"));
  ServiceOptions options;
  options.threads = std::atoi(argument(4, "2"));
  options.context = 2048;
  options.parallel = streams;
  const auto open = [&](const std::string&, const ServiceOptions& o,
                        const LoadTold&) -> Result<std::unique_ptr<ModelHost>> {
    LAMINA_ASSIGN(auto model, make_synthetic(shape, DType::kI8, 0, o.threads));
    return std::unique_ptr<ModelHost>(std::make_unique<SyntheticHost>(std::move(model), o));
  };
  auto service = create_service(options, open);
  const Result<void> loaded = service ? (*service)->load("", shape, {}) : Result<void>(service.error());
  if (!loaded) {
    std::fprintf(stderr, "bench_service: %s\n", loaded.error().message.c_str());
    return 1;
  }
  Service& s = **service;
  rate(s, 1, 4);
  for (int round = 0; round < 3; ++round) {
    const double one = rate(s, 1, tokens), all = rate(s, streams, tokens);
    std::printf("1 stream %.2f tokens/s, %d streams %.2f: %.2fx\n", one, streams, all, all / one);
    std::fflush(stdout);
  }
  prefixes(s);
  long_prompt_beside(s);
  cancelling(s, streams, 1000);
  return 0;
}

}  // namespace
}  // namespace lamina::daemon

int main(int argc, char** argv) { return lamina::daemon::run(argc, argv); }
