// SPDX-License-Identifier: Apache-2.0
#include "web/abi/shard_store.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "backends/cpu/cpu_backend.h"
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
  layer_shards_.resize(static_cast<size_t>(manifest->config.n_layers));
  for (const NamedShape& named : model_tensors(manifest->config, DType::kF32, 0)) {
    const TensorEntry* t = manifest->find(named.name);
    const bool first = named.name == "token_embedding";
    if (!t || (named.layer < 0 && !first)) continue;
    auto& shards = layer_shards_[first ? 0 : static_cast<size_t>(named.layer)];
    for (const TensorPart& p : t->parts) shards.push_back(p.shard);
  }
}

Result<void> ShardStore::allocate_shard(size_t index) {
  Shard& shard = shards_[index];
  if (!shard.memory) shard.memory = allocate(manifest_->shards[index].bytes);
  if (shard.memory) return {};
  return make_error(Code::kOutOfMemory,
                    "%s: its %llu bytes do not fit into the module's memory; take a smaller "
                    "model, or the WebGPU engine",
                    manifest_->shards[index].file.c_str(),
                    static_cast<unsigned long long>(manifest_->shards[index].bytes));
}

Result<void> ShardStore::allocate_tensor(size_t index) {
  const TensorEntry& t = manifest_->tensors[index];
  if (!tensors_[index]) tensors_[index] = allocate(scales_at(t) + t.shape.scale_bytes());
  if (tensors_[index]) return {};
  return make_error(Code::kOutOfMemory, "%s does not fit into the module's memory", t.name.c_str());
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
  LAMINA_TRY(allocate_shard(index));
  shard.asked = true;
  return shard.memory.get();
}

Result<void> ShardStore::done(size_t index) {
  if (index >= shards_.size() || !shards_[index].asked) {
    return make_error(Code::kInvalidArgument, "shard %zu: its memory was not asked for", index);
  }
  Shard& shard = shards_[index];
  if (shard.done) return {};
  if (shard.has_parts) {
    LAMINA_TRY(copy_parts(index));
    shard.memory.reset();
  } else {
    place(index);
  }
  shard.done = true;
  --missing_;
  return {};
}

// Copies all that the shard holds to the tensors' own memory.
Result<void> ShardStore::copy_parts(size_t index) {
  const std::byte* from = shards_[index].memory.get();
  for (size_t i = 0; i < manifest_->tensors.size(); ++i) {
    const TensorEntry& t = manifest_->tensors[i];
    for (const TensorPart& p : t.parts) {
      if (p.shard != index) continue;
      LAMINA_TRY(allocate_tensor(i));
      std::byte* to = tensors_[i].get();
      const auto begin = static_cast<size_t>(p.row_begin), rows = static_cast<size_t>(p.rows);
      const size_t row = t.shape.row_bytes(), scales = t.shape.scales_per_row() * sizeof(float);
      std::memcpy(to + begin * row, from + p.offset, rows * row);
      if (t.shape.dtype == DType::kI8) cpu_place_i8({to + begin * row, rows * row});
      if (scales == 0) continue;
      std::memcpy(to + scales_at(t) + begin * scales, from + p.scale_offset, rows * scales);
    }
  }
  return {};
}

void ShardStore::place(size_t index) {
  for (const TensorEntry& t : manifest_->tensors) {
    if (t.shape.dtype != DType::kI8 || t.parts[0].shard != index) continue;
    cpu_place_i8({shards_[index].memory.get() + t.parts[0].offset, t.shape.value_bytes()});
  }
}

int32_t ShardStore::ready_layers() const {
  const auto is_there = [&](size_t shard) { return shards_[shard].done; };
  int32_t n = 0;
  for (const auto& shards : layer_shards_) {
    if (!std::ranges::all_of(shards, is_there)) break;
    ++n;
  }
  return n;
}

Result<WeightMap> ShardStore::weights() {
  WeightMap weights;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const TensorEntry& t = manifest_->tensors[i];
    const TensorPart& p = t.parts[0];
    const std::byte *values, *scales;
    if (shards_[p.shard].has_parts) {
      LAMINA_TRY(allocate_tensor(i));
      values = tensors_[i].get();
      scales = values + scales_at(t);
    } else {
      LAMINA_TRY(allocate_shard(p.shard));
      values = shards_[p.shard].memory.get() + p.offset;
      scales = shards_[p.shard].memory.get() + p.scale_offset;
    }
    const bool i8 = t.shape.dtype == DType::kI8;
    weights.insert_or_assign(t.name, WeightView{t.shape, values, i8 ? as_scales(scales) : nullptr});
  }
  return weights;
}

}  // namespace lamina::abi
