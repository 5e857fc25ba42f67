// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/kv_copy.h"

#include <algorithm>
#include <cmath>

#include "core/base/half.h"
#include "core/base/numeric.h"
#include "core/tensor/quantize.h"

namespace lamina::vulkan {

namespace {

KvType type_of(KvDType dtype) {
  switch (dtype) {
    case KvDType::kF32: return kKvF32;
    case KvDType::kF16: return kKvF16;
    case KvDType::kI8: return kKvI8;
  }
  return kKvF16;
}

}  // namespace

Result<KvMemory> KvMemory::lay_out(const ModelConfig& config, const KvShape& shape) {
  KvMemory kv;
  kv.config_ = &config;
  kv.type_ = type_of(shape.dtype);
  kv.element_ = kv.type_ == kKvI8 ? 1 : kv.type_ == kKvF32 ? 4 : 2;
  kv.dim_ = round_up(static_cast<size_t>(config.head_dim), kv.type_ == kKvI8 ? 16 : 8);
  const uint64_t vectors = static_cast<uint64_t>(shape.n_pages) *
                           static_cast<uint64_t>(config.n_kv_heads) * kPageSize;
  const uint64_t elements = vectors * kv.dim_;
  if (2 * elements > UINT32_MAX) {
    return make_error(Code::kUnsupported, "a KV cache of %d pages is more than the Vulkan engine counts; "
                      "a smaller -c needs less", shape.n_pages);
  }
  kv.values_at_ = static_cast<uint32_t>(elements);
  kv.layer_bytes_ = 2 * elements * kv.element_ + (kv.type_ == kKvI8 ? 2 * vectors * sizeof(float) : 0);
  return kv;
}

Result<uint64_t> KvMemory::bytes_of(const ModelConfig& config, const KvShape& shape) {
  LAMINA_ASSIGN(const KvMemory kv, lay_out(config, shape));
  return kv.layer_bytes_ * static_cast<uint64_t>(config.n_layers);
}

Result<KvMemory> KvMemory::create(const Device& device, const ModelConfig& config,
                                  const KvShape& shape) {
  LAMINA_ASSIGN(KvMemory kv, lay_out(config, shape));
  const uint64_t bytes = kv.layer_bytes_ * static_cast<uint64_t>(config.n_layers);
  LAMINA_ASSIGN(kv.buffer_, DeviceBuffer::create(device, bytes, Place::kDevice, "the KV cache"));
  return kv;
}

KvMemory::Page KvMemory::empty_page() const {
  const size_t vectors = static_cast<size_t>(config_->n_kv_heads) * kPageSize;
  return {std::vector<std::byte>(vectors * dim_ * element_),
          std::vector<float>(type_ == kKvI8 ? vectors : 0)};
}

KvMemory::PagePlace KvMemory::page_at(int32_t layer, int part, int32_t page) const {
  const uint64_t vectors = static_cast<uint64_t>(config_->n_kv_heads) * kPageSize;
  const uint64_t first = static_cast<uint64_t>(part) * (values_at_ / dim_) + vectors * static_cast<uint64_t>(page);
  const uint64_t layer_at = layer_bytes_ * static_cast<uint64_t>(layer);
  return {layer_at + first * dim_ * element_, layer_at + 2 * values_at_ * element_ + first * sizeof(float)};
}

void KvMemory::to_f16(const Page& page, size_t vector, uint16_t* out) const {
  const auto d = static_cast<size_t>(config_->head_dim);
  const void* from = page.values.data() + vector * dim_ * element_;
  switch (type_) {
    case kKvF16: std::memcpy(out, from, d * sizeof(uint16_t)); return;
    case kKvF32:
      for (size_t i = 0; i < d; ++i) out[i] = f32_to_f16(static_cast<const float*>(from)[i]);
      return;
    case kKvI8:
      for (size_t i = 0; i < d; ++i) {
        out[i] = f32_to_f16(page.scales[vector] * static_cast<float>(static_cast<const int8_t*>(from)[i]));
      }
  }
}

void KvMemory::from_f16(const uint16_t* in, size_t vector, Page* page) const {
  const auto d = static_cast<size_t>(config_->head_dim);
  void* to = page->values.data() + vector * dim_ * element_;
  if (type_ == kKvF16) {
    std::memcpy(to, in, d * sizeof(uint16_t));
    return;
  }
  std::vector<float> floats(d);
  for (size_t i = 0; i < d; ++i) floats[i] = f16_to_f32(in[i]);
  if (type_ == kKvF32) {
    std::memcpy(to, floats.data(), d * sizeof(float));
  } else if (std::ranges::all_of(floats, [](float v) { return std::isfinite(v); })) {
    quantize_activations(floats, config_->head_dim, static_cast<int8_t*>(to), &page->scales[vector]);
  }  // else zeros, as kv_store leaves them
}

Result<void> KvMemory::export_positions(Transfer& transfer, std::span<const int32_t> pages,
                                        int32_t n_positions, std::span<uint16_t> out) const {
  const auto d = static_cast<size_t>(config_->head_dim), n = static_cast<size_t>(n_positions);
  const auto heads = static_cast<size_t>(config_->n_kv_heads);
  Page page = empty_page();
  for (int32_t layer = 0; layer < config_->n_layers; ++layer) {
    for (int part = 0; part < 2; ++part) {
      uint16_t* to = out.data() + static_cast<size_t>(2 * layer + part) * heads * n * d;
      for (size_t first = 0; first < n; first += kPageSize) {
        const PagePlace at = page_at(layer, part, pages[first / kPageSize]);
        LAMINA_TRY(transfer.download(buffer_, at.values, page.values));
        if (type_ == kKvI8) {
          LAMINA_TRY(transfer.download(buffer_, at.scales, std::as_writable_bytes(std::span(page.scales))));
        }
        for (size_t head = 0; head < heads; ++head) {
          for (size_t i = 0; i < std::min<size_t>(kPageSize, n - first); ++i) {
            to_f16(page, head * kPageSize + i, to + (head * n + first + i) * d);
          }
        }
      }
    }
  }
  return {};
}

Result<void> KvMemory::import_positions(Transfer& transfer, std::span<const int32_t> pages,
                                        int32_t n_positions, std::span<const uint16_t> in) const {
  const auto d = static_cast<size_t>(config_->head_dim), n = static_cast<size_t>(n_positions);
  const auto heads = static_cast<size_t>(config_->n_kv_heads);
  for (int32_t layer = 0; layer < config_->n_layers; ++layer) {
    for (int part = 0; part < 2; ++part) {
      const uint16_t* from = in.data() + static_cast<size_t>(2 * layer + part) * heads * n * d;
      for (size_t first = 0; first < n; first += kPageSize) {
        Page page = empty_page();
        for (size_t head = 0; head < heads; ++head) {
          for (size_t i = 0; i < std::min<size_t>(kPageSize, n - first); ++i) {
            from_f16(from + (head * n + first + i) * d, head * kPageSize + i, &page);
          }
        }
        const PagePlace at = page_at(layer, part, pages[first / kPageSize]);
        LAMINA_TRY(transfer.upload(page.values, buffer_, at.values));
        if (type_ == kKvI8) {
          LAMINA_TRY(transfer.upload(std::as_bytes(std::span(page.scales)), buffer_, at.scales));
        }
      }
    }
  }
  return transfer.finish();
}

}  // namespace lamina::vulkan
