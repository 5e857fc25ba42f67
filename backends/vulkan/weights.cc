// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/weights.h"

#include <algorithm>
#include <map>

namespace lamina::vulkan {

namespace {

constexpr uint64_t kBufferBytes = uint64_t{1} << 30;  // of a buffer that tensors share

uint64_t aligned(uint64_t bytes) { return (bytes + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment; }

const std::byte* bytes_at(const void* p) { return static_cast<const std::byte*>(p); }

}  // namespace

std::vector<Weights::Piece> Weights::pieces(const std::vector<PlannedOp>& plan) {
  matrices_.resize(plan.size());
  norms_.resize(plan.size());
  biases_.resize(plan.size());
  std::vector<Piece> list;
  for (size_t i = 0; i < plan.size(); ++i) {
    const PlannedOp& op = plan[i];
    const WeightView& w = op.weight;
    const int32_t layer = op.layer;
    if (w.values) list.push_back({w.values, w.value_bytes(), &matrices_[i].values, layer});
    if (w.scales) list.push_back({w.scales, w.scale_bytes(), &matrices_[i].scales, layer});
    if (op.norm) list.push_back({op.norm, static_cast<uint64_t>(op.norm_width) * 4, &norms_[i], layer});
    if (op.bias) list.push_back({op.bias, static_cast<uint64_t>(w.rows) * 4, &biases_[i], layer});
  }
  return list;
}

Result<void> Weights::make_slots(const Device& device, const MemoryPlan& memory) {
  swapped_.resize(static_cast<size_t>(memory.n_layers - memory.resident_layers));
  for (int32_t i = 0; i < memory.slots; ++i) {
    LAMINA_ASSIGN(DeviceBuffer slot,
                  DeviceBuffer::create(device, memory.slot_bytes, Place::kDevice, "a slot for layers"));
    bytes_ += slot.size();
    slots_.push_back(std::move(slot));
  }
  return {};
}

void Weights::put_in_slot(const Piece& piece, Swapped& layer, const DeviceBuffer& slot) const {
  const auto there = std::ranges::find(layer.sources, bytes_at(piece.from), &Source::from);
  if (there == layer.sources.end()) {
    const uint64_t at = layer.sources.empty() ? 0 : aligned(layer.sources.back().at + layer.sources.back().bytes);
    LAMINA_CHECK(at + piece.bytes <= slot.size());
    layer.sources.push_back({bytes_at(piece.from), piece.bytes, at});
    *piece.address = slot.address() + at;
  } else {
    *piece.address = slot.address() + there->at;
  }
}

Result<void> Weights::upload_group(const Device& device, Uploader& uploader, std::span<const Piece> group,
                                   const Uploader::OnChunk& on_chunk) {
  std::vector<Source> sources;
  uint64_t at = 0;
  for (const Piece& piece : group) {
    sources.push_back({bytes_at(piece.from), piece.bytes, at});
    at += aligned(piece.bytes);
  }
  if (at == 0) return {};
  LAMINA_ASSIGN(DeviceBuffer buffer, DeviceBuffer::create(device, at, Place::kDevice, "weights"));
  bytes_ += at;
  for (size_t i = 0; i < group.size(); ++i) *group[i].address = buffer.address() + sources[i].at;
  buffers_.push_back(std::move(buffer));
  LAMINA_TRY(uploader.send(sources, buffers_.back(), 0, {}, on_chunk));
  return {};
}

Result<void> Weights::upload(const Device& device, Uploader& uploader, const std::vector<PlannedOp>& plan,
                             const MemoryPlan& memory, const OnUpload& on_upload) {
  LAMINA_TRY(make_slots(device, memory));
  std::map<const void*, uint64_t*> seen;  // tensor to where its address is
  std::vector<Piece> staying, again;
  uint64_t total = 0, done = 0;
  for (const Piece& piece : pieces(plan)) {
    if (piece.layer >= memory.resident_layers) {
      const auto n = static_cast<size_t>(piece.layer - memory.resident_layers);
      put_in_slot(piece, swapped_[n], slots_[n % slots_.size()]);
    } else if (seen.emplace(piece.from, piece.address).second) {
      staying.push_back(piece);
      total += piece.bytes;
    } else {
      again.push_back(piece);
    }
  }
  const auto on_chunk = [&](uint64_t bytes) {
    done = std::min(total, done + bytes);
    if (on_upload) on_upload(done, total);
  };
  const uint64_t most = std::min(kBufferBytes, device.facts().max_allocation);
  for (size_t first = 0, end = 0; first < staying.size(); first = end) {
    uint64_t bytes = 0;
    while (end < staying.size() && (end == first || bytes + aligned(staying[end].bytes) <= most)) {
      bytes += aligned(staying[end++].bytes);
    }
    LAMINA_TRY(upload_group(device, uploader, std::span(staying).subspan(first, end - first), on_chunk));
  }
  for (const Piece& piece : again) *piece.address = *seen[piece.from];
  return uploader.finish();
}

}  // namespace lamina::vulkan
