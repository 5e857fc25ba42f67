// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace lamina::daemon {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using Buckets = prometheus::Histogram::BucketBoundaries;

const Buckets& wait_buckets() {
  static const Buckets kBuckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                0.25,  0.5,    1,     2.5,  5,     10,   30};
  return kBuckets;
}

const Buckets& delivery_buckets() {
  static const Buckets kBuckets{0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003,
                                0.004,   0.005,  0.01,   0.025,  0.1,   1};
  return kBuckets;
}

}  // namespace

struct Metrics::Families {
  prometheus::Registry registry;
  using Counters = prometheus::Family<prometheus::Counter>;
  using Gauges = prometheus::Family<prometheus::Gauge>;

  Counters& counters(const char* name, const char* help) {
    return BuildCounter().Name(name).Help(help).Register(registry);
  }
  Gauges& gauges(const char* name, const char* help) {
    return BuildGauge().Name(name).Help(help).Register(registry);
  }
  prometheus::Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
  }

  Counters& generations = counters("lamina_generations_total", "Generations that ended, by reason");
  Counters& tokens = counters("lamina_tokens_total", "Tokens so far, by kind");
  prometheus::Counter& prompt = tokens.Add({{"kind", "prompt"}});
  prometheus::Counter& cached = tokens.Add({{"kind", "cached"}});  // of the prompts
  prometheus::Counter& completion = tokens.Add({{"kind", "completion"}});
  Counters& refused =
      counters("lamina_refused_messages_total", "WebSocket messages refused, by code");
  Counters& answers =
      counters("lamina_http_answers_total", "Answers of the API, by path and status");
  prometheus::Counter& pauses =
      counters("lamina_pauses_total", "Times that generations waited for a slow reader").Add({});
  prometheus::Histogram& queued =
      histogram("lamina_queue_seconds", "From submission to the start", wait_buckets());
  prometheus::Histogram& first =
      histogram("lamina_first_token_seconds", "From the start to the first token", wait_buckets());
  prometheus::Histogram& delivery =
      histogram("lamina_token_delivery_seconds",
                "From a token's computation to its frame given to the socket", delivery_buckets());
  Gauges& info = gauges("lamina_info", "Always 1");
  prometheus::Gauge& connections =
      gauges("lamina_websockets", "Open WebSocket connections").Add({});
  prometheus::Gauge& sessions = gauges("lamina_sessions", "Sessions, connected or awaited").Add({});
  prometheus::Gauge& resident = gauges("lamina_resident_bytes", "Resident memory").Add({});
};

Metrics::Metrics(const std::string& version) : families_(std::make_unique<Families>()) {
  families_->info.Add({{"version", version}}).Set(1);
}

Metrics::~Metrics() = default;

void Metrics::started(double queued_seconds) {
  families_->queued.Observe(queued_seconds);
}

void Metrics::first_token(double seconds) {
  families_->first.Observe(seconds);
}

void Metrics::computed(const Usage& more) {
  families_->prompt.Increment(more.prompt_tokens);
  families_->cached.Increment(more.cached_tokens);
  families_->completion.Increment(more.completion_tokens);
}

void Metrics::finished(std::string_view reason) {
  families_->generations.Add({{"end", std::string(reason)}}).Increment();
}

void Metrics::failed(std::string_view code) {
  families_->generations.Add({{"end", "error_" + std::string(code)}}).Increment();
}

void Metrics::delivered(std::chrono::duration<double> seconds) {
  families_->delivery.Observe(seconds.count());
}

void Metrics::paused() {
  families_->pauses.Increment();
}

void Metrics::refused_message(std::string_view code) {
  families_->refused.Add({{"code", std::string(code)}}).Increment();
}

void Metrics::answered(std::string_view path, int status) {
  families_->answers.Add({{"path", std::string(path)}, {"status", std::to_string(status)}})
      .Increment();
}

std::string Metrics::text(const Gauges& gauges) {
  Families& f = *families_;
  f.connections.Set(static_cast<double>(gauges.connections));
  f.sessions.Set(static_cast<double>(gauges.sessions));
  f.resident.Set(static_cast<double>(gauges.resident_bytes));
  // What is counted elsewhere, and models, which come and go, are of a registry for this answer.
  prometheus::Registry of_now;
  const auto family = [&](const char* name, const char* help) -> Families::Gauges& {
    return BuildGauge().Name(name).Help(help).Register(of_now);
  };
  auto& refused =
      BuildCounter()
          .Name("lamina_network_refused_total")
          .Help("Requests and connections that the network front turned away, by reason")
          .Register(of_now);
  for (const auto& [reason, count] : gauges.refused) {
    refused.Add({{"reason", reason}}).Increment(static_cast<double>(count));
  }
  auto& running = family("lamina_running", "Generations that run");
  auto& queued = family("lamina_queued", "Generations that wait");
  auto& speed = family("lamina_tokens_per_second", "Of the last second");
  auto& memory = family("lamina_memory_bytes", "Memory of a model, by kind");
  auto& pages = family("lamina_kv_pages", "Pages of keys and values, by state");
  for (const ModelStatus& m : gauges.models) {
    const auto set = [&](Families::Gauges& of, const char* label, const char* kind, double value) {
      prometheus::Labels labels{{"model", m.name}};
      if (*label) labels.emplace(label, kind);
      of.Add(labels).Set(value);
    };
    set(running, "", "", m.running);
    set(queued, "", "", m.queued);
    set(speed, "", "", m.tokens_per_second);
    set(memory, "kind", "weights", static_cast<double>(m.weight_bytes));
    set(memory, "kind", "kv", static_cast<double>(m.kv_bytes));
    set(memory, "kind", "activations", static_cast<double>(m.activation_bytes));
    set(pages, "state", "used", m.kv_pages_used);
    set(pages, "state", "cached", m.kv_pages_cached);
    set(pages, "state", "all", m.kv_pages);
  }
  const prometheus::TextSerializer serializer;
  return serializer.Serialize(f.registry.Collect()) + serializer.Serialize(of_now.Collect());
}

}  // namespace lamina::daemon
