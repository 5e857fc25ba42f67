// SPDX-License-Identifier: Apache-2.0
#include "web/abi/shard_store.h"

#include <cstdlib>
#include <cstring>

#include "core/base/numeric.h"

namespace lamina::abi {

namespace {

uint64_t scales_at(const TensorEntry& t) {
  return round_up(t.shape.value_bytes(), kTensorAlignment);
}

// Scales lie at multiples of kTensorAlignment.
const float* as_scales(const std::byte* at) {
  return static_cast<const float*>(static_cast<const void*>(at));
}

}  // namespace

void ShardStore::Free::operator()(std::byte* memory) const { std::free(memory); }

ShardStore::Memory ShardStore::allocate(uint64_t bytes) {
  if (bytes > SIZE_MAX / 2) return nullptr;
  const size_t rounded = round_up(static_cast<size_t>(bytes), kTensorAlignment);
  return Memory(static_cast<std::byte*>(std::aligned_alloc(kTensorAlignment, rounded)));
}

ShardStore::ShardStore(const Manifest* manifest)
    : manifest_(manifest),
      shards_(manifest->shards.size()),
      tensors_(manifest->tensors.size()),
      missing_(manifest->shards.size()) {
  for (const TensorEntry& t : manifest->tensors) {
    if (t.parts.size() == 1) continue;
    for (const TensorPart& p : t.parts) shards_[p.shard].has_parts = true;
  }
}

Result<std::byte*> ShardStore::target(size_t index) {
  if (index >= shards_.size()) {
    return make_error(Code::kInvalidArgument, "shard %zu: the model has %zu", index,
                      shards_.size());
  }
  Shard& shard = shards_[index];
  if (shard.done) {
    return make_error(Code::kInvalidArgument, "shard %zu is there already", index);
  }
  if (!shard.memory) shard.memory = allocate(manifest_->shards[index].bytes);
  if (!shard.memory) {
    return make_error(Code::kOutOfMemory,
                      "%s: its %llu bytes do not fit into the module's memory; take a smaller "
                      "model, or the WebGPU engine",
                      manifest_->shards[index].file.c_str(),
                      static_cast<unsigned long long>(manifest_->shards[index].bytes));
  }
  return shard.memory.get();
}

Result<void> ShardStore::done(size_t index) {
  if (index >= shards_.size() || (!shards_[index].memory && !shards_[index].done)) {
    return make_error(Code::kInvalidArgument, "shard %zu: its memory was not asked for", index);
  }
  Shard& shard = shards_[index];
  if (shard.done) return {};
  if (shard.has_parts) {
    LAMINA_TRY(place_parts(index));
    shard.memory.reset();
  }
  shard.done = true;
  --missing_;
  return {};
}

// Copies all that the shard holds to the tensors' own memory.
Result<void> ShardStore::place_parts(size_t index) {
  const std::byte* from = shards_[index].memory.get();
  for (size_t i = 0; i < manifest_->tensors.size(); ++i) {
    const TensorEntry& t = manifest_->tensors[i];
    for (const TensorPart& p : t.parts) {
      if (p.shard != index) continue;
      if (!tensors_[i]) tensors_[i] = allocate(scales_at(t) + t.shape.scale_bytes());
      if (!tensors_[i]) {
        return make_error(Code::kOutOfMemory, "%s does not fit into the module's memory",
                          t.name.c_str());
      }
      std::byte* to = tensors_[i].get();
      const auto begin = static_cast<size_t>(p.row_begin), rows = static_cast<size_t>(p.rows);
      const size_t row = t.shape.row_bytes(), scales = t.shape.scales_per_row() * sizeof(float);
      std::memcpy(to + begin * row, from + p.offset, rows * row);
      if (scales == 0) continue;
      std::memcpy(to + scales_at(t) + begin * scales, from + p.scale_offset, rows * scales);
    }
  }
  return {};
}

WeightMap ShardStore::weights() const {
  LAMINA_CHECK(complete());
  WeightMap weights;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const TensorEntry& t = manifest_->tensors[i];
    const TensorPart& p = t.parts[0];
    const std::byte* values = tensors_[i].get();
    const std::byte* scales = values + scales_at(t);
    if (!values) {
      const std::byte* shard = shards_[p.shard].memory.get();
      values = shard + p.offset;
      scales = shard + p.scale_offset;
    }
    const bool i8 = t.shape.dtype == DType::kI8;
    weights.insert_or_assign(t.name, WeightView{t.shape, values, i8 ? as_scales(scales) : nullptr});
  }
  return weights;
}

}  // namespace lamina::abi
