// SPDX-License-Identifier: Apache-2.0
// Engines: one that computes here, and one that says what others are to compute.
#include <new>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/thread_pool.h"
#include "web/abi/abi.h"

namespace lamina::abi {

namespace {

class RemoteBackend final : public Backend {
 public:
  BackendInfo info() const override { return {"remote", "elsewhere", true}; }
  Result<void> prepare(const Graph&, const WeightMap&, const KvShape&, const RopeFrequencies&,
                       int32_t, int32_t) override {
    return {};
  }
  Result<void> submit(const Batch&) override { return elsewhere(); }
  Result<StepOutput> read() override { return elsewhere(); }
  Result<void> export_kv(std::span<const int32_t>, int32_t, std::span<uint16_t>) override {
    return elsewhere();
  }
  // Whoever computes fills the pages.
  Result<void> import_kv(std::span<const int32_t>, int32_t, std::span<const uint16_t>) override {
    return {};
  }
  MemoryUse memory() const override { return {}; }

 private:
  static Error elsewhere() {
    return make_error(Code::kUnsupported, "a remote engine computes nothing itself");
  }
};

// Shapes without values.
Result<WeightMap> shapes(const Manifest& manifest) {
  WeightMap weights;
  for (const TensorEntry& t : manifest.tensors) {
    weights.insert_or_assign(t.name, WeightView{t.shape, nullptr, nullptr});
  }
  return weights;
}

Result<Engine*> create(Model* model, std::string_view text, bool remote) {
  LAMINA_ASSIGN(const auto document, parse_options(text, "options"));
  LAMINA_ASSIGN(const EngineOptions options,
                engine_options(document->root(), model->manifest.config));
  auto engine = std::make_unique<Engine>();
  engine->model = model;
  engine->remote = remote;
  LAMINA_ASSIGN(engine->weights, remote ? shapes(model->manifest) : model->shards.weights());
  std::unique_ptr<Backend> backend = make_remote_backend();
  if (!remote) {
    const auto threads = document->root().get_int_or("threads", 0, 0, cpu::kMaxThreads);
    if (!threads) return Error{Code::kInvalidArgument, threads.error().message};
    LAMINA_ASSIGN(auto cpu, make_cpu_backend({static_cast<int>(*threads), {}}));
    engine->cpu = cpu.get();
    backend = std::move(cpu);
  }
  LAMINA_ASSIGN(engine->engine, lamina::Engine::create(std::move(backend), model->manifest.config,
                                                       engine->weights, options));
  return engine.release();
}

std::string describe(const Engine& e) {
  const BackendInfo info = e.engine->backend().info();
  const MemoryUse memory = e.engine->backend().memory();
  const EngineOptions& o = e.engine->options();
  JsonWriter json;
  json.begin_object().member("backend", info.name).member("device", info.device);
  json.member("context", o.context).member("maxRows", o.max_rows);
  json.member("maxLogitRows", o.max_logit_rows).member("pages", e.engine->pool().n_pages());
  json.member("kvDtype", kv_dtype_name(o.kv_dtype)).member("weightBytes", memory.weight_bytes);
  json.member("kvBytes", memory.kv_bytes).member("activationBytes", memory.activation_bytes);
  return json.end_object().take();
}

Result<void> forward(Engine& e, std::span<const int32_t> ids) {
  LAMINA_TRY(has_weights(e));
  std::vector<float>& out = results().floats;
  out.clear();
  for (int32_t id : ids) {
    if (id < 0 || id >= e.model->manifest.config.vocab_size) {
      return make_error(Code::kInvalidArgument, "token id %d is outside the vocabulary", id);
    }
  }
  return e.engine->forward(ids, [&](int32_t, std::span<const float> logits) {
    out.insert(out.end(), logits.begin(), logits.end());
  });
}

int32_t index_of(const lamina::Session& session, std::span<Session* const> sessions) {
  for (size_t i = 0; i < sessions.size(); ++i) {
    if (&sessions[i]->session == &session) return static_cast<int32_t>(i);
  }
  return -1;
}

}  // namespace

Result<void> has_weights(const Engine& e) {
  const ShardStore& shards = e.model->shards;
  if (e.remote || shards.complete()) return {};
  return make_error(Code::kInvalidArgument, "%s: %zu of %zu shards are missing",
                    e.model->manifest.name.c_str(), shards.missing(),
                    e.model->manifest.shards.size());
}

std::unique_ptr<Backend> make_remote_backend() { return std::make_unique<RemoteBackend>(); }

}  // namespace lamina::abi

using namespace lamina::abi;

LaminaEngine* lamina_engine_cpu(LaminaModel* model, const char* options, uint32_t bytes) {
  const auto engine = create(model, view(options, bytes), false);
  return engine ? *engine : fail(engine.error(), static_cast<Engine*>(nullptr));
}

LaminaEngine* lamina_engine_remote(LaminaModel* model, const char* options, uint32_t bytes) {
  const auto engine = create(model, view(options, bytes), true);
  return engine ? *engine : fail(engine.error(), static_cast<Engine*>(nullptr));
}

void lamina_engine_close(LaminaEngine* engine) { delete engine; }

int32_t lamina_engine_describe(LaminaEngine* engine) { return give_text(describe(*engine)); }

int32_t lamina_engine_forward(LaminaEngine* engine, const int32_t* ids, uint32_t n) {
  const auto done = forward(*engine, {ids, n});
  return done ? 1 : fail(done.error(), 0);
}

int32_t lamina_engine_step(LaminaEngine* engine, LaminaSession* const* sessions, uint32_t n,
                           int32_t prompt_rows) {
  clear_events();
  const auto whole = has_weights(*engine);
  if (!whole) return fail(whole.error(), -1);
  const std::span<Session* const> all(sessions, n);
  std::vector<lamina::Session*> inner;
  for (Session* s : all) {
    abandon(*s);
    inner.push_back(&s->session);
  }
  const auto worked = engine->engine->step(
      inner,
      [&](lamina::Session& s, const lamina::TokenEvent& e) {
        const int32_t index = index_of(s, all);
        add_event(index, *all[static_cast<size_t>(index)], e);
      },
      prompt_rows);
  return worked ? *worked : fail(worked.error(), -1);
}
