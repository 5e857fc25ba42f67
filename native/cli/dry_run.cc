// SPDX-License-Identifier: Apache-2.0
#include "native/cli/dry_run.h"

#include "core/base/json.h"
#include "core/engine/llama.h"
#include "native/cli/backend_choice.h"
#include "native/cli/host.h"
#include "native/platform/memory_facts.h"

namespace lamina::cli {
namespace {

// The processor reads weights where they lie; the rest is as the engines lay it out, to some percent.
MemoryPlan host_plan(const Graph& graph, const EngineOptions& options, int32_t n_pages) {
  const ModelConfig& c = graph.config;
  MemoryPlan plan;
  plan.n_layers = plan.resident_layers = c.n_layers;
  uint64_t weights = 0, row = 0;
  for (const GraphWeight& w : graph.weights) weights += w.shape.value_bytes() + w.shape.scale_bytes();
  for (size_t i = 0; i < kBuffers; ++i) {
    const bool logits = i == static_cast<size_t>(Buffer::kLogits);
    row += static_cast<uint64_t>(graph.buffer_width[i]) * 4 *
           static_cast<uint64_t>(logits ? options.max_logit_rows : options.max_rows);
  }
  const auto vectors = static_cast<uint64_t>(n_pages) * kPageSize * 2 * static_cast<uint64_t>(c.n_layers) *
                       static_cast<uint64_t>(c.n_kv_heads);
  const auto d = static_cast<uint64_t>(c.head_dim);
  const KvDType kv = options.kv_dtype;
  const uint64_t vector = kv == KvDType::kF32 ? 4 * d : kv == KvDType::kF16 ? 2 * d : d + 4;
  const MemoryFacts facts = memory_facts();
  plan.heaps = {{"host", facts.total, facts.available, facts.available,
                 {{"weights", weights}, {"KV cache", vectors * vector}, {"activations", row}}}};
  return plan;
}

// Shapes without values.
WeightMap shapes_of(const Manifest& manifest) {
  WeightMap weights;
  for (const TensorEntry& tensor : manifest.tensors) {
    static_cast<WeightShape&>(weights[tensor.name]) = tensor.shape;
  }
  return weights;
}

struct Plan {
  MemoryPlan memory;
  ChosenBackend chosen;
};

Result<Plan> make_plan(Console& console, const EngineFlags& flags, const Graph& graph,
                       const EngineOptions& options) {
  Plan plan;
  LAMINA_ASSIGN(plan.chosen, choose_backend(console, flags));
  const int32_t n_pages = (options.context + kPageSize - 1) / kPageSize;
  if (plan.chosen.vulkan) {
    Result<MemoryPlan> memory = plan.chosen.vulkan->plan(graph, {n_pages, options.kv_dtype}, options.max_rows,
                                                         options.max_logit_rows);
    if (memory) {
      plan.memory = std::move(*memory);
      return plan;
    }
    if (flags.backend != "auto") return memory.error();
    const std::string why = "chosen because vulkan can't run this model: " + memory.error().message;
    LAMINA_ASSIGN(plan.chosen, make_backend(console, "cpu", flags));
    plan.chosen.why = why;
  }
  plan.memory = host_plan(graph, options, n_pages);
  return plan;
}

std::string table(const Manifest& manifest, const Plan& plan, const BackendInfo& info) {
  std::string out = "model    " + safe_text(manifest.name) + format(", %d layers\n", plan.memory.n_layers);
  out += "backend  " + info.name + " (" + safe_text(info.device) + "), " + plan.chosen.why + "\n";
  for (const MemoryHeap& heap : plan.memory.heaps) {
    out += heap.name + " memory: " + human_bytes(heap.bytes) + ", " + human_bytes(heap.free) + " free, " +
           human_bytes(heap.budget) + " to use\n";
    for (const MemoryItem& item : heap.items) {
      out += format("  %-18s %10s\n", item.what.c_str(), human_bytes(item.bytes).c_str());
    }
    out += format("  %-18s %10s%s\n", "together", human_bytes(heap.needed()).c_str(),
                  heap.needed() > heap.budget ? "  more than is free" : "");
  }
  if (plan.memory.swaps()) out += "layers   " + layers_text(plan.memory) + "\n";
  return out;
}

std::string as_json(const Manifest& manifest, const Plan& plan, const BackendInfo& info) {
  const MemoryPlan& m = plan.memory;
  JsonWriter json;
  json.begin_object().member("model", manifest.name);
  json.key("backend").begin_object().member("name", info.name).member("device", info.device);
  json.member("why", plan.chosen.why).end_object();
  json.key("heaps").begin_array();
  for (const MemoryHeap& heap : m.heaps) {
    json.begin_object().member("name", heap.name).member("bytes", heap.bytes).member("free", heap.free);
    json.member("budget", heap.budget).member("needed", heap.needed()).key("items").begin_object();
    for (const MemoryItem& item : heap.items) json.member(item.what, item.bytes);
    json.end_object().end_object();
  }
  json.end_array().member("layers", m.n_layers).member("resident_layers", m.resident_layers);
  json.member("slots", m.slots).member("slot_bytes", m.slot_bytes);
  json.member("swapped_bytes_per_step", m.swapped_bytes);
  return json.end_object().take() + "\n";
}

}  // namespace

std::string layers_text(const MemoryPlan& plan) {
  return format("%d of %d stay; ", plan.resident_layers, plan.n_layers) + human_bytes(plan.swapped_bytes) +
         " of the others are copied for each step";
}

Result<void> dry_run(Console& console, const ModelFlags& model, const EngineFlags& engine, bool json) {
  LAMINA_ASSIGN(const ModelChoice choice, choose_model(model));
  LAMINA_ASSIGN(const TrustPolicy trust, trust_policy(model));
  const Result<OpenedManifest> opened = open_manifest(choice.directory, trust);
  if (!opened) return as_folder_error(opened.error());
  const Manifest& manifest = opened->manifest;
  const Result<Graph> graph = build_llama(manifest.config, shapes_of(manifest));
  if (!graph) return as_model_error(graph.error());
  const EngineOptions options = engine_options(console, engine, manifest.config, 1);
  LAMINA_ASSIGN(const Plan plan, make_plan(console, engine, *graph, options));
  const BackendInfo info = plan.chosen.backend->info();
  return console.write(json ? as_json(manifest, plan, info) : table(manifest, plan, info));
}

}  // namespace lamina::cli
