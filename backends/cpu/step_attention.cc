// SPDX-License-Identifier: Apache-2.0
// Attention over units: a run of rows of one sequence with one kv head. With fewer units than would
// keep all workers busy, the chunks of a unit's pages are spread too and merged in order; the sums
// are the same either way.
#include <algorithm>
#include <cmath>

#include "backends/cpu/step.h"
#include "backends/cpu/step_limits.h"

namespace lamina::cpu {

namespace {

constexpr int32_t kChunkPositions = kChunkPages * kPagePositions;

int32_t chunks_of(int32_t positions) { return (positions + kChunkPositions - 1) / kChunkPositions; }

}  // namespace

bool Step::plan_attention() const {
  const int32_t workers = parts_.pool->size(), units = n_runs_ * config_.n_kv_heads;
  if (units % workers == 0 || units >= 4 * workers) return false;
  int32_t longest = 0;
  for (int32_t i = 0; i < n_runs_; ++i) {
    const RowRun& run = runs_[static_cast<size_t>(i)];
    longest = std::max(longest, run.first_length + run.rows - 1);
  }
  const int64_t slots = int64_t{units} * chunks_of(longest);
  return longest > kChunkPositions && slots <= int64_t{workers} * kPartialsPerWorker;
}

Attention Step::attention_of(const PlannedOp& op, int32_t unit, float* scratch) const {
  const RowRun& run = runs_[static_cast<size_t>(unit / config_.n_kv_heads)];
  const int32_t head = unit % config_.n_kv_heads;
  const int32_t group = config_.n_heads / config_.n_kv_heads;
  Attention a;
  a.q = row(op.in, run.first_row) + head * group * config_.head_dim;
  a.out = row(op.out, run.first_row) + head * group * config_.head_dim;
  a.q_stride = width(op.in);
  a.out_stride = width(op.out);
  a.rows = run.rows;
  a.group = group;
  a.first_length = run.first_length;
  a.scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
  a.page_zero = parts_.kv->block(op.layer, 0, head);
  a.page_stride = parts_.kv->page_stride();
  a.pages = run.pages;
  a.scratch = scratch;
  return a;
}

void Step::attention(const PlannedOp& op, int worker) {
  if (by_chunk_) return attention_by_chunk(op, worker);
  attention_by_unit(op, worker);
}

void Step::attention_by_unit(const PlannedOp& op, int worker) {
  const Scratch s = scratch(worker);
  Deal deal = this->deal(n_runs_ * config_.n_kv_heads, worker);
  for (int32_t unit = deal.next(); unit >= 0; unit = deal.next()) {
    const Attention a = attention_of(op, unit, s.attention);
    k_.attention_begin(a);
    k_.attention_chunk(a, 0, s.result[0]);
    for (int32_t c = 1; c < chunks_of(a.first_length + a.rows - 1); ++c) {
      k_.attention_chunk(a, c, s.result[1]);
      k_.attention_merge(a, s.result[1], s.result[0]);
    }
    k_.attention_finish(a, s.result[0]);
  }
}

void Step::attention_by_chunk(const PlannedOp& op, int worker) {
  const Scratch s = scratch(worker);
  const int32_t units = n_runs_ * config_.n_kv_heads, workers = parts_.pool->size();
  int32_t slot = 0;  // every worker counts all (unit, chunk) and takes its own
  for (int32_t unit = 0; unit < units; ++unit) {
    const Attention a = attention_of(op, unit, s.attention);
    bool begun = false;
    for (int32_t c = 0; c < chunks_of(a.first_length + a.rows - 1); ++c, ++slot) {
      if (slot % workers != worker) continue;
      if (!begun) k_.attention_begin(a);
      begun = true;
      k_.attention_chunk(a, c, partial_.as<float>() + static_cast<size_t>(slot) * result_floats_);
    }
  }
  parts_.pool->barrier();
  slot = 0;
  for (int32_t unit = 0; unit < units; ++unit) {
    const Attention a = attention_of(op, unit, s.attention);
    const int32_t chunks = chunks_of(a.first_length + a.rows - 1);
    if (unit % workers == worker) {
      float* first = partial_.as<float>() + static_cast<size_t>(slot) * result_floats_;
      for (int32_t c = 1; c < chunks; ++c) {
        k_.attention_merge(a, first + static_cast<size_t>(c) * result_floats_, first);
      }
      k_.attention_finish(a, first);
    }
    slot += chunks;
  }
}

}  // namespace lamina::cpu
