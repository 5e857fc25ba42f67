// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kv_cache.h"

#include "core/base/half.h"
#include "core/base/numeric.h"

namespace lamina::cpu {

namespace {

static_assert(kPagePositions == kPageSize);

KvFormat format_of(KvDType dtype) {
  switch (dtype) {
    case KvDType::kF32: return KvFormat::kF32;
    case KvDType::kF16: return KvFormat::kF16;
    case KvDType::kI8: return KvFormat::kI8;
  }
  return KvFormat::kF16;
}

size_t element_bytes(KvFormat format) {
  return format == KvFormat::kF32 ? 4 : format == KvFormat::kF16 ? 2 : 1;
}

}  // namespace

Result<KvCache> KvCache::create(const ModelConfig& config, const KvShape& shape) {
  KvCache out;
  out.format_ = format_of(shape.dtype);
  out.n_layers_ = config.n_layers;
  out.n_pages_ = shape.n_pages;
  out.n_kv_heads_ = config.n_kv_heads;
  out.head_dim_ = config.head_dim;
  out.value_width_ = static_cast<int32_t>(round_up(static_cast<size_t>(config.head_dim), kVectorFloats));
  const auto per_position = static_cast<size_t>(out.head_dim_ + out.value_width_);
  out.block_bytes_ = per_position * kPagePositions * element_bytes(out.format_) +
                     (out.format_ == KvFormat::kI8 ? 2 * kPagePositions * sizeof(float) : 0);
  const auto blocks = checked_mul(static_cast<uint64_t>(config.n_layers) * static_cast<uint64_t>(config.n_kv_heads),
                                  static_cast<uint64_t>(shape.n_pages));
  const auto bytes = blocks ? checked_mul(*blocks, out.block_bytes_) : blocks;
  if (shape.n_pages < 1 || !bytes || *bytes > SIZE_MAX) {
    return make_error(Code::kInvalidArgument, "KV cache of %d pages: out of range", shape.n_pages);
  }
  LAMINA_ASSIGN(out.memory_, AlignedBuffer::create(static_cast<size_t>(*bytes), "KV cache"));
  return out;
}

KvBlock KvCache::block(int32_t layer, int32_t page, int32_t head) const {
  const size_t index = (static_cast<size_t>(layer) * static_cast<size_t>(n_pages_) +
                        static_cast<size_t>(page)) * static_cast<size_t>(n_kv_heads_) +
                       static_cast<size_t>(head);
  return {memory_.data() + index * block_bytes_, head_dim_, value_width_, format_};
}

float KvCache::key(const KvBlock& b, int32_t slot, int32_t i) const {
  const auto at = static_cast<size_t>(i * kPagePositions + slot);
  switch (b.format) {
    case KvFormat::kF32: return static_cast<const float*>(b.data)[at];
    case KvFormat::kF16: return f16_to_f32(static_cast<const uint16_t*>(b.data)[at]);
    case KvFormat::kI8: break;
  }
  const auto* q = static_cast<const int8_t*>(b.data);
  const void* scales = q + (head_dim_ + value_width_) * kPagePositions;
  return static_cast<const float*>(scales)[slot] * static_cast<float>(q[at]);
}

float KvCache::value(const KvBlock& b, int32_t slot, int32_t i) const {
  const auto at = static_cast<size_t>(head_dim_ * kPagePositions + slot * value_width_ + i);
  switch (b.format) {
    case KvFormat::kF32: return static_cast<const float*>(b.data)[at];
    case KvFormat::kF16: return f16_to_f32(static_cast<const uint16_t*>(b.data)[at]);
    case KvFormat::kI8: break;
  }
  const auto* q = static_cast<const int8_t*>(b.data);
  const void* scales = q + (head_dim_ + value_width_) * kPagePositions;
  return static_cast<const float*>(scales)[kPagePositions + slot] * static_cast<float>(q[at]);
}

void KvCache::export_positions(std::span<const int32_t> pages, int32_t n,
                               std::span<uint16_t> out) const {
  size_t at = 0;
  for (int32_t layer = 0; layer < n_layers_; ++layer) {
    for (int kv = 0; kv < 2; ++kv) {
      for (int32_t head = 0; head < n_kv_heads_; ++head) {
        for (int32_t p = 0; p < n; ++p) {
          const KvBlock b = block(layer, pages[static_cast<size_t>(p / kPagePositions)], head);
          const int32_t slot = p % kPagePositions;
          for (int32_t i = 0; i < head_dim_; ++i) {
            out[at++] = f32_to_f16(kv == 0 ? key(b, slot, i) : value(b, slot, i));
          }
        }
      }
    }
  }
}

void KvCache::import_positions(const KernelTable& kernels, std::span<const int32_t> pages,
                               int32_t n, std::span<const uint16_t> in) {
  const auto d = static_cast<size_t>(head_dim_);
  const size_t plane = static_cast<size_t>(n_kv_heads_) * static_cast<size_t>(n) * d;
  std::vector<float> key_vector(d), value_vector(d);
  for (int32_t layer = 0; layer < n_layers_; ++layer) {
    const uint16_t* keys = in.data() + static_cast<size_t>(layer) * 2 * plane;
    for (int32_t head = 0; head < n_kv_heads_; ++head) {
      for (int32_t p = 0; p < n; ++p) {
        const uint16_t* from = keys + (static_cast<size_t>(head) * static_cast<size_t>(n) +
                                       static_cast<size_t>(p)) * d;
        for (size_t i = 0; i < d; ++i) {
          key_vector[i] = f16_to_f32(from[i]);
          value_vector[i] = f16_to_f32(from[plane + i]);
        }
        const KvBlock b = block(layer, pages[static_cast<size_t>(p / kPagePositions)], head);
        kernels.key_write(b, p % kPagePositions, key_vector.data());
        kernels.value_write(b, p % kPagePositions, value_vector.data());
      }
    }
  }
}

}  // namespace lamina::cpu
