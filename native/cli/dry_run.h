// SPDX-License-Identifier: Apache-2.0
// What a model would take here, told without loading it.
#pragma once

#include <string>

#include "core/engine/memory_plan.h"
#include "native/cli/console.h"
#include "native/cli/engine_flags.h"
#include "native/cli/model_choice.h"

namespace lamina::cli {

// "20 of 32 stay; 4.10 GB of the others are copied for each step"
std::string layers_text(const MemoryPlan& plan);

// Prints the plan of the backend that the flags choose, as a table or a JSON object. kOutOfMemory
// where none fits.
Result<void> dry_run(Console& console, const ModelFlags& model, const EngineFlags& engine, bool json);

}  // namespace lamina::cli
