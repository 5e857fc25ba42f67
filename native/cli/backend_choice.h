// SPDX-License-Identifier: Apache-2.0
// Which backend computes, and why that one. The one place that knows how each kind is made.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "backends/cpu/cpu_backend.h"
#include "backends/vulkan/vulkan_backend.h"
#include "core/engine/backend.h"
#include "core/engine/engine.h"
#include "native/cli/console.h"
#include "native/cli/engine_flags.h"

namespace lamina::cli {

struct ChosenBackend {
  std::unique_ptr<Backend> backend;
  CpuBackend* cpu = nullptr;        // the same, where it is that one
  VulkanBackend* vulkan = nullptr;  // the same, where it is that one
  std::string kind;                 // as make_backend takes it
  std::string why;                  // "asked for by --backend"
};

// A backend of this kind that has passed its self-test; where it can't be had here, the reason.
// Its `why` holds no more than what the environment asked for. Reads LAMINA_FORCE_ISA
// and LAMINA_VULKAN_VARIANT.
Result<ChosenBackend> make_backend(Console& console, const std::string& kind,
                                   const EngineFlags& flags);

// What --backend asks for; "auto" is Vulkan where it works, on hardware, and else the CPU.
Result<ChosenBackend> choose_backend(Console& console, const EngineFlags& flags);

// Makes an engine of the choice by `prepare`. With "auto" the CPU takes over where the model can't run
// on the first choice: `chosen` then tells of the CPU, and why.
using Prepare = std::function<Result<std::unique_ptr<Engine>>(std::unique_ptr<Backend>)>;
Result<std::unique_ptr<Engine>> prepare_chosen(Console& console, const EngineFlags& flags,
                                               ChosenBackend& chosen, const Prepare& prepare);

std::string forced_isa();  // LAMINA_FORCE_ISA, or empty

}  // namespace lamina::cli
