// SPDX-License-Identifier: Apache-2.0
// The KV cache on the device, and its way to and from the canonical layout of core/engine/backend.h.
#pragma once

#include <span>
#include <vector>

#include "backends/vulkan/memory.h"
#include "core/engine/backend.h"

namespace lamina::vulkan {

// Per layer: keys, then values, each [page][kv head][64][KV_DIM] in f16 or f32.
class KvMemory {
 public:
  static Result<KvMemory> create(const Device& device, const ModelConfig& config, const KvShape& shape);
  // What create() would allocate.
  static Result<uint64_t> bytes_of(const ModelConfig& config, const KvShape& shape);

  uint64_t keys(int32_t layer) const { return buffer_.address() + layer_bytes_ * static_cast<uint64_t>(layer); }
  uint32_t values_at() const { return values_at_; }  // elements
  uint64_t bytes() const { return buffer_.size(); }
  bool f32() const { return element_ == 4; }
  const DeviceBuffer& buffer() const { return buffer_; }

  Result<void> export_positions(Transfer& transfer, std::span<const int32_t> pages, int32_t n_positions,
                                std::span<uint16_t> out) const;
  Result<void> import_positions(Transfer& transfer, std::span<const int32_t> pages, int32_t n_positions,
                                std::span<const uint16_t> in) const;

 private:
  static Result<KvMemory> lay_out(const ModelConfig& config, const KvShape& shape);
  // Bytes of one page of keys or of values, and where they lie.
  uint64_t page_bytes() const;
  uint64_t page_at(int32_t layer, int part, int32_t page) const;

  const ModelConfig* config_ = nullptr;
  DeviceBuffer buffer_;
  uint64_t element_ = 2, dim_ = 0, layer_bytes_ = 0;
  uint32_t values_at_ = 0;
};

}  // namespace lamina::vulkan
