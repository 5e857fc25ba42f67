// SPDX-License-Identifier: Apache-2.0
#include "native/convert/shard_plan.h"

#include <algorithm>

namespace lamina {

namespace {

constexpr int32_t kRowStep = 64;  // a divided tensor is cut at multiples of this many rows
constexpr size_t kMaxShards = 1 << 16;

uint64_t values_bytes(const WeightShape& s, int32_t rows) {
  return round_up(static_cast<uint64_t>(rows) * s.row_bytes(), kTensorAlignment);
}

uint64_t part_bytes(const WeightShape& s, int32_t rows) {
  const uint64_t scales = static_cast<uint64_t>(rows) * s.scales_per_row() * sizeof(float);
  return values_bytes(s, rows) + round_up(scales, kTensorAlignment);
}

// The most rows whose part has at most `limit` bytes.
int32_t rows_within(const WeightShape& s, uint64_t limit) {
  int32_t low = 0, high = s.rows;
  while (low < high) {
    const int32_t middle = low + (high - low + 1) / 2;
    if (part_bytes(s, middle) <= limit)
      low = middle;
    else
      high = middle - 1;
  }
  return low >= kRowStep && low < s.rows ? low - low % kRowStep : low;
}

class Planner {
 public:
  explicit Planner(uint64_t limit) : limit_(limit) {}

  Result<ShardPlan> run(const std::vector<NamedShape>& tensors) {
    for (size_t i = 0; i < tensors.size();) {
      size_t end = i;
      uint64_t bytes = 0;
      for (; end < tensors.size() && tensors[end].layer == tensors[i].layer; ++end) {
        bytes += part_bytes(tensors[end].shape, tensors[end].shape.rows);
      }
      if (!fits(bytes)) close();
      for (; i < end; ++i) LAMINA_TRY(place(tensors[i]));
    }
    close();
    if (plan_.shard_bytes.size() > kMaxShards) {
      return make_error(Code::kInvalidArgument,
                        "shards of %llu bytes make %zu of them, at most %zu; choose larger ones",
                        static_cast<unsigned long long>(limit_), plan_.shard_bytes.size(),
                        kMaxShards);
    }
    return std::move(plan_);
  }

 private:
  bool fits(uint64_t bytes) const { return used_ + bytes <= limit_; }

  void close() {
    if (used_ > 0) plan_.shard_bytes.push_back(used_);
    used_ = 0;
  }

  void append(TensorEntry* t, int32_t begin, int32_t rows) {
    TensorPart p;
    p.shard = static_cast<uint32_t>(plan_.shard_bytes.size());
    p.offset = used_;
    if (t->shape.dtype == DType::kI8) p.scale_offset = used_ + values_bytes(t->shape, rows);
    p.row_begin = begin;
    p.rows = rows;
    used_ += part_bytes(t->shape, rows);
    t->parts.push_back(p);
  }

  Result<void> place(const NamedShape& tensor) {
    TensorEntry t{tensor.name, tensor.shape, {}};
    const int32_t rows = t.shape.rows;
    if (!fits(part_bytes(t.shape, rows))) close();
    for (int32_t begin = 0; begin < rows;) {
      WeightShape rest = t.shape;
      rest.rows = rows - begin;
      const int32_t n = rows_within(rest, limit_ - used_);
      if (n == 0) {
        return make_error(Code::kInvalidArgument,
                          "shards of %llu bytes cannot hold a row of %s, which has %llu",
                          static_cast<unsigned long long>(limit_), t.name.c_str(),
                          static_cast<unsigned long long>(part_bytes(t.shape, 1)));
      }
      append(&t, begin, n);
      begin += n;
      if (begin < rows) close();
    }
    plan_.tensors.push_back(std::move(t));
    return {};
  }

  const uint64_t limit_;
  uint64_t used_ = 0;  // of the shard being filled
  ShardPlan plan_;
};

}  // namespace

uint64_t ShardPlan::total_bytes() const {
  uint64_t total = 0;
  for (uint64_t bytes : shard_bytes) total += bytes;
  return total;
}

Result<ShardPlan> plan_shards(const std::vector<NamedShape>& tensors, uint64_t limit) {
  return Planner(limit).run(tensors);
}

}  // namespace lamina
