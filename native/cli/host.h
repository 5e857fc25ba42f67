// SPDX-License-Identifier: Apache-2.0
// A model made ready to run: folder chosen and checked, weights loaded, backend chosen, engine
// prepared; and what takes the engine's place when it is lost or the user wants another.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/engine/memory_plan.h"
#include "core/engine/survivor.h"
#include "core/model/tokenizer.h"
#include "native/cli/backend_choice.h"
#include "native/cli/console.h"
#include "native/cli/engine_flags.h"
#include "native/cli/model_choice.h"
#include "native/platform/model_loader.h"

namespace lamina::cli {

// Weights alone, by the flags' rules of loading and trust. `copied_elsewhere`: see LoadOptions.
Result<std::unique_ptr<LoadedModel>> load_weights(Console& console, const std::string& directory,
                                                  const ModelFlags& model,
                                                  const EngineFlags& engine,
                                                  const std::function<bool()>& copied_elsewhere = {});

// How the flags want an engine. `logit_rows`: see open_host.
EngineOptions engine_options(Console& console, const EngineFlags& flags, const ModelConfig& config,
                             int32_t logit_rows);

// Members are destroyed in the order they need: the engine before what it points to.
struct Host {
  ModelChoice choice;
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<Tokenizer> tokenizer;
  EngineOptions options;
  std::string kind;  // of the backend in use
  std::string why;   // this one
  MemoryPlan plan;   // of it, as it was made; without layers where it has none
  double load_seconds = 0.0;
  std::function<Result<ChosenBackend>(const std::string& kind)> make_backend;  // for later ones
  std::unique_ptr<Engine> engine;  // null once a survivor has it

  const ModelConfig& config() const { return model->manifest.config; }
};

// `logit_rows`: rows of one step that may want logits; cut down where the vocabulary is so large
// that they would take more than 64 MiB. `console` outlives the host.
Result<std::unique_ptr<Host>> open_host(Console& console, const ModelFlags& model,
                                        const EngineFlags& engine, int32_t logit_rows);

// Takes the host's engine and keeps conversations on it alive: when its device fails, a new one of
// the same kind takes its place, or the CPU, and a warning says so. `console` and `host` outlive
// it.
std::unique_ptr<Survivor> make_survivor(Console& console, Host& host,
                                        const SurvivorOptions& options = {});

// Moves the survivor's conversations to a backend of another kind; on an error nothing changes.
Result<void> switch_backend(Host& host, Survivor& survivor, const std::string& kind,
                            const std::string& why);

}  // namespace lamina::cli
