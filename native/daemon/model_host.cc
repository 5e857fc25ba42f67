// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/model_host.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "native/cli/backend_choice.h"
#include "native/cli/conversation.h"
#include "native/cli/model_choice.h"
#include "native/cli/text_ids.h"
#include "native/cli/vulkan_choice.h"
#include "native/daemon/prompt_bound.h"
#include "native/platform/model_loader.h"

namespace lamina::daemon {
namespace {

constexpr int32_t kUsualContext = 8192;
constexpr int32_t kMaxRows = 512;

cli::EngineFlags flags_of(const ServiceOptions& options) {
  cli::EngineFlags flags;
  flags.backend = options.backend;
  flags.device = options.device;
  flags.threads = options.threads;
  flags.load = options.load;
  flags.memory_budget = options.memory_budget;
  return flags;
}

class FolderHost final : public ModelHost {
 public:
  explicit FolderHost(const ServiceOptions& options) : options_(options), flags_(flags_of(options)) {}

  Result<void> open(const std::string& directory, const LoadTold& told) {
    cli::ModelFlags model;
    model.model = directory;
    model.require_signature = options_.require_signature;
    model.trust = options_.trusted_keys;
    LAMINA_ASSIGN(const cli::ModelChoice choice, cli::choose_model(model));
    cli::Console console = quiet_console();
    Result<cli::ChosenBackend> chosen = cli::choose_backend(console, flags_);
    if (!chosen) return std::move(chosen).error();
    LAMINA_TRY(load(choice.directory, model, chosen->kind == "vulkan", told));
    LAMINA_ASSIGN(Tokenizer tokenizer, Tokenizer::from_json(model_->tokenizer_json, "tokenizer.json"));
    tokenizer_ = std::make_unique<Tokenizer>(std::move(tokenizer));
    bound_.emplace(*tokenizer_, engine_options(options_, config()).context);
    LAMINA_ASSIGN(conversation_, cli::Conversation::create(model_->manifest, *tokenizer_));
    backends_ = {"cpu"};
    const auto gpus = cli::list_vulkan();
    const bool any_gpu = gpus && !gpus->empty();
    if (any_gpu) backends_.push_back("vulkan");
    // Why there is none takes long to tell.
    if (!any_gpu && flags_.backend == "auto") {
      chosen->why = "Vulkan finds no GPU here: see `lamina doctor`";
    }
    if (std::ranges::find(backends_, chosen->kind) == backends_.end()) {
      backends_.push_back(chosen->kind);
    }
    first_ = std::move(*chosen);
    if (options_.context > config().max_positions && options_.log) {
      options_.log(LogLevel::kWarning,
                   "the context of " + std::to_string(options_.context) +
                       " is beyond what the model in " + directory +
                       " was made for: " + std::to_string(config().max_positions));
    }
    return {};
  }

  const ModelConfig& config() const override { return model_->manifest.config; }
  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  std::vector<std::string> backends() const override { return backends_; }

  Result<std::vector<int32_t>> prompt_ids(const GenerateRequest& request) const override {
    if (request.messages.empty()) {
      const std::string_view texts[] = {request.prompt};
      LAMINA_TRY(bound_->check(texts));
      return cli::text_ids(*tokenizer_, request.prompt, false);
    }
    if (!conversation_.has_template()) {
      return make_error(Code::kUnsupported,
                        "the model has no chat template: send a prompt instead of messages");
    }
    LAMINA_ASSIGN(const ChatPrompt prompt, conversation_.prompt(request.messages));
    std::vector<std::string_view> texts;
    for (const ChatSegment& segment : prompt.segments) texts.push_back(segment.text);
    texts.push_back(request.begun);
    LAMINA_TRY(bound_->check(texts));
    LAMINA_ASSIGN(std::vector<int32_t> ids, cli::chat_ids(*tokenizer_, prompt));
    if (request.begun.empty()) return ids;
    LAMINA_ASSIGN(const std::vector<int32_t> begun,
                  tokenizer_->encode(request.begun, {.add_special = false}));
    ids.insert(ids.end(), begun.begin(), begun.end());
    return ids;
  }

  Result<MadeEngine> make_engine(const std::string& kind) override {
    cli::Console console = quiet_console();
    cli::EngineFlags flags = flags_;
    flags.backend = kind;
    std::optional<cli::ChosenBackend> first = take_first(kind);
    Result<cli::ChosenBackend> chosen_now =
        first ? std::move(*first) : cli::choose_backend(console, flags);
    if (!chosen_now) return std::move(chosen_now).error();
    cli::ChosenBackend& chosen = *chosen_now;
    const auto prepare = [&](std::unique_ptr<Backend> backend) {
      return Engine::create(std::move(backend), config(), model_->weights,
                            engine_options(options_, config()));
    };
    MadeEngine made;
    LAMINA_ASSIGN(made.engine, cli::prepare_chosen(console, flags, chosen, prepare));
    made.kind = chosen.kind;
    made.why = kind == "auto" || kind == options_.backend ? chosen.why : "asked for";
    return made;
  }

 private:
  // What open() has chosen and tested, once.
  std::optional<cli::ChosenBackend> take_first(const std::string& kind) {
    const std::lock_guard lock(first_mutex_);
    if (kind != options_.backend) return std::nullopt;
    return std::exchange(first_, std::nullopt);
  }

  cli::Console quiet_console() const {
    cli::Console console;
    console.set_verbosity(-1);
    console.set_log(options_.log ? options_.log : [](LogLevel, std::string_view) {});
    return console;
  }

  Result<void> load(const std::string& directory, const cli::ModelFlags& model, bool copied,
                    const LoadTold& told) {
    LoadOptions options;
    LAMINA_ASSIGN(options.trust, cli::trust_policy(model));
    options.mode = cli::load_mode_of(flags_.load);
    options.threads = flags_.threads;
    options.log = options_.log;
    options.copied_elsewhere = [copied] { return copied; };
    if (told) {
      told({"checking", 0, 0});
      options.progress = [&](uint64_t done, uint64_t total) { told({"loading", done, total}); };
    }
    Result<std::unique_ptr<LoadedModel>> loaded = load_model(directory, options);
    if (!loaded) return cli::as_folder_error(loaded.error());
    model_ = std::move(*loaded);
    if (told) told({"preparing", 0, 0});
    return {};
  }

  const ServiceOptions options_;
  const cli::EngineFlags flags_;
  std::unique_ptr<LoadedModel> model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<PromptBound> bound_;
  cli::Conversation conversation_;
  std::vector<std::string> backends_;
  std::mutex first_mutex_;
  std::optional<cli::ChosenBackend> first_;
};

}  // namespace

EngineOptions engine_options(const ServiceOptions& options, const ModelConfig& config) {
  EngineOptions engine;
  engine.context = options.context > 0 ? options.context
                                       : std::min(config.max_positions, kUsualContext);
  engine.n_sequences = options.parallel;
  engine.max_rows = std::max(kMaxRows, options.parallel);
  engine.max_logit_rows = options.parallel;
  engine.kv_dtype = options.kv_dtype;
  engine.cache_positions = options.cache_positions;
  return engine;
}

Result<std::unique_ptr<ModelHost>> open_model_host(const std::string& directory,
                                                   const ServiceOptions& options,
                                                   const LoadTold& told) {
  auto host = std::make_unique<FolderHost>(options);
  LAMINA_TRY(host->open(directory, told));
  return std::unique_ptr<ModelHost>(std::move(host));
}

}  // namespace lamina::daemon
