// SPDX-License-Identifier: Apache-2.0
#include "native/cli/engine_flags.h"

#include "native/cli/flags.h"

namespace lamina::cli {
namespace {

constexpr int32_t kMaxContext = 1 << 24;
constexpr int32_t kMostPerSubmit = 1024;  // a backend may take fewer
constexpr uint64_t kMaxBudget = uint64_t{1} << 44;

}  // namespace

void add_engine_flags(CLI::App& verb, EngineFlags& flags, bool context) {
  verb.option_defaults()->group("Engine");
  choice_flag(verb, "--backend", flags.backend, {"auto", "cpu", "reference", "vulkan"},
              "What computes; auto: a GPU through Vulkan, else cpu; reference is slow and plain");
  int_flag(verb, "--device", flags.device, 0, 1024, "Which GPU, as `lamina doctor` counts them");
  size_flag(verb, "--memory-budget", flags.memory_budget, 1 << 20, kMaxBudget,
            "Most of the GPU's memory to use, e.g. 6G: layers beyond it are swapped; else what is free");
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

void add_submit_flag(CLI::App& verb, EngineFlags& flags) {
  verb.option_defaults()->group("Engine");
  int_flag(verb, "--tokens-per-submit", flags.tokens_per_submit, 1, kMostPerSubmit,
           "Tokens that a GPU chooses before it reports; 1: this program chooses each");
}

KvDType kv_dtype_of(const std::string& name) {
  if (name == "f32") return KvDType::kF32;
  return name == "i8" ? KvDType::kI8 : KvDType::kF16;
}

LoadMode load_mode_of(const std::string& name) {
  if (name == "mmap") return LoadMode::kMap;
  return name == "huge" ? LoadMode::kHuge : LoadMode::kAuto;
}

}  // namespace lamina::cli
