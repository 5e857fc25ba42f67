// SPDX-License-Identifier: Apache-2.0
#include "native/cli/host.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "backends/reference/reference_backend.h"
#include "native/cli/flags.h"
#include "native/platform/parallel.h"
#include "native/platform/signals.h"

namespace lamina::cli {
namespace {

constexpr int32_t kMaxContext = 1 << 24;
constexpr int32_t kMaxRows = 512;

// The fastest kernels that compute rightly here.
Result<std::string> working_isa(Console& console) {
  std::string last;
  for (const std::string& isa : cpu_isas_available()) {
    const Result<void> tested = cpu_self_test(isa);
    if (tested) return isa;
    console.warn("the " + isa + " kernels are not used: " + tested.error().message);
    last = tested.error().message;
  }
  return make_error(Code::kDevice, "no kernels compute rightly on this machine: %s", last.c_str());
}

Result<ChosenBackend> choose_cpu(Console& console, const EngineFlags& flags, std::string why) {
  CpuOptions options;
  options.threads = flags.threads;
  options.force_isa = forced_isa();
  const bool forced = !options.force_isa.empty();
  if (forced) {
    why += "; LAMINA_FORCE_ISA asks for " + safe_text(options.force_isa);
  } else {
    LAMINA_ASSIGN(options.force_isa, working_isa(console));
  }
  const int processors = usable_processors();
  if (options.threads > processors) {
    console.warn(format("-t %d: there are only %d processors for it, more threads make it slower",
                        options.threads, processors));
  }
  Result<std::unique_ptr<CpuBackend>> made = make_cpu_backend(options);
  if (!made) {
    Error error = made.error();
    if (forced) error.message = "LAMINA_FORCE_ISA: " + error.message;
    return error;
  }
  CpuBackend* const cpu = made->get();
  return ChosenBackend{std::move(*made), cpu, std::move(why)};
}

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

}  // namespace

void add_engine_flags(CLI::App& verb, EngineFlags& flags, bool context) {
  verb.option_defaults()->group("Engine");
  choice_flag(verb, "--backend", flags.backend, {"auto", "cpu", "reference", "vulkan"},
              "What computes; vulkan is not in this version, reference is slow and plain");
  int_flag(verb, "--device", flags.device, 0, 1024, "Device of the backend");
  int_flag(verb, "-t,--threads", flags.threads, 0, 256, "Threads; 0: the backend chooses");
  if (context) {
    int_flag(verb, "-c,--ctx-size", flags.context, 0, kMaxContext,
             "Tokens of context; 0: the model's limit")
        ->default_str("4096, or the model's limit if less");
  }
  choice_flag(verb, "--kv", flags.kv, {"f32", "f16", "i8"}, "Precision of the key/value cache");
  choice_flag(verb, "--load", flags.load, {"auto", "mmap", "huge"},
              "Map the shards, or read them into huge pages: slower to start, faster to run");
}

KvDType kv_dtype_of(const std::string& name) {
  if (name == "f32") return KvDType::kF32;
  return name == "i8" ? KvDType::kI8 : KvDType::kF16;
}

LoadMode load_mode_of(const std::string& name) {
  if (name == "mmap") return LoadMode::kMap;
  return name == "huge" ? LoadMode::kHuge : LoadMode::kAuto;
}

std::string forced_isa() {
  const char* isa = std::getenv("LAMINA_FORCE_ISA");
  return isa == nullptr ? "" : isa;
}

Result<ChosenBackend> choose_backend(Console& console, const EngineFlags& flags) {
  if (flags.backend == "vulkan") {
    return make_error(Code::kUnsupported, "--backend vulkan is not in this version; use cpu");
  }
  if (flags.device != 0) {
    return make_error(Code::kInvalidArgument, "--device %d: there is only device 0, the processor",
                      flags.device);
  }
  if (flags.backend == "reference") {
    return ChosenBackend{make_reference_backend(), nullptr, "asked for by --backend"};
  }
  return choose_cpu(console, flags,
                    flags.backend == "cpu" ? "asked for by --backend"
                                           : "chosen because Vulkan is not in this version");
}

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
  host->why = std::move(chosen.why);
  LAMINA_ASSIGN(host->choice, choose_model(model));
  LAMINA_ASSIGN(host->model, load_weights(console, host->choice.directory, model, engine));
  Result<Tokenizer> tokenizer = Tokenizer::from_json(host->model->tokenizer_json, "tokenizer.json");
  if (!tokenizer) return as_model_error(tokenizer.error());
  host->tokenizer = std::make_unique<Tokenizer>(std::move(*tokenizer));

  EngineOptions options;
  options.context = context_of(console, engine, host->config());
  options.max_rows = kMaxRows;
  const int32_t affordable = (16 << 20) / std::max(host->config().vocab_size, 1);
  options.max_logit_rows = std::max(1, std::min({logit_rows, affordable, kMaxRows}));
  options.kv_dtype = kv_dtype_of(engine.kv);
  Result<std::unique_ptr<Engine>> made =
      Engine::create(std::move(chosen.backend), host->config(), host->model->weights, options);
  if (!made) {
    Error error = made.error();
    if (error.code == Code::kOutOfMemory) error.message += "; a smaller -c or --kv i8 needs less";
    return error;
  }
  host->engine = std::move(*made);
  host->load_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return host;
}

}  // namespace lamina::cli
