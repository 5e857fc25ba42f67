// SPDX-License-Identifier: Apache-2.0
#include "native/platform/weight_reader.h"

#include <algorithm>
#include <cstring>

#include "native/platform/parallel.h"
#include "native/platform/sha256.h"

namespace lamina {

namespace {

constexpr uint64_t kHashStep = uint64_t{1} << 20;  // read, then hashed while still in cache
constexpr uint64_t kReadStep = uint64_t{8} << 20;  // one thread's portion

// Bytes of a shard and where they belong in memory.
struct Piece {
  uint32_t shard;
  uint64_t offset;  // in the shard
  uint64_t bytes;
  std::byte* target;
};

Result<void> check_cancel(const ReadContext& context) {
  if (context.cancel == nullptr || !context.cancel->load()) return {};
  return make_error(Code::kCancelled, "loading was stopped");
}

Result<Sha256> hash_mapped(std::span<const std::byte> bytes, const ReadContext& context) {
  Sha256 sha;
  for (uint64_t at = 0; at < bytes.size(); at += kReadStep) {
    LAMINA_TRY(check_cancel(context));
    const uint64_t step = std::min<uint64_t>(kReadStep, bytes.size() - at);
    sha.update(bytes.subspan(at, step));
    if (context.advance) context.advance(step);
  }
  return sha;
}

// Offsets of scales are multiples of kTensorAlignment.
const float* as_scales(const std::byte* at) {
  return static_cast<const float*>(static_cast<const void*>(at));
}

// Where part `p` of `t` belongs in the tensor's whole values and scales.
void append_pieces(const TensorEntry& t, const TensorPart& p, const WeightView& whole,
                   std::vector<Piece>* out) {
  const auto begin = static_cast<size_t>(p.row_begin);
  const auto rows = static_cast<size_t>(p.rows);
  auto* values = static_cast<std::byte*>(const_cast<void*>(whole.values));
  out->push_back(
      {p.shard, p.offset, rows * t.shape.row_bytes(), values + begin * t.shape.row_bytes()});
  if (t.shape.dtype != DType::kI8) return;
  const size_t row_scales = t.shape.scales_per_row();
  auto* scales =
      reinterpret_cast<std::byte*>(const_cast<float*>(whole.scales + begin * row_scales));
  out->push_back({p.shard, p.scale_offset, rows * row_scales * sizeof(float), scales});
}

// Reads [offset, offset + bytes) to `target`; adds it to `sha` if there is one.
Result<void> read_range(const OpenShard& shard, uint64_t offset, uint64_t bytes, std::byte* target,
                        Sha256* sha, const ReadContext& context) {
  for (uint64_t done = 0; done < bytes; done += kHashStep) {
    LAMINA_TRY(check_cancel(context));
    const std::span<std::byte> step(target + done, std::min(kHashStep, bytes - done));
    LAMINA_TRY(read_exactly(shard.fd.get(), shard.path, offset + done, step));
    if (sha != nullptr) sha->update(step);
    if (context.advance) context.advance(step.size());
  }
  return {};
}

// Bytes between pieces count for the hash and are kept nowhere.
Result<void> hash_gap(const OpenShard& shard, uint64_t begin, uint64_t end, Sha256* sha,
                      const ReadContext& context) {
  std::vector<std::byte> scratch(std::min(kHashStep, end - begin));
  for (uint64_t at = begin; at < end; at += scratch.size()) {
    LAMINA_TRY(read_range(shard, at, std::min<uint64_t>(scratch.size(), end - at), scratch.data(),
                          sha, context));
  }
  return {};
}

// One pass over a whole shard: every piece to its place, every byte to the hash.
Result<void> read_verified(const OpenShard& shard, const ShardEntry& entry,
                           const std::vector<Piece>& pieces, const ReadContext& context) {
  Sha256 sha;
  uint64_t at = 0;
  for (const Piece& p : pieces) {
    LAMINA_TRY(hash_gap(shard, at, p.offset, &sha, context));
    LAMINA_TRY(read_range(shard, p.offset, p.bytes, p.target, &sha, context));
    at = p.offset + p.bytes;
  }
  LAMINA_TRY(hash_gap(shard, at, entry.bytes, &sha, context));
  return check_digest(shard.path, sha.hex(), entry.sha256);
}

// Work of one thread: a whole shard to be verified, or a portion of one that was verified before.
struct Task {
  size_t shard;
  std::vector<Piece> pieces;  // by offset
};

std::vector<Task> plan(const std::vector<OpenShard>& shards, std::vector<Piece> pieces) {
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
    return a.shard != b.shard ? a.shard < b.shard : a.offset < b.offset;
  });
  std::vector<Task> tasks;
  for (size_t s = 0, i = 0; s < shards.size(); ++s) {
    Task whole{s, {}};
    for (; i < pieces.size() && pieces[i].shard == s; ++i) {
      if (shards[s].verify) {
        whole.pieces.push_back(pieces[i]);
        continue;
      }
      const Piece& p = pieces[i];
      for (uint64_t at = 0; at < p.bytes; at += kReadStep) {
        const Piece portion{p.shard, p.offset + at, std::min(kReadStep, p.bytes - at),
                            p.target + at};
        tasks.push_back({s, {portion}});
      }
    }
    if (shards[s].verify) tasks.push_back(std::move(whole));
  }
  return tasks;
}

