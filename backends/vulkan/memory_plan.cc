// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/memory_plan.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "backends/vulkan/memory.h"
#include "backends/vulkan/program.h"
#include "backends/vulkan/uploader.h"
#include "core/tensor/quantize.h"

namespace lamina::vulkan {

namespace {

constexpr uint64_t kMostReserve = uint64_t{512} << 20;  // for the driver, its kernels, and others

uint64_t aligned(uint64_t bytes) { return (bytes + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment; }

uint64_t weight_bytes(const WeightShape& w) { return aligned(w.value_bytes()) + aligned(w.scale_bytes()); }

std::string size_text(uint64_t bytes) {
  char text[32];
  const double mib = static_cast<double>(bytes) / (1 << 20);
  std::snprintf(text, sizeof text, mib < 10 ? "%.2f MiB" : "%.0f MiB", mib);
  return text;
}

Error does_not_fit(const MemoryHeap& device, const Needs& needs, uint64_t least) {
  std::string parts;
  for (const MemoryItem& item : device.items) {
    parts += (parts.empty() ? "" : ", ") + item.what + " " + size_text(item.bytes);
  }
  const uint64_t all = std::accumulate(needs.layers.begin(), needs.layers.end(), needs.fixed);
  return make_error(
      Code::kOutOfMemory,
      "the device needs at least %s (%s), the budget is %s (%s free of %s); all weights together are %s. "
      "A smaller -c or --kv i8 makes the KV cache smaller, a model of fewer bits the weights; a larger "
      "--memory-budget or closing other programs raises the budget; --backend cpu uses the machine's memory",
      size_text(least).c_str(), parts.c_str(), size_text(device.budget).c_str(),
      size_text(device.free).c_str(), size_text(device.bytes).c_str(), size_text(all).c_str());
}

}  // namespace

uint64_t StepSizes::total() const {
  return std::accumulate(buffers.begin(), buffers.end(), xq + xs + partial + arrived + fresh_kv + layers);
}

StepSizes step_sizes(const Graph& graph, const StepShape& shape) {
  const ModelConfig& c = graph.config;
  StepSizes sizes;
  const auto rows = static_cast<uint64_t>((shape.max_rows + 127) / 128 * 128);  // whole tiles are read
  const auto at_least = [](uint64_t bytes) { return std::max<uint64_t>(bytes, kPieceAlignment); };
  for (size_t i = 0; i < kBuffers; ++i) {
    const uint64_t row = uint64_t{row_stride(graph.buffer_width[i])} * 4;
    const bool logits = i == static_cast<size_t>(Buffer::kLogits);
    if (logits) sizes.logits_row = row;
    sizes.buffers[i] = at_least(row * (logits ? static_cast<uint64_t>(shape.max_logit_rows) : rows));
  }
  uint64_t widest = 0, blocks = 1;  // f16 in halves has one scale
  for (const Op& op : graph.ops) {
    if (!is_matmul(op.kind)) continue;
    const WeightShape& w = graph.weights[static_cast<size_t>(op.weight)].shape;
    const bool i8 = w.dtype == DType::kI8;
    widest = std::max<uint64_t>(widest, i8 ? w.row_bytes() : w.row_bytes() / dtype_bytes(w.dtype) * 4);
    if (i8) blocks = std::max<uint64_t>(blocks, static_cast<uint64_t>(w.cols / activation_block(w) + 1));
  }
  const auto heads = static_cast<uint64_t>(c.n_heads);
  const auto few = static_cast<uint64_t>(std::min(shape.max_rows, kSplitRows));
  const auto splits = (static_cast<uint32_t>(shape.kv.n_pages) * kPageSize + kSplitPositions - 1) / kSplitPositions;
  sizes.max_splits = std::clamp<uint32_t>(splits, 1, kMostSplits);
  sizes.xq = at_least(rows * widest);
  sizes.xs = at_least(rows * blocks * 4);
  sizes.partial = at_least(few * heads * sizes.max_splits * static_cast<uint64_t>(c.head_dim + 2) * 4);
  sizes.arrived = at_least(rows * heads * 4);
  sizes.layers = (static_cast<uint64_t>(c.n_layers) * kLayerTable * 8 + 2 * kPieceAlignment - 1) /
                     kPieceAlignment * kPieceAlignment;
  if (shape.kv.dtype == KvDType::kI8) sizes.fresh_kv = at_least(rows * 2 * static_cast<uint64_t>(c.kv_width()) * 4);
  return sizes;
}

Needs needs_of(const Graph& graph, const StepShape& shape, uint64_t kv_bytes) {
  Needs needs;
  needs.layers.assign(static_cast<size_t>(graph.config.n_layers), 0);
  std::set<int16_t> seen;
  for (const Op& op : graph.ops) {
    for (const int16_t index : {op.weight, op.bias}) {
      if (index < 0 || !seen.insert(index).second) continue;
      const uint64_t bytes = weight_bytes(graph.weights[static_cast<size_t>(index)].shape);
      (op.layer < 0 ? needs.fixed : needs.layers[static_cast<size_t>(op.layer)]) += bytes;
    }
  }
  const StepSizes sizes = step_sizes(graph, shape);
  needs.kv = kv_bytes;
  needs.activations = sizes.total();
  needs.host = sizes.logits_row * static_cast<uint64_t>(shape.max_logit_rows) + Transfer::host_bytes();
  return needs;
}

Result<MemoryPlan> plan_memory(const Needs& needs, const HeapFacts& local, const HeapFacts& host,
                               uint64_t budget, uint64_t chunk) {
  MemoryPlan plan;
  plan.n_layers = static_cast<int32_t>(needs.layers.size());
  MemoryHeap device{"device", local.bytes, local.free, budget, {}};
  if (budget == 0) device.budget = local.free - std::min(kMostReserve, local.free / 16);
  device.items = {{"KV cache", needs.kv}, {"activations", needs.activations}, {"step", needs.step}};
  MemoryHeap other{"host", host.bytes, host.free, host.free, {}};
  plan.ring_bytes = Uploader::kChunks * chunk;
  other.items = {{"upload ring", plan.ring_bytes}, {"read-back", needs.host}};

  const uint64_t rest = device.needed() + needs.fixed;
  const uint64_t layers = std::accumulate(needs.layers.begin(), needs.layers.end(), uint64_t{0});
  plan.resident_layers = plan.n_layers;
  if (rest + layers > device.budget) {
    plan.slot_bytes = *std::ranges::max_element(needs.layers);
    plan.slots = kSlots;
    uint64_t used = rest + kSlots * plan.slot_bytes;
    plan.resident_layers = 0;
    const auto resident = [&] { return static_cast<size_t>(plan.resident_layers); };
    while (plan.resident_layers + kSlots < plan.n_layers && used + needs.layers[resident()] <= device.budget) {
      used += needs.layers[resident()];
      ++plan.resident_layers;
    }
    for (size_t i = resident(); i < needs.layers.size(); ++i) plan.swapped_bytes += needs.layers[i];
  }
  device.items.insert(device.items.begin(),
                      {"weights that stay", needs.fixed + layers - plan.swapped_bytes});
  if (plan.swaps()) {
    device.items.insert(device.items.begin() + 1, {"layers' slots", kSlots * plan.slot_bytes});
  }
  const uint64_t needed = device.needed();
  if (needed > device.budget) return does_not_fit(device, needs, needed);
  plan.heaps = {std::move(device), std::move(other)};
  return plan;
}

}  // namespace lamina::vulkan
