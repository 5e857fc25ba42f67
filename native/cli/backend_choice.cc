// SPDX-License-Identifier: Apache-2.0
#include "native/cli/backend_choice.h"

#include <cstdlib>

#include "backends/reference/reference_backend.h"
#include "native/cli/suggest.h"
#include "native/cli/vulkan_choice.h"
#include "native/platform/parallel.h"

namespace lamina::cli {
namespace {

// The fastest kernels that compute rightly here; those that don't are passed over with a warning.
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

Result<ChosenBackend> make_cpu(Console& console, const EngineFlags& flags) {
  ChosenBackend chosen;
  CpuOptions options;
  options.threads = flags.threads;
  options.force_isa = forced_isa();
  const bool forced = !options.force_isa.empty();
  if (forced) {
    chosen.why = "LAMINA_FORCE_ISA asks for " + safe_text(options.force_isa);
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
  chosen.cpu = made->get();
  chosen.backend = std::move(*made);
  return chosen;
}

Result<ChosenBackend> make_vulkan(Console& console, const EngineFlags& flags) {
  const auto bar = std::make_shared<ProgressBar>(console, "Copying weights to the GPU");
  const auto on_upload = [bar](uint64_t done, uint64_t total) {
    if (done < total)
      bar->set(done, total);
    else
      bar->erase();
  };
  LAMINA_ASSIGN(OpenedVulkan opened, open_vulkan({flags.device, flags.memory_budget, on_upload}));
  ChosenBackend chosen;
  chosen.backend = std::move(opened.backend);
  chosen.vulkan = opened.vulkan;
  const std::string variant = vulkan_variant();
  if (!variant.empty()) chosen.why = "LAMINA_VULKAN_VARIANT asks for " + safe_text(variant);
  return chosen;
}

Result<ChosenBackend> make_automatic_vulkan(Console& console, const EngineFlags& flags) {
  LAMINA_TRY(check_vulkan_hardware(flags.device));
  return make_backend(console, "vulkan", flags);
}

ChosenBackend chosen_because(const std::string& why, ChosenBackend chosen) {
  chosen.why = chosen.why.empty() ? why : why + "; " + chosen.why;
  return chosen;
}

}  // namespace

std::string forced_isa() {
  const char* isa = std::getenv("LAMINA_FORCE_ISA");
  return isa == nullptr ? "" : isa;
}

Result<ChosenBackend> make_backend(Console& console, const std::string& kind,
                                   const EngineFlags& flags) {
  const auto make = [&]() -> Result<ChosenBackend> {
    if (kind == "cpu") return make_cpu(console, flags);
    if (kind == "reference") {
      return ChosenBackend{make_reference_backend(), nullptr, nullptr, {}, {}};
    }
    if (kind == "vulkan") return make_vulkan(console, flags);
    const std::string kinds[] = {"cpu", "reference", "vulkan"};
    return make_error(Code::kInvalidArgument,
                      "there is no backend %s, only cpu, reference, vulkan%s", quote(kind).c_str(),
                      did_you_mean(kind, kinds).c_str());
  };
  LAMINA_ASSIGN(ChosenBackend chosen, make());
  chosen.kind = kind;
  return chosen;
}

Result<ChosenBackend> choose_backend(Console& console, const EngineFlags& flags) {
  const bool automatic = flags.backend == "auto";
  std::string why = "asked for by --backend";
  if (automatic || flags.backend == "vulkan") {
    Result<ChosenBackend> vulkan = automatic ? make_automatic_vulkan(console, flags)
                                             : make_backend(console, "vulkan", flags);
    if (vulkan) {
      return chosen_because(automatic ? "chosen because its self-test passed" : why,
                            std::move(*vulkan));
    }
    Error error = vulkan.error();
    why = error.message;
    error.message = "--backend vulkan: " + error.message + "; use --backend cpu";
    if (!automatic) return error;
  }
  if (flags.device != 0) {
    return make_error(Code::kInvalidArgument,
                      "--device %d: the processor is the only one, device 0%s", flags.device,
                      automatic ? ("; no other is used: " + why).c_str() : "");
  }
  if (flags.memory_budget != 0) console.warn("--memory-budget is for a GPU's memory: none is used");
  LAMINA_ASSIGN(ChosenBackend chosen,
                make_backend(console, automatic ? "cpu" : flags.backend, flags));
  return chosen_because(automatic ? "chosen because " + why : why, std::move(chosen));
}

Result<std::unique_ptr<Engine>> prepare_chosen(Console& console, const EngineFlags& flags,
                                               ChosenBackend& chosen, const Prepare& prepare) {
  Result<std::unique_ptr<Engine>> made = prepare(std::move(chosen.backend));
  if (!made && flags.backend == "auto" && chosen.kind != "cpu") {
    const std::string why = "chosen because " + chosen.kind + " can't run this model: " + made.error().message;
    LAMINA_ASSIGN(chosen, make_backend(console, "cpu", flags));
    chosen.why = chosen.why.empty() ? why : why + "; " + chosen.why;
    made = prepare(std::move(chosen.backend));
  }
  if (made) return made;
  Error error = made.error();
  if (error.code == Code::kOutOfMemory && chosen.kind != "vulkan") {
    error.message += "; a smaller -c or --kv i8 needs less";
  }
  return error;
}

}  // namespace lamina::cli
