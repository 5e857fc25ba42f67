// SPDX-License-Identifier: Apache-2.0
#include "native/cli/host.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>

#include "native/platform/signals.h"

namespace lamina::cli {
namespace {

constexpr int32_t kMaxRows = 512;

int32_t context_of(Console& console, const EngineFlags& flags, const ModelConfig& config) {
  if (flags.context == 0) return config.max_positions;
  if (flags.context < 0) return std::min(config.max_positions, kUsualContext);
  if (flags.context > config.max_positions) {
    console.warn(
        format("a context of %d is more than the %d that the model was made for: what it "
               "says beyond them may make no sense",
               flags.context, config.max_positions));
  }
  return flags.context;
}

Result<std::unique_ptr<Engine>> prepare(const Host& host, std::unique_ptr<Backend> backend) {
  return Engine::create(std::move(backend), host.config(), host.model->weights, host.options);
}

MemoryPlan plan_of(const ChosenBackend& prepared) {
  return prepared.vulkan ? prepared.vulkan->plan() : MemoryPlan();
}

// The device is opened and tested on a thread of its own, while the model is read.
class Opening {
 public:
  Opening(Console& console, const EngineFlags& flags)
      : done_(std::async(std::launch::async, [&, this] { result_ = choose_backend(console, flags); })) {}
  Result<ChosenBackend>& wait() {
    done_.wait();
    return *result_;
  }

 private:
  std::optional<Result<ChosenBackend>> result_;
  std::future<void> done_;
};

Result<void> open_engine(Console& console, const ModelFlags& model, const EngineFlags& flags,
                         ChosenBackend chosen, Host& host) {
  const std::string first = chosen.kind;
  const auto prepare_on = [&](std::unique_ptr<Backend> backend) -> Result<std::unique_ptr<Engine>> {
    if (chosen.kind != first) {  // weights were left mapped for the first choice to copy
      LAMINA_ASSIGN(host.model, load_weights(console, host.choice.directory, model, flags));
    }
    return prepare(host, std::move(backend));
  };
  LAMINA_ASSIGN(host.engine, prepare_chosen(console, flags, chosen, prepare_on));
  host.plan = plan_of(chosen);
  host.kind = chosen.kind;
  host.why = chosen.why;
  return {};
}

Result<void> open_model(Console& console, const ModelFlags& model, const EngineFlags& engine,
                        Opening& opening, Host& host) {
  LAMINA_ASSIGN(host.choice, choose_model(model));
  const auto copied = [&] { return opening.wait() && opening.wait()->kind == "vulkan"; };
  LAMINA_ASSIGN(host.model, load_weights(console, host.choice.directory, model, engine, copied));
  Result<Tokenizer> tokenizer = Tokenizer::from_json(host.model->tokenizer_json, "tokenizer.json");
  if (!tokenizer) return as_model_error(tokenizer.error());
  host.tokenizer = std::make_unique<Tokenizer>(std::move(*tokenizer));
  return {};
}

}  // namespace

Result<std::unique_ptr<LoadedModel>> load_weights(Console& console, const std::string& directory,
                                                  const ModelFlags& model,
                                                  const EngineFlags& engine,
                                                  const std::function<bool()>& copied_elsewhere) {
  LoadOptions options;
  options.copied_elsewhere = copied_elsewhere;
  options.mode = load_mode_of(engine.load);
  LAMINA_ASSIGN(options.trust, trust_policy(model));
  options.threads = engine.threads;
  options.cancel = &interrupted();
  options.log = [&console](LogLevel level, std::string_view line) {
    if (level >= LogLevel::kWarning)
      console.warn(line);
    else
      console.detail(line);
  };
  Result<std::unique_ptr<LoadedModel>> loaded = load_model(directory, options);
  if (!loaded) return as_folder_error(loaded.error());
  return loaded;
}

EngineOptions engine_options(Console& console, const EngineFlags& flags, const ModelConfig& config,
                             int32_t logit_rows) {
  EngineOptions options;
  options.context = context_of(console, flags, config);
  options.max_rows = kMaxRows;
  const int32_t affordable = (16 << 20) / std::max(config.vocab_size, 1);
  options.max_logit_rows = std::max(1, std::min({logit_rows, affordable, kMaxRows}));
  options.kv_dtype = kv_dtype_of(flags.kv);
  options.tokens_per_submit = flags.tokens_per_submit;
  return options;
}

Result<std::unique_ptr<Host>> open_host(Console& console, const ModelFlags& model,
                                        const EngineFlags& engine, int32_t logit_rows) {
  const auto start = std::chrono::steady_clock::now();
  auto host = std::make_unique<Host>();
  Opening opening(console, engine);
  const Result<void> opened = open_model(console, model, engine, opening, *host);
  LAMINA_ASSIGN(ChosenBackend chosen, std::move(opening.wait()));
  LAMINA_TRY(opened);
  host->make_backend = [&console, engine](const std::string& kind) {
    return make_backend(console, kind, engine);
  };

  host->options = engine_options(console, engine, host->config(), logit_rows);
  LAMINA_TRY(open_engine(console, model, engine, std::move(chosen), *host));
  host->load_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return host;
}

std::unique_ptr<Survivor> make_survivor(Console& console, Host& host,
                                        const SurvivorOptions& options) {
  const auto make = [&host](Survivor::Next next) -> Result<std::unique_ptr<Engine>> {
    const bool fallback = next == Survivor::Next::kFallback;
    if (fallback && host.kind == "cpu") {
      return make_error(Code::kDevice, "there is no other backend to go on with");
    }
    LAMINA_ASSIGN(ChosenBackend chosen, host.make_backend(fallback ? "cpu" : host.kind));
    LAMINA_ASSIGN(std::unique_ptr<Engine> engine, prepare(host, std::move(chosen.backend)));
    host.why = fallback ? "in place of " + host.kind + ", which failed"
                        : std::string("made again after it failed");
    host.kind = chosen.kind;
    host.plan = plan_of(chosen);
    return engine;
  };
  const auto tell = [&console](std::string_view line) {
    // Most often in the middle of an answer's line.
    if (console.stdout_is_terminal() && console.stderr_is_terminal()) console.note("");
    console.warn(safe_text(line));
  };
  return std::make_unique<Survivor>(std::move(host.engine), options, make, tell);
}

Result<void> switch_backend(Host& host, Survivor& survivor, const std::string& kind,
                            const std::string& why) {
  LAMINA_ASSIGN(ChosenBackend chosen, host.make_backend(kind));
  LAMINA_ASSIGN(std::unique_ptr<Engine> engine, prepare(host, std::move(chosen.backend)));
  LAMINA_TRY(survivor.switch_to(std::move(engine)));
  host.kind = kind;
  host.plan = plan_of(chosen);
  host.why = chosen.why.empty() ? why : why + "; " + chosen.why;
  return {};
}

}  // namespace lamina::cli
