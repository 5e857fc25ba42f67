// SPDX-License-Identifier: Apache-2.0
// A model made ready to run: folder chosen and checked, weights loaded, backend chosen, engine
// prepared.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "backends/cpu/cpu_backend.h"
#include "core/engine/engine.h"
#include "core/model/tokenizer.h"
#include "native/cli/console.h"
#include "native/cli/model_choice.h"
#include "native/platform/model_loader.h"

namespace lamina::cli {

struct EngineFlags {
  std::string backend = "auto";
  int32_t device = 0;
  int32_t threads = 0;   // 0: the backend's own choice
  int32_t context = -1;  // -1: kUsualContext or the model's limit if that is less; 0: its limit
  std::string kv = "f16";
  std::string load = "auto";
};

constexpr int32_t kUsualContext = 4096;

// --backend --device -t -c --kv --load; without -c where `context` is false.
void add_engine_flags(CLI::App& verb, EngineFlags& flags, bool context = true);

struct ChosenBackend {
  std::unique_ptr<Backend> backend;
  CpuBackend* cpu = nullptr;  // the same, where it is that one
  std::string why;
};
// Kernels that fail their self-test are passed over, with a warning. Reads LAMINA_FORCE_ISA.
Result<ChosenBackend> choose_backend(Console& console, const EngineFlags& flags);

std::string forced_isa();  // LAMINA_FORCE_ISA, or empty

KvDType kv_dtype_of(const std::string& name);    // of --kv's choices
LoadMode load_mode_of(const std::string& name);  // of --load's choices

// Weights alone, by the flags' rules of loading and trust.
Result<std::unique_ptr<LoadedModel>> load_weights(Console& console, const std::string& directory,
                                                  const ModelFlags& model,
                                                  const EngineFlags& engine);

// Members are destroyed in the order they need: the engine before what it points to.
struct Host {
  ModelChoice choice;
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::string why;  // this backend
  double load_seconds = 0.0;
  std::unique_ptr<Engine> engine;

  const ModelConfig& config() const { return model->manifest.config; }
};

// `logit_rows`: rows of one step that may want logits; cut down where the vocabulary is so large
// that they would take more than 64 MiB.
Result<std::unique_ptr<Host>> open_host(Console& console, const ModelFlags& model,
                                        const EngineFlags& engine, int32_t logit_rows);

}  // namespace lamina::cli
