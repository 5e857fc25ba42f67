// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/kv_copy.h"

#include <algorithm>

#include "core/base/half.h"

namespace lamina::vulkan {

Result<KvMemory> KvMemory::lay_out(const ModelConfig& config, const KvShape& shape) {
  if (shape.dtype == KvDType::kI8) {
    return make_error(Code::kUnsupported, "--kv i8: the Vulkan engine keeps f16 or f32 only");
  }
  KvMemory kv;
  kv.config_ = &config;
  kv.element_ = shape.dtype == KvDType::kF32 ? 4 : 2;
  kv.dim_ = static_cast<uint64_t>((config.head_dim + 7) / 8 * 8);
  const uint64_t elements = static_cast<uint64_t>(shape.n_pages) *
                            static_cast<uint64_t>(config.n_kv_heads) * kPageSize * kv.dim_;
  if (2 * elements > UINT32_MAX) {
    return make_error(Code::kUnsupported, "a KV cache of %d pages is more than the Vulkan engine counts; "
                      "a smaller -c needs less", shape.n_pages);
  }
  kv.values_at_ = static_cast<uint32_t>(elements);
  kv.layer_bytes_ = 2 * elements * kv.element_;
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

uint64_t KvMemory::page_bytes() const {
  return static_cast<uint64_t>(config_->n_kv_heads) * kPageSize * dim_ * element_;
}

uint64_t KvMemory::page_at(int32_t layer, int part, int32_t page) const {
  return layer_bytes_ * static_cast<uint64_t>(layer) + (part ? values_at_ * element_ : 0) +
         page_bytes() * static_cast<uint64_t>(page);
}

Result<void> KvMemory::export_positions(Transfer& transfer, std::span<const int32_t> pages,
                                        int32_t n_positions, std::span<uint16_t> out) const {
  const auto d = static_cast<size_t>(config_->head_dim), n = static_cast<size_t>(n_positions);
  const auto heads = static_cast<size_t>(config_->n_kv_heads);
  std::vector<std::byte> bytes(page_bytes());
  for (int32_t layer = 0; layer < config_->n_layers; ++layer) {
    for (int part = 0; part < 2; ++part) {
      uint16_t* to = out.data() + static_cast<size_t>(2 * layer + part) * heads * n * d;
      for (size_t first = 0; first < n; first += kPageSize) {
        LAMINA_TRY(transfer.download(buffer_, page_at(layer, part, pages[first / kPageSize]), bytes));
        for (size_t head = 0; head < heads; ++head) {
          for (size_t i = 0; i < std::min<size_t>(kPageSize, n - first); ++i) {
            const std::byte* from = bytes.data() + (head * kPageSize + i) * dim_ * element_;
            uint16_t* vector = to + (head * n + first + i) * d;
            if (element_ == 2) {
              std::memcpy(vector, from, d * 2);
              continue;
            }
            const auto* floats = static_cast<const float*>(static_cast<const void*>(from));
            for (size_t c = 0; c < d; ++c) vector[c] = f32_to_f16(floats[c]);
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
  std::vector<std::byte> bytes(page_bytes());
  for (int32_t layer = 0; layer < config_->n_layers; ++layer) {
    for (int part = 0; part < 2; ++part) {
      const uint16_t* from = in.data() + static_cast<size_t>(2 * layer + part) * heads * n * d;
      for (size_t first = 0; first < n; first += kPageSize) {
        std::fill(bytes.begin(), bytes.end(), std::byte{0});
        for (size_t head = 0; head < heads; ++head) {
          for (size_t i = 0; i < std::min<size_t>(kPageSize, n - first); ++i) {
            std::byte* to = bytes.data() + (head * kPageSize + i) * dim_ * element_;
            const uint16_t* vector = from + (head * n + first + i) * d;
            if (element_ == 2) {
              std::memcpy(to, vector, d * 2);
              continue;
            }
            auto* floats = static_cast<float*>(static_cast<void*>(to));
            for (size_t c = 0; c < d; ++c) floats[c] = f16_to_f32(vector[c]);
          }
        }
        LAMINA_TRY(transfer.upload(bytes, buffer_, page_at(layer, part, pages[first / kPageSize])));
      }
    }
  }
  return transfer.finish();
}

}  // namespace lamina::vulkan