// Split tensors, assembled into one block.
Result<void> assemble(const std::vector<TensorEntry>& split, const std::vector<Mapping>& files,
                      const ReadContext& context, LoadedModel* model) {
  if (split.empty()) return {};
  LAMINA_ASSIGN(Mapping block, Mapping::anonymous(arena_bytes(split)));
  place_in_arena(split, block.data(), &model->weights);
  std::vector<Piece> pieces;
  for (const TensorEntry& t : split) {
    const WeightView& whole = model->weights.find(t.name)->second;
    for (const TensorPart& p : t.parts) append_pieces(t, p, whole, &pieces);
  }
  LAMINA_TRY(parallel_for(context.threads, pieces.size(), [&](size_t i) -> Result<void> {
    const Piece& p = pieces[i];
    std::memcpy(p.target, files[p.shard].data() + p.offset, p.bytes);
    return check_cancel(context);
  }));
  model->stats.owned_bytes += block.size();
  model->memory.push_back(std::move(block));
  return {};
}

}  // namespace

Result<void> check_digest(const std::string& path, const std::string& actual,
                          const std::string& expected) {
  if (actual == expected) return {};
  return make_error(Code::kIntegrity,
                    "%s: damaged: its SHA-256 is %s, the manifest says %s; fetch or convert the "
                    "model again",
                    path.c_str(), actual.c_str(), expected.c_str());
}

Result<std::string> hash_file(int fd, const std::string& path, uint64_t bytes,
                              const ReadContext& context) {
  Sha256 sha;
  std::vector<std::byte> block(std::min(kHashStep, bytes));
  for (uint64_t at = 0; at < bytes; at += block.size()) {
    LAMINA_TRY(check_cancel(context));
    const auto step = std::span(block).first(std::min<uint64_t>(block.size(), bytes - at));
    LAMINA_TRY(read_exactly(fd, path, at, step));
    sha.update(step);
  }
  return sha.hex();
}

uint64_t arena_bytes(const std::vector<TensorEntry>& tensors) {
  uint64_t total = 0;
  for (const TensorEntry& t : tensors) {
    total += round_up(t.shape.value_bytes(), kTensorAlignment);
    total += round_up(t.shape.scale_bytes(), kTensorAlignment);
  }
  return total;
}

void place_in_arena(const std::vector<TensorEntry>& tensors, std::byte* arena, WeightMap* weights) {
  for (const TensorEntry& t : tensors) {
    WeightView view{t.shape, arena, nullptr};
    arena += round_up(t.shape.value_bytes(), kTensorAlignment);
    if (t.shape.dtype == DType::kI8) view.scales = as_scales(arena);
    arena += round_up(t.shape.scale_bytes(), kTensorAlignment);
    weights->insert_or_assign(t.name, view);
  }
}

Result<void> map_weights(const std::vector<OpenShard>& shards, const ReadContext& context,
                         LoadedModel* model) {
  const Manifest& m = model->manifest;
  std::vector<Mapping> files;
  for (const OpenShard& s : shards) {
    LAMINA_ASSIGN(Mapping file, Mapping::of_file(s.fd.get(), s.state.size, s.path));
    files.push_back(std::move(file));
    model->stats.mapped_bytes += s.state.size;
  }
  LAMINA_TRY(parallel_for(context.threads, shards.size(), [&](size_t i) -> Result<void> {
    if (!shards[i].verify) return {};
    LAMINA_ASSIGN(Sha256 sha, hash_mapped(files[i].bytes(), context));
    return check_digest(shards[i].path, sha.hex(), m.shards[i].sha256);
  }));
  std::vector<TensorEntry> split;
  for (const TensorEntry& t : m.tensors) {
    if (t.parts.size() > 1) {
      split.push_back(t);
      continue;
    }
    const TensorPart& p = t.parts[0];
    const std::byte* base = files[p.shard].data();
    WeightView view{t.shape, base + p.offset, nullptr};
    if (t.shape.dtype == DType::kI8) {
      view.scales = as_scales(base + p.scale_offset);
    }
    model->weights.insert_or_assign(t.name, view);
  }
  LAMINA_TRY(assemble(split, files, context, model));
  for (Mapping& f : files) model->memory.push_back(std::move(f));
  return {};
}

Result<void> read_weights(const std::vector<OpenShard>& shards, const ReadContext& context,
                          LoadedModel* model) {
  const Manifest& m = model->manifest;
  LAMINA_ASSIGN(Mapping arena, Mapping::anonymous(arena_bytes(m.tensors)));
  place_in_arena(m.tensors, arena.data(), &model->weights);
  std::vector<Piece> pieces;
  for (const TensorEntry& t : m.tensors) {
    const WeightView& whole = model->weights.find(t.name)->second;
    for (const TensorPart& p : t.parts) append_pieces(t, p, whole, &pieces);
  }
  const std::vector<Task> tasks = plan(shards, std::move(pieces));
  LAMINA_TRY(parallel_for(context.threads, tasks.size(), [&](size_t i) -> Result<void> {
    const Task& task = tasks[i];
    const OpenShard& shard = shards[task.shard];
    if (shard.verify) return read_verified(shard, m.shards[task.shard], task.pieces, context);
    const Piece& p = task.pieces[0];
    return read_range(shard, p.offset, p.bytes, p.target, nullptr, context);
  }));
  model->stats.owned_bytes += arena.size();
  model->memory.push_back(std::move(arena));
  return {};
}

}  // namespace lamina
