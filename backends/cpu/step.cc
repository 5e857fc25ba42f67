// SPDX-License-Identifier: Apache-2.0
// Memory, batch intake and the loop over ops. The ops themselves: step_matmul.cc and
// step_attention.cc.
#include "backends/cpu/step.h"

#include <algorithm>
#include <new>

#include "backends/cpu/step_limits.h"
#include "core/base/numeric.h"
#include "core/tensor/quantize.h"

namespace lamina::cpu {

Step::Step(const Parts& parts, int32_t max_rows, int32_t max_logit_rows)
    : parts_(parts),
      k_(*parts.kernels),
      config_(parts.graph->config),
      max_rows_(max_rows),
      max_logit_rows_(max_logit_rows) {}

Result<std::unique_ptr<Step>> Step::create(const Parts& parts, int32_t max_rows,
                                           int32_t max_logit_rows) {
  std::unique_ptr<Step> step(new (std::nothrow) Step(parts, max_rows, max_logit_rows));
  if (!step) return make_error(Code::kOutOfMemory, "CPU step");
  LAMINA_TRY(step->allocate());
  return step;
}

Result<void> Step::allocate() {
  const auto rows = static_cast<size_t>(max_rows_);
  for (const PlannedOp& op : *parts_.plan) {
    if (!is_matmul(op.kind)) continue;
    widest_input_ = std::max(widest_input_, round_up(width(op.in), kVectorFloats));
    if (op.weight.dtype != DType::kI8) continue;
    const auto block = static_cast<size_t>(activation_block(op.weight));
    widest_row_bytes_ = std::max(widest_row_bytes_, op.weight.row_bytes());
    most_blocks_ = std::max(most_blocks_, div_up(static_cast<size_t>(op.weight.cols), block));
  }
  most_blocks_ = round_up(most_blocks_, kVectorFloats);
  // A head of q, k or v, or a strip of gate beside one of up.
  tile_width_ = std::max(round_up(static_cast<size_t>(config_.head_dim), kStripRows),
                         size_t{2} * kStripRows);
  const int32_t group = config_.n_heads / config_.n_kv_heads;
  pairs_ = std::max(group, kAttentionPairs / group * group);
  result_floats_ = round_up(static_cast<size_t>(pairs_) * k_.attention_record(config_.head_dim),
                            kVectorFloats);

  for (int b = 0; b < kBuffers; ++b) {
    const auto buffer = static_cast<Buffer>(b);
    const auto n = buffer == Buffer::kLogits ? static_cast<size_t>(max_logit_rows_) : rows;
    LAMINA_ASSIGN(buffers_[b], AlignedBuffer::create(n * width(buffer) * sizeof(float) + kSlack,
                                                     "activations"));
  }
  LAMINA_ASSIGN(rope_, AlignedBuffer::create(
                           rows * static_cast<size_t>(config_.head_dim) * sizeof(float) + kSlack,
                           "rotary positions"));
  const size_t tiled = round_up(rows, static_cast<size_t>(k_.gemm_rows));
  const auto parts = static_cast<size_t>(k_.packed_parts);
  LAMINA_ASSIGN(shared_, AlignedBuffer::create((rows + parts * tiled) * widest_row_bytes_ +
                                                   rows * most_blocks_ * 2 * sizeof(float),
                                               "quantized activations"));
  const auto workers = static_cast<size_t>(parts_.pool->size());
  lay_out(nullptr, &scratch_bytes_);
  scratch_bytes_ = round_up(scratch_bytes_, 4096);
  LAMINA_ASSIGN(scratch_, AlignedBuffer::create(workers * scratch_bytes_, "scratch"));
  const size_t slots = workers * kPartialsPerWorker;
  LAMINA_ASSIGN(partial_, AlignedBuffer::create(
                              workers > 1 ? slots * result_floats_ * sizeof(float) : 0,
                              "attention partials"));
  rows_.resize(rows);
  row_pages_.resize(rows);
  selected_.resize(static_cast<size_t>(max_logit_rows_));
  runs_.resize(rows);
  op_cursors_.resize(workers);
  if (!cursors_.allocate(parts_.pool->size())) {
    return make_error(Code::kOutOfMemory, "CPU step");
  }
  return {};
}

// Lays a worker's memory out from `base` on, which may be null to learn its size.
Step::Scratch Step::lay_out(std::byte* base, size_t* size) const {
  *size = 0;
  const auto take = [&](size_t bytes) -> void* {
    std::byte* p = base ? base + *size : nullptr;
    *size += round_up(bytes, kRowAlignment);
    return p;
  };
  const auto slice = round_up(static_cast<size_t>(std::min(max_rows_, kSliceRows)),
                              static_cast<size_t>(k_.gemm_rows));
  Scratch s;
  s.normed = static_cast<float*>(take(kOwnRows * widest_input_ * sizeof(float)));
  s.q = static_cast<int8_t*>(take(kOwnRows * widest_row_bytes_));
  s.scales = static_cast<float*>(take(kOwnRows * most_blocks_ * sizeof(float)));
  s.offsets = static_cast<int32_t*>(take(kOwnRows * most_blocks_ * sizeof(int32_t)));
  const auto lone = static_cast<size_t>(2 * k_.gemm_rows * k_.strip_rows);
  s.tile = static_cast<float*>(take(std::max(slice * tile_width_, lone) * sizeof(float)));
  s.matmul = take(k_.matmul_i8_scratch(widest_row_bytes_));
  s.attention =
      static_cast<float*>(take(k_.attention_scratch(pairs_, config_.head_dim) * sizeof(float)));
  for (float*& result : s.result) {
    result = static_cast<float*>(take(result_floats_ * sizeof(float)));
  }
  return s;
}

Step::Scratch Step::scratch(int worker) const {
  size_t size;
  return lay_out(scratch_.data() + static_cast<size_t>(worker) * scratch_bytes_, &size);
}

void Step::load(const Batch& batch) {
  n_rows_ = static_cast<int32_t>(batch.rows.size());
  n_selected_ = n_runs_ = 0;
  const int32_t group = config_.n_heads / config_.n_kv_heads;
  const int32_t run_rows = pairs_ / group;
  for (int32_t r = 0; r < n_rows_; ++r) {
    const Row& row = batch.rows[static_cast<size_t>(r)];
    rows_[static_cast<size_t>(r)] = row;
    const int32_t* pages = batch.sequences[static_cast<size_t>(row.sequence)].pages.data();
    row_pages_[static_cast<size_t>(r)] = pages;
    if (row.wants_logits) selected_[static_cast<size_t>(n_selected_++)] = r;
    const bool follows = r > 0 && rows_[static_cast<size_t>(r - 1)].sequence == row.sequence;
    RowRun* last = n_runs_ > 0 ? &runs_[static_cast<size_t>(n_runs_ - 1)] : nullptr;
    if (follows && last->rows < run_rows) {
      ++last->rows;
    } else {
      runs_[static_cast<size_t>(n_runs_++)] = {r, 1, row.kv_index + 1, pages};
    }
  }
  by_chunk_ = plan_attention();
}

void Step::run(const Batch& batch) {
  load(batch);
  run_ops(*parts_.plan);
}

void Step::run_layers(const Batch& batch, int32_t begin, int32_t end, std::span<float> hidden) {
  load(batch);
  const auto layer_of = [&](const PlannedOp& op) {
    if (op.kind == OpKind::kEmbed) return 0;
    return op.layer >= 0 ? op.layer : config_.n_layers;
  };
  const std::vector<PlannedOp>& plan = *parts_.plan;
  const auto first = std::ranges::lower_bound(plan, begin, {}, layer_of);
  const auto last = std::ranges::lower_bound(first, plan.end(), end, {}, layer_of);
  float* rows = row(Buffer::kHidden, 0);
  if (begin > 0) std::ranges::copy(hidden, rows);
  run_ops({first, last});
  std::copy_n(rows, hidden.size(), hidden.data());
}

void Step::run_ops(std::span<const PlannedOp> ops) {
  ops_ = ops;
  cursors_.reset();
  parts_.pool->run(
      [](void* step, int worker) { static_cast<Step*>(step)->work(worker); }, this);
}

void Step::work(int worker) {
  const bool timed = worker == 0 && profile_.on();
  if (timed) profile_.start();
  fill_rope(worker);
  int32_t n = 0;
  for (const PlannedOp& op : ops_) {
    if (rows_of(op) == 0) continue;
    op_cursors_[static_cast<size_t>(worker)] = cursors_.begin(n++, worker);
    run_op(op, worker);
    parts_.pool->barrier();
    if (timed) {
      const bool reads = op.kind != OpKind::kEmbed && op.weight.values;
      profile_.stop(op.kind, reads ? op.weight.value_bytes() + op.weight.scale_bytes() : 0);
    }
  }
}

Deal Step::deal(int32_t n, int worker) {
  return {op_cursors_[static_cast<size_t>(worker)], n, worker, parts_.pool->size()};
}

void Step::run_op(const PlannedOp& op, int worker) {
  switch (op.kind) {
    case OpKind::kEmbed: return embed(op, worker);
    case OpKind::kRmsNorm: return rms_norm(op, worker);
    case OpKind::kQkvRope: return qkv_rope(op, worker);
    case OpKind::kAttention: return attention(op, worker);
    case OpKind::kMatmulAdd: return matmul_add(op, worker);
    case OpKind::kGateUpSilu: return gate_up_silu(op, worker);
    case OpKind::kLogits: return logits_op(op, worker);
  }
}

void Step::embed(const PlannedOp& op, int worker) {
  const WeightView& w = op.weight;
  const Share share = share_of(n_rows_, worker, parts_.pool->size());
  for (int32_t r = share.begin; r < share.end; ++r) {
    const auto token = static_cast<size_t>(rows_[static_cast<size_t>(r)].token);
    const void* from = static_cast<const std::byte*>(w.values) + token * w.row_bytes();
    float* to = row(op.out, r);
    if (w.dtype == DType::kF32) {
      std::copy_n(static_cast<const float*>(from), w.cols, to);
    } else if (w.dtype == DType::kF16) {
      k_.dequantize_f16(static_cast<const uint16_t*>(from), w.cols, to);
    } else {
      const size_t n_scales = w.scales_per_row();
      const int32_t block = w.group == 0 ? w.cols : w.group;
      for (int32_t c = 0, g = 0; c < w.cols; c += block, ++g) {
        k_.dequantize_i8(static_cast<const int8_t*>(from) + c,
                         w.scales[token * n_scales + static_cast<size_t>(g)],
                         std::min(block, w.cols - c), to + c);
      }
    }
  }
}

void Step::fill_rope(int worker) {
  const Share share = share_of(n_rows_, worker, parts_.pool->size());
  const auto half = static_cast<size_t>(config_.head_dim / 2);
  for (int32_t r = share.begin; r < share.end; ++r) {
    float* cos = rope_.as<float>() + static_cast<size_t>(r) * 2 * half;
    parts_.rope->fill(rows_[static_cast<size_t>(r)].position, cos, cos + half);
  }
}

void Step::rms_norm(const PlannedOp& op, int worker) {
  const Share share = share_of(rows_of(op), worker, parts_.pool->size());
  for (int32_t r = share.begin; r < share.end; ++r) {
    k_.rms_norm(input_row(op, r), op.norm, static_cast<int32_t>(width(op.in)),
                config_.rms_norm_eps, row(op.out, r));
  }
}

size_t Step::width(Buffer b) const {
  return static_cast<size_t>(parts_.graph->buffer_width[static_cast<size_t>(b)]);
}

float* Step::row(Buffer b, int32_t r) const {
  return buffers_[static_cast<size_t>(b)].as<float>() + static_cast<size_t>(r) * width(b);
}

const float* Step::input_row(const PlannedOp& op, int32_t r) const {
  return row(op.in, op.gather ? selected_[static_cast<size_t>(r)] : r);
}

// Equal slices of whole packed tiles.
int32_t Step::slice_rows(int32_t rows) const {
  const int32_t slices = (rows + kSliceRows - 1) / kSliceRows;
  const auto even = static_cast<size_t>((rows + slices - 1) / slices);
  return static_cast<int32_t>(round_up(even, static_cast<size_t>(k_.gemm_rows)));
}

// Weight rows of a strip, of n_out that are dealt to the workers: no more than leave some strips for each.
int32_t Step::strip_rows(const PlannedOp& op, int32_t n_out) const {
  if (rows_of(op) > 1 || op.weight.dtype != DType::kI8) return kStripRows;
  int32_t n = k_.strip_rows;
  while (n > kStripRows && n_out / n < kStripsPerWorker * parts_.pool->size()) n /= 2;
  return n;
}

std::span<const float> Step::logits() const {
  const AlignedBuffer& b = buffers_[static_cast<size_t>(Buffer::kLogits)];
  return {b.as<float>(), static_cast<size_t>(n_selected_) * width(Buffer::kLogits)};
}

uint64_t Step::bytes() const {
  uint64_t sum = rope_.size() + shared_.size() + scratch_.size() + partial_.size();
  for (const AlignedBuffer& b : buffers_) sum += b.size();
  return sum;
}

}  // namespace lamina::cpu
