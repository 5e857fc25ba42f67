// SPDX-License-Identifier: Apache-2.0
// Keys and values as the attention kernel reads them: [layer][page][kv head] blocks (KvBlock).
#pragma once

#include <cstdint>
#include <span>

#include "backends/cpu/aligned_buffer.h"
#include "backends/cpu/kernels/kernel_table.h"
#include "core/engine/backend.h"

namespace lamina::cpu {

class KvCache {
 public:
  static Result<KvCache> create(const ModelConfig& config, const KvShape& shape);

  KvBlock block(int32_t layer, int32_t page, int32_t head) const;
  size_t page_stride() const { return static_cast<size_t>(n_kv_heads_) * block_bytes_; }
  uint64_t bytes() const { return memory_.size(); }

  // Canonical f16 form, see Backend::export_kv.
  void export_positions(std::span<const int32_t> pages, int32_t n, std::span<uint16_t> out) const;
  void import_positions(const KernelTable& kernels, std::span<const int32_t> pages, int32_t n,
                        std::span<const uint16_t> in);

 private:
  float key(const KvBlock& block, int32_t slot, int32_t i) const;
  float value(const KvBlock& block, int32_t slot, int32_t i) const;

  AlignedBuffer memory_;
  KvFormat format_ = KvFormat::kF16;
  int32_t n_layers_ = 0;
  int32_t n_pages_ = 0;
  int32_t n_kv_heads_ = 0;
  int32_t head_dim_ = 0;
  int32_t value_width_ = 0;
  size_t block_bytes_ = 0;
};

}  // namespace lamina::cpu
