// SPDX-License-Identifier: Apache-2.0
#include "core/model/manifest_check.h"

#include <algorithm>
#include <limits>
#include <set>

namespace lamina {

namespace {

struct Region {
  uint32_t shard;
  uint64_t begin, end;
  const std::string* tensor;
};

class Checker {
 public:
  Checker(const Manifest& m, std::string_view what) : m_(m), what_(what) {}

  Result<void> run() {
    LAMINA_TRY(check_names());
    LAMINA_TRY(check_set());
    for (const TensorEntry& t : m_.tensors) LAMINA_TRY(check_parts(t));
    LAMINA_TRY(check_overlap());
    return check_layers();
  }

 private:
  Error fail(const std::string& about, const std::string& message) const {
    return make_error(Code::kInvalidModel, "%s: %s: %s", what_.c_str(), quote(about).c_str(),
                      message.c_str());
  }

  Result<void> check_names() const {
    std::set<std::string_view> seen{m_.tokenizer.file};
    for (const FileEntry& f : m_.files) {
      if (!seen.insert(f.file).second) return fail(f.file, "listed twice");
    }
    return {};
  }

  // Every tensor of the config once, with its shape, and no other.
  Result<void> check_set() const {
    std::map<std::string_view, const TensorEntry*> given;
    for (const TensorEntry& t : m_.tensors) {
      if (!given.emplace(t.name, &t).second) return fail(t.name, "tensor listed twice");
    }
    const std::vector<NamedShape> wanted = model_tensors(m_.config, DType::kI8, 0);
    for (const NamedShape& want : wanted) {
      const auto found = given.find(want.name);
      if (found == given.end()) return fail(want.name, "tensor missing");
      LAMINA_TRY(check_shape(found->second->shape, want));
      given.erase(found);
    }
    if (given.empty()) return {};
    return fail(std::string(given.begin()->first), "tensor is not part of such a model");
  }

  Result<void> check_shape(const WeightShape& s, const NamedShape& want) const {
    if (s.rows != want.shape.rows || s.cols != want.shape.cols) {
      return make_error(Code::kInvalidModel, "%s: %s: shape is [%d, %d], config asks [%d, %d]",
                        what_.c_str(), want.name.c_str(), s.rows, s.cols, want.shape.rows,
                        want.shape.cols);
    }
    // Asked for i8, the list leaves only norms and biases f32.
    if (want.shape.dtype == DType::kF32 && s.dtype != DType::kF32) {
      return fail(want.name, "norms and biases must be f32");
    }
    return {};
  }

  // In 64 bits: size_t has 32 in browsers, and shape's own functions may wrap there.
  static uint64_t row_bytes(const WeightShape& s) { return s.row_bytes(); }
  static uint64_t scale_row_bytes(const WeightShape& s) { return uint64_t{4} * s.scales_per_row(); }

  Result<void> check_parts(const TensorEntry& t) {
    const uint64_t total = row_bytes(t.shape) * static_cast<uint64_t>(t.shape.rows);
    if (total > std::numeric_limits<size_t>::max() / 2) {
      return make_error(Code::kResourceExhausted, "%s: %s: %llu bytes exceed this machine's reach",
                        what_.c_str(), t.name.c_str(), static_cast<unsigned long long>(total));
    }
    int64_t next_row = 0;
    for (const TensorPart& p : t.parts) {
      if (p.row_begin != next_row) return fail(t.name, "parts do not follow each other row by row");
      next_row += p.rows;
      const auto rows = static_cast<uint64_t>(p.rows);
      LAMINA_TRY(add_region(t, p.shard, p.offset, rows * row_bytes(t.shape)));
      if (t.shape.dtype != DType::kI8) continue;
      LAMINA_TRY(add_region(t, p.shard, p.scale_offset, rows * scale_row_bytes(t.shape)));
    }
    if (next_row == t.shape.rows) return {};
    return fail(t.name, "parts hold " + std::to_string(next_row) + " of " +
                            std::to_string(t.shape.rows) + " rows");
  }

  Result<void> add_region(const TensorEntry& t, uint32_t shard, uint64_t offset, uint64_t bytes) {
    if (shard >= m_.shards.size()) {
      return fail(t.name, "names shard " + std::to_string(shard) + " of " +
                              std::to_string(m_.shards.size()));
    }
    if (offset % kTensorAlignment != 0) {
      return fail(t.name, "offset " + std::to_string(offset) + " is not a multiple of 256");
    }
    const uint64_t end = offset + bytes;  // both below 2^52
    if (end > m_.shards[shard].bytes) {
      return fail(t.name, "ends at byte " + std::to_string(end) + ", beyond " +
                              m_.shards[shard].file + " of " +
                              std::to_string(m_.shards[shard].bytes) + " bytes");
    }
    regions_.push_back({shard, offset, end, &t.name});
    return {};
  }

  Result<void> check_overlap() {
    std::sort(regions_.begin(), regions_.end(), [](const Region& a, const Region& b) {
      return a.shard != b.shard ? a.shard < b.shard : a.begin < b.begin;
    });
    for (size_t i = 1; i < regions_.size(); ++i) {
      const Region& before = regions_[i - 1];
      if (before.shard == regions_[i].shard && before.end > regions_[i].begin) {
        return fail(*regions_[i].tensor,
                    "overlaps " + *before.tensor + " in " + m_.shards[before.shard].file);
      }
    }
    return {};
  }

  Result<void> check_layers() const {
    if (m_.layers.size() != static_cast<size_t>(m_.config.n_layers)) {
      return fail("layers", "has " + std::to_string(m_.layers.size()) + " entries for " +
                                std::to_string(m_.config.n_layers) + " layers");
    }
    std::map<std::string, std::string> precision;
    for (const TensorEntry& t : m_.tensors) {
      precision[t.name] = precision_name(t.shape.dtype, t.shape.group);
    }
    for (size_t n = 0; n < m_.layers.size(); ++n) {
      const std::string prefix = "layers." + std::to_string(n) + ".";
      for (const char* name : {"qkv", "attention_out", "gate_up", "down"}) {
        const bool attention = name[0] == 'q' || name[0] == 'a';
        const std::string& said = attention ? m_.layers[n].attention : m_.layers[n].mlp;
        if (precision[prefix + name] != said) {
          return fail(prefix + name,
                      "is " + precision[prefix + name] + ", but layers says " + quote(said));
        }
      }
    }
    return {};
  }

  const Manifest& m_;
  std::string what_;
  std::vector<Region> regions_;
};

}  // namespace

Result<void> check_manifest(const Manifest& manifest, std::string_view what) {
  return Checker(manifest, what).run();
}

}  // namespace lamina
