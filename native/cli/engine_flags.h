// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "core/engine/engine.h"
#include "native/platform/model_loader.h"

namespace lamina::cli {

struct EngineFlags {
  std::string backend = "auto";
  int32_t device = 0;
  int32_t threads = 0;   // 0: the backend's own choice
  int32_t context = -1;  // -1: kUsualContext or the model's limit if that is less; 0: its limit
  std::string kv = "f16";
  std::string load = "auto";
  int32_t tokens_per_submit = EngineOptions().tokens_per_submit;
  uint64_t memory_budget = 0;  // bytes of a GPU's memory; 0: what is free
};

constexpr int32_t kUsualContext = 4096;

// --backend --device --memory-budget -t -c --kv --load; without -c where `context` is false.
void add_engine_flags(CLI::App& verb, EngineFlags& flags, bool context = true);

// --tokens-per-submit, of the verbs that decode.
void add_submit_flag(CLI::App& verb, EngineFlags& flags);

KvDType kv_dtype_of(const std::string& name);    // of --kv's choices
LoadMode load_mode_of(const std::string& name);  // of --load's choices

}  // namespace lamina::cli
