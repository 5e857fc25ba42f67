// SPDX-License-Identifier: Apache-2.0
// What Lamina finds on this machine, and what to do about what is wrong.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/cpu_features.h"
#include "core/base/json.h"
#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/cli/host.h"
#include "native/cli/vulkan_choice.h"
#include "native/platform/files.h"
#include "native/platform/memory_facts.h"
#include "native/platform/parallel.h"
#include "native/platform/paths.h"

namespace lamina::cli {
namespace {

enum class State { kOk, kNote, kTrouble };

struct Finding {
  std::string name;
  State state = State::kOk;
  std::string text;
  std::string fix;  // unless ok
};

using Findings = std::vector<Finding>;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

void check_cpu(Findings& out) {
  const std::vector<std::string> isas = cpu_isas_available();
  out.push_back({"processor", State::kOk,
                 cpu::cpu_features().name + format(", %d usable", usable_processors()), ""});
  out.push_back({"kernels", State::kOk, joined(isas), ""});
  std::string chosen;
  for (const std::string& isa : isas) {
    const Result<void> tested = cpu_self_test(isa);
    if (tested && chosen.empty()) chosen = isa;
    out.push_back({"self-test " + isa, tested ? State::kOk : State::kTrouble,
                   tested ? "passed" : tested.error().message,
                   tested ? "" : "nothing to do: these kernels are passed over; please report it"});
  }
  const std::string forced = forced_isa();
  if (!forced.empty()) {
    CpuOptions options;
    options.threads = 1;
    options.force_isa = forced;
    const auto made = make_cpu_backend(options);
    chosen = made ? forced : "none";
    out.push_back({"LAMINA_FORCE_ISA", made ? State::kNote : State::kTrouble,
                   made ? forced + " instead of the fastest" : made.error().message,
                   "unset LAMINA_FORCE_ISA"});
  }
  if (chosen.empty()) {
    out.push_back({"kernels used", State::kTrouble, "none computes rightly on this machine",
                   "please report it, with this output"});
  } else {
    out.push_back({"kernels used", State::kOk, chosen, ""});
  }
}

// "127 GB free of 151 GB, 64 GB free of 65 GB of the machine's"
std::string heaps_text(const VulkanDeviceInfo& gpu) {
  std::string text;
  for (const VulkanDeviceInfo::Heap& heap : gpu.heaps) {
    text += (text.empty() ? "" : ", ") + human_bytes(heap.free) + " free of " + human_bytes(heap.bytes);
    if (!heap.local) text += " of the machine's";
  }
  return text;
}

void check_gpu(Findings& out, const VulkanDeviceInfo& gpu, int32_t number) {
  const std::string name = format("gpu %d", number);
  out.push_back({name, gpu.software ? State::kNote : State::kOk,
                 gpu.name + ", " + gpu.driver + ", " + gpu.features + ", " +
                     "memory " + heaps_text(gpu),
                 "nothing to do: this is software, used where --backend vulkan asks for it"});
  out.push_back({"kernels of " + name, State::kOk, gpu.kernels, ""});
  const Result<OpenedVulkan> opened = open_vulkan({.device = number, .memory_budget = 0, .on_upload = {}});
  out.push_back({"self-test " + name,
                 opened         ? State::kOk
                 : gpu.software ? State::kNote
                                : State::kTrouble,
                 opened ? "passed" : opened.error().message,
                 "install the newest driver; until then models run on the processor"});
}

void check_gpus(Findings& out) {
  const Result<std::vector<VulkanDeviceInfo>> gpus = list_vulkan();
  if (!gpus || gpus->empty()) {
    out.push_back({"gpu", State::kNote, gpus ? "Vulkan finds no device here" : gpus.error().message,
                   "nothing to do without a GPU: models run on the processor; with one, install "
                   "its Vulkan driver, then look with vulkaninfo"});
    return;
  }
  for (size_t i = 0; i < gpus->size(); ++i) check_gpu(out, (*gpus)[i], static_cast<int32_t>(i));
  const std::string variant = vulkan_variant();
  if (variant.empty()) return;
  out.push_back({"LAMINA_VULKAN_VARIANT", State::kNote, variant, "unset LAMINA_VULKAN_VARIANT"});
}

void check_memory(Findings& out) {
  const MemoryFacts memory = memory_facts();
  const bool scarce = memory.available < (uint64_t{1} << 30);
  out.push_back({"memory", scarce ? State::kNote : State::kOk,
                 human_bytes(memory.available) + " available of " + human_bytes(memory.total),
                 "close something, or use a smaller model"});
  const std::string setting = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  const bool never = setting.find("[never]") != std::string::npos;
  out.push_back({"huge pages", never ? State::kNote : State::kOk,
                 setting.empty() ? "unknown" : setting,
                 "reading weights is slower without: echo madvise | sudo tee "
                 "/sys/kernel/mm/transparent_hugepage/enabled"});
}

// Whether files can be made in `path`, which may have to be made itself.
bool writable(std::string path) {
  while (!is_directory(path) && path != "/" && path != ".") path = parent_path(path);
  return ::access(path.c_str(), W_OK) == 0;
}

void check_paths(Findings& out) {
  const std::pair<const char*, std::string> places[] = {{"configuration", config_directory()},
                                                        {"cache", cache_directory()},
                                                        {"state", state_directory()}};
  for (const auto& [name, path] : places) {
    const bool good = writable(path);
    out.push_back({name, good ? State::kOk : State::kNote, path + (good ? "" : " can't be written"),
                   "set XDG_CONFIG_HOME, XDG_CACHE_HOME or XDG_STATE_HOME to a folder of yours"});
  }
  const Result<std::vector<PublicKey>> keys = read_trusted_keys(trusted_keys_path());
  out.push_back({"trusted keys", keys ? State::kOk : State::kTrouble,
                 keys ? format("%zu", keys->size()) : keys.error().message,
                 "mend or remove " + trusted_keys_path()});
}

void check_demo(Findings& out) {
  ModelFlags flags;
  const Result<ModelChoice> choice = choose_model(flags);
  if (!choice) {
    std::string why = choice.error().message;
    std::ranges::replace(why, '\n', ' ');
    out.push_back(
        {"default model", State::kNote, why, "name a model with -m, or set LAMINA_DEMO_MODEL"});
    return;
  }
  const Result<OpenedManifest> opened = open_manifest(choice->directory, TrustPolicy());
  out.push_back({"default model", opened ? State::kOk : State::kTrouble,
                 opened ? choice->directory : opened.error().message,
                 "convert it anew: lamina convert SRC DST"});
}

std::string_view state_name(State state) {
  return state == State::kOk ? "ok" : state == State::kNote ? "note" : "trouble";
}

std::string as_json(const Findings& findings, bool healthy) {
  JsonWriter json(2);
  json.begin_object().member("version", LAMINA_VERSION).member("healthy", healthy);
  json.key("findings").begin_array();
  for (const Finding& f : findings) {
    json.begin_object().member("name", f.name).member("state", state_name(f.state));
    json.member("text", f.text);
    if (f.state != State::kOk) json.member("fix", f.fix);
    json.end_object();
  }
  return json.end_array().end_object().take() + "\n";
}

std::string as_text(const Findings& findings) {
  std::string out = "Lamina " LAMINA_VERSION "\n";
  for (const Finding& f : findings) {
    const std::string mark = f.state == State::kOk     ? "ok     "
                             : f.state == State::kNote ? "note   "
                                                       : "trouble";
    out += format("%s  %-20s ", mark.c_str(), f.name.c_str()) + safe_text(f.text) + "\n";
    if (f.state != State::kOk) out += format("         %-20s ", "") + "fix: " + f.fix + "\n";
  }
  return out;
}

Result<ExitCode> run(Console& console, bool json) {
  Findings findings;
  check_cpu(findings);
  check_memory(findings);
  check_gpus(findings);
  check_paths(findings);
  check_demo(findings);
  bool healthy = true;
  for (const Finding& f : findings) healthy = healthy && f.state != State::kTrouble;
  LAMINA_TRY(console.write(json ? as_json(findings, healthy) : as_text(findings)));
  return healthy ? kExitOk : kExitDevice;
}

}  // namespace

void add_doctor(Cli& cli) {
  CLI::App& verb = cli.verb("doctor", "Look over this machine, with a fix for each trouble",
                            kGroupProgram, "  lamina doctor\n");
  auto json = std::make_shared<bool>(false);
  verb.option_defaults()->group("Output");
  switch_flag(verb, "--json", *json, "Print a JSON object");
  cli.on_run(verb, [&cli, json] { return run(cli.console(), *json); });
}

}  // namespace lamina::cli
