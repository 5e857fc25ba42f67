// SPDX-License-Identifier: Apache-2.0
// Program: all layers of a one-row step as one dispatch, see shaders/decode_layers.comp.
#include <algorithm>
#include <bit>
#include <cmath>

#include "backends/vulkan/program.h"
#include "core/tensor/quantize.h"

namespace lamina::vulkan {

namespace {

constexpr OpKind kLayer[] = {OpKind::kQkvRope, OpKind::kAttention, OpKind::kMatmulAdd, OpKind::kGateUpSilu,
                             OpKind::kMatmulAdd};
constexpr size_t kOps = std::size(kLayer);
constexpr size_t kMatmuls[] = {0, 2, 3, 4};  // of kLayer
constexpr uint32_t kFlightWords = 8;
constexpr uint32_t kLeastSplit = 128;  // positions

}  // namespace

// The plan is an embedding, then kLayer for each layer, then the logits.
const PlannedOp& Program::layer_op(size_t layer, size_t op) const { return (*plan_)[1 + layer * kOps + op]; }

// Whether all layers are kLayer, with weights of one type and biases in the same places.
bool Program::same_layers() const {
  const auto n = static_cast<size_t>(config_.n_layers);
  if (plan_->size() < 1 + n * kOps || n == 0) return false;
  for (size_t l = 0; l < n; ++l) {
    for (size_t i = 0; i < kOps; ++i) {
      const PlannedOp& op = layer_op(l, i);
      const PlannedOp& first = layer_op(0, i);
      const bool norm = i == 0 || i == 3;
      if (op.layer != static_cast<int32_t>(l) || op.kind != kLayer[i] || op.gather || op.selected) return false;
      if (!is_matmul(op.kind)) continue;
      if ((op.norm != nullptr) != norm || (op.bias != nullptr) != (first.bias != nullptr)) return false;
      if (op.weight.dtype != layer_op(0, 0).weight.dtype || op.weight.group != layer_op(0, 0).weight.group) {
        return false;
      }
    }
  }
  return true;
}

// As many workgroups as surely run at once; 0 where that isn't known.
uint32_t Program::resident_workgroups() const {
  return variant_number("grid", facts_.software ? 0 : facts_.cores);
}

uint32_t Program::layer_threads() const {
  return std::min(variant_number("layer-threads", facts_.software ? 64 : 512), facts_.max_invocations);
}

uint32_t Program::layer_heads() const { return heads_together(variant_number("layer-heads", 1)); }

bool Program::layers_in_one() const {
  if (limits_.swapped || resident_workgroups() == 0 || variant_has("no-decode-layers")) return false;
  // A power of two of threads hold a key, see decode_attention.glsl.
  const auto d = static_cast<uint32_t>(config_.head_dim);
  const uint32_t elements = limits_.kv_type == kKvI8 ? 16 : limits_.kv_type == kKvF32 ? 4 : 8;
  if (!std::has_single_bit(d) || d < elements || d / elements > facts_.subgroup || !same_layers()) return false;
  const auto widest = static_cast<uint32_t>(
      std::max({config_.hidden_size, config_.intermediate_size, config_.n_heads * config_.head_dim}));
  const bool i8 = layer_op(0, 0).weight.dtype == DType::kI8;
  const uint32_t subgroups = layer_threads() / facts_.subgroup;
  const uint32_t shared = static_cast<uint32_t>(config_.n_layers) * static_cast<uint32_t>(kLayerTable) * 8 + widest * (i8 ? 2 : 4) +
                          layer_heads() * (d + 2) * 4 * (subgroups + 1) + 2048;
  return shared <= facts_.shared_bytes;
}

std::vector<uint64_t> Program::layer_table() const {
  std::vector<uint64_t> table;
  if (!layers_in_one()) return table;
  for (size_t l = 0; l < static_cast<size_t>(config_.n_layers); ++l) {
    for (const size_t i : kMatmuls) {
      const size_t at = 1 + l * kOps + i;
      table.insert(table.end(), {(*weights_)[at].values, (*weights_)[at].scales, (*biases_)[at], (*norms_)[at]});
    }
    table.push_back(at_.keys[l]);
  }
  return table;
}

void Program::add_layers(std::vector<Dispatch>& list) const {
  const PlannedOp &qkv = layer_op(0, 0), &attention = layer_op(0, 1), &down = layer_op(0, 4);
  Shape s = shape_of(qkv);
  s[kThreads] = layer_threads();
  s[kShuffle] = s[kShuffle] && s[kThreads] % (s[kBlock] / 4) == 0;
  s[kUnroll] = variant_number("acquire", facts_.cores > 0 ? 0 : 1);  // ACQUIRE; cores: NVIDIA's
  s[kRows] = kLeastSplit;
  s[kHeads] = layer_heads();
  s[kNLayers] = static_cast<uint32_t>(config_.n_layers);
  s[kHidden] = static_cast<uint32_t>(qkv.weight.cols);
  s[kInner] = static_cast<uint32_t>(down.weight.cols);
  s[kFlight] = variant_number("flight", kFlightWords);
  s[kQkvBias] = qkv.bias != nullptr;
  s[kOutBias] = layer_op(0, 2).bias != nullptr;
  s[kGateUpBias] = layer_op(0, 3).bias != nullptr;
  s[kDownBias] = down.bias != nullptr;
  const std::string dtype(dtype_name(qkv.weight.dtype));
  const bool plain = qkv.weight.dtype == DType::kI8 && !facts_.int_dot;
  Dispatch d{};
  d.pipeline = pipelines_.request("decode_layers_" + dtype + (plain ? "_plain" : ""), s);
  d.all_layers = true;
  d.x = resident_workgroups();
  d.y = 1;
  for (size_t l = 0; l < static_cast<size_t>(config_.n_layers); ++l) {
    for (const size_t i : kMatmuls) {
      const WeightView& w = layer_op(l, i).weight;
      d.weight_bytes += w.value_bytes() + w.scale_bytes();
    }
  }
  const auto buffer = [&](Buffer b) { return at_.buffers[static_cast<size_t>(b)]; };
  d.layers = {at_.layers, buffer(qkv.in), buffer(qkv.out), buffer(attention.out), buffer(down.in), at_.partial,
              at_.sync, at_.head, at_.rows, at_.pages, at_.fresh_kv, at_.rope};
  d.push_bytes = sizeof(DecodeLayersPush);
  list.push_back(d);
}

}  // namespace lamina::vulkan
