// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/weights.h"

#include <algorithm>
#include <map>

namespace lamina::vulkan {

namespace {

constexpr uint64_t kBufferBytes = uint64_t{1} << 30;  // of a buffer that tensors share

uint64_t aligned(uint64_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

std::vector<Weights::Piece> Weights::pieces(const std::vector<PlannedOp>& plan) {
  matrices_.resize(plan.size());
  norms_.resize(plan.size());
  biases_.resize(plan.size());
  std::vector<Piece> list;
  for (size_t i = 0; i < plan.size(); ++i) {
    const PlannedOp& op = plan[i];
    const WeightView& w = op.weight;
    if (w.values) list.push_back({w.values, w.value_bytes(), &matrices_[i].values});
    if (w.scales) list.push_back({w.scales, w.scale_bytes(), &matrices_[i].scales});
    if (op.norm) list.push_back({op.norm, static_cast<uint64_t>(op.norm_width) * 4, &norms_[i]});
    if (op.bias) list.push_back({op.bias, static_cast<uint64_t>(w.rows) * 4, &biases_[i]});
  }
  return list;
}

// Makes `bytes` of the last buffer ours, or of a new one for them and some of the `rest`.
Result<void> Weights::place(const Device& device, uint64_t bytes, uint64_t rest, uint64_t* offset) {
  if (buffers_.empty() || used_ + bytes > buffers_.back().size()) {
    const uint64_t most = std::min(kBufferBytes, device.facts().max_allocation);
    LAMINA_ASSIGN(DeviceBuffer b, DeviceBuffer::create(device, std::max(bytes, std::min(rest, most)),
                                                       Place::kDevice, "weights"));
    buffers_.push_back(std::move(b));
    used_ = 0;
  }
  *offset = used_;
  used_ += bytes;
  return {};
}

Result<void> Weights::upload(const Device& device, Transfer& transfer,
                             const std::vector<PlannedOp>& plan, const OnUpload& on_upload) {
  const std::vector<Piece> list = pieces(plan);
  std::map<const void*, uint64_t> addresses;  // 0: not there yet
  uint64_t total = 0, done = 0;
  for (const Piece& piece : list) {
    if (!addresses.emplace(piece.from, 0).second) continue;
    total += aligned(piece.bytes);
    bytes_ += piece.bytes;
  }
  for (const Piece& piece : list) {
    uint64_t& address = addresses[piece.from];
    if (address == 0) {
      uint64_t offset = 0;
      LAMINA_TRY(place(device, aligned(piece.bytes), total - done, &offset));
      LAMINA_TRY(transfer.upload({static_cast<const std::byte*>(piece.from), piece.bytes},
                                 buffers_.back(), offset));
      address = buffers_.back().address() + offset;
      done += aligned(piece.bytes);
      if (on_upload) on_upload(done, total);
    }
    *piece.address = address;
  }
  return transfer.finish();
}

}  // namespace lamina::vulkan
