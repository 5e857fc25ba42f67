// SPDX-License-Identifier: Apache-2.0
#include "native/cli/host.h"

#include <algorithm>
#include <chrono>

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

// What --backend asks for, prepared. With "auto" the CPU also takes over where this model does not
// fit the first choice.
Result<void> open_engine(Console& console, const EngineFlags& flags, ChosenBackend chosen,
                         Host& host) {
  host.kind = chosen.kind;
  host.why = chosen.why;
  Result<std::unique_ptr<Engine>> made = prepare(host, std::move(chosen.backend));
  if (!made && flags.backend == "auto" && chosen.kind != "cpu") {
    host.why = "chosen because " + chosen.kind + " can't run this model: " + made.error().message;
    LAMINA_ASSIGN(ChosenBackend cpu, make_backend(console, "cpu", flags));
    host.kind = cpu.kind;
    made = prepare(host, std::move(cpu.backend));
  }
  if (!made) {
    Error error = made.error();
    if (error.code == Code::kOutOfMemory) error.message += "; a smaller -c or --kv i8 needs less";
    return error;
  }
  host.engine = std::move(*made);
  return {};
}

}  // namespace

Result<std::unique_ptr<LoadedModel>> load_weights(Console& console, const std::string& directory,
                                                  const ModelFlags& model,
                                                  const EngineFlags& engine) {
  LoadOptions options;
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

Result<std::unique_ptr<Host>> open_host(Console& console, const ModelFlags& model,
                                        const EngineFlags& engine, int32_t logit_rows) {
  const auto start = std::chrono::steady_clock::now();
  auto host = std::make_unique<Host>();
  LAMINA_ASSIGN(ChosenBackend chosen, choose_backend(console, engine));
  host->make_backend = [&console, engine](const std::string& kind) {
    return make_backend(console, kind, engine);
  };
  LAMINA_ASSIGN(host->choice, choose_model(model));
  LAMINA_ASSIGN(host->model, load_weights(console, host->choice.directory, model, engine));
  Result<Tokenizer> tokenizer = Tokenizer::from_json(host->model->tokenizer_json, "tokenizer.json");
  if (!tokenizer) return as_model_error(tokenizer.error());
  host->tokenizer = std::make_unique<Tokenizer>(std::move(*tokenizer));

  host->options.context = context_of(console, engine, host->config());
  host->options.max_rows = kMaxRows;
  const int32_t affordable = (16 << 20) / std::max(host->config().vocab_size, 1);
  host->options.max_logit_rows = std::max(1, std::min({logit_rows, affordable, kMaxRows}));
  host->options.kv_dtype = kv_dtype_of(engine.kv);
  LAMINA_TRY(open_engine(console, engine, std::move(chosen), *host));
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
  host.why = chosen.why.empty() ? why : why + "; " + chosen.why;
  return {};
}

}  // namespace lamina::cli
