// SPDX-License-Identifier: Apache-2.0
// The KV cache on the device, and its way to and from the canonical layout of core/engine/backend.h.
#pragma once

#include <span>
#include <vector>

#include "backends/vulkan/memory.h"
#include "backends/vulkan/shapes.h"
#include "core/engine/backend.h"

namespace lamina::vulkan {

// Per layer what shaders/include/kv.glsl says.
class KvMemory {
 public:
  static Result<KvMemory> create(const Device& device, const ModelConfig& config, const KvShape& shape);
  // What create() would allocate.
  static Result<uint64_t> bytes_of(const ModelConfig& config, const KvShape& shape);

  uint64_t keys(int32_t layer) const { return buffer_.address() + layer_bytes_ * static_cast<uint64_t>(layer); }
  uint32_t values_at() const { return values_at_; }  // elements
  uint64_t bytes() const { return buffer_.size(); }
  KvType type() const { return type_; }
  const DeviceBuffer& buffer() const { return buffer_; }

  Result<void> export_positions(Transfer& transfer, std::span<const int32_t> pages, int32_t n_positions,
                                std::span<uint16_t> out) const;
  Result<void> import_positions(Transfer& transfer, std::span<const int32_t> pages, int32_t n_positions,
                                std::span<const uint16_t> in) const;

 private:
  static Result<KvMemory> lay_out(const ModelConfig& config, const KvShape& shape);
  // A page of one layer's keys or values on the host; `scales` only where they are int8.
  struct Page {
    std::vector<std::byte> values;
    std::vector<float> scales;
  };
  Page empty_page() const;
  // Where such a page lies in the buffer.
  struct PagePlace {
    uint64_t values, scales;
  };
  PagePlace page_at(int32_t layer, int part, int32_t page) const;

  // Vector number `vector` of a page (head * kPageSize + position) to halves and back.
  void to_f16(const Page& page, size_t vector, uint16_t* out) const;
  void from_f16(const uint16_t* in, size_t vector, Page* page) const;

  const ModelConfig* config_ = nullptr;
  DeviceBuffer buffer_;
  KvType type_ = kKvF16;
  uint64_t element_ = 2, dim_ = 0, layer_bytes_ = 0;
  uint32_t values_at_ = 0;
};

}  // namespace lamina::vulkan
