// SPDX-License-Identifier: Apache-2.0
// The ops that multiply with weights: input made ready once, then strips of weight rows by worker,
// each strip's product finished (bias, rope, gate, residual) while it is in the cache.
#include <algorithm>

#include "backends/cpu/step.h"
#include "backends/cpu/step_limits.h"
#include "core/base/numeric.h"
#include "core/tensor/quantize.h"

namespace lamina::cpu {

Step::Input Step::prepare_input(const PlannedOp& op, int worker) {
  return rows_of(op) <= kOwnRows ? own_input(op, scratch(worker)) : shared_input(op, worker);
}

// Every worker makes its own copy: cheaper than to meet at a barrier.
Step::Input Step::own_input(const PlannedOp& op, const Scratch& s) {
  const int32_t rows = rows_of(op);
  const size_t n = width(op.in);
  Input in{.x = row(op.in, 0), .x_stride = n};
  if (op.norm) {
    for (int32_t r = 0; r < rows; ++r) {
      k_.rms_norm(input_row(op, r), op.norm, static_cast<int32_t>(n), config_.rms_norm_eps,
                  s.normed + static_cast<size_t>(r) * widest_input_);
    }
    in = {.x = s.normed, .x_stride = widest_input_};
  }
  if (op.weight.dtype != DType::kI8) return in;
  const size_t stride = op.weight.row_bytes();
  for (int32_t r = 0; r < rows; ++r) {
    const auto at = static_cast<size_t>(r);
    k_.quantize_row(in.x + at * in.x_stride, static_cast<int32_t>(n), activation_block(op.weight),
                    s.q + at * stride, s.scales + at * most_blocks_, s.offsets + at * most_blocks_);
  }
  in.q = {s.q, nullptr, s.scales, s.offsets, stride, most_blocks_, rows};
  return in;
}

// Workers share the rows, tile by tile, and meet.
Step::Input Step::shared_input(const PlannedOp& op, int worker) {
  const int32_t rows = rows_of(op), tile = k_.gemm_rows;
  const size_t n = width(op.in), stride = op.weight.row_bytes();
  const bool i8 = op.weight.dtype == DType::kI8;
  const auto max_rows = static_cast<size_t>(max_rows_);
  const auto parts = static_cast<size_t>(k_.packed_parts);
  auto* q = shared_.as<int8_t>();
  auto* packed = q + max_rows * widest_row_bytes_;
  const size_t tiled = round_up(max_rows, static_cast<size_t>(tile));
  const size_t values = (max_rows + parts * tiled) * widest_row_bytes_;
  auto* scales = shared_.as<float>(values);
  auto* offsets = shared_.as<int32_t>(values + max_rows * most_blocks_ * sizeof(float));
  const Scratch s = scratch(worker);
  const Share tiles = share_of((rows + tile - 1) / tile, worker, parts_.pool->size());
  for (int32_t first = tiles.begin * tile; first < std::min(rows, tiles.end * tile);
       first += tile) {
    const int32_t end = std::min(rows, first + tile);
    for (int32_t r = first; r < end; ++r) {
      const auto at = static_cast<size_t>(r);
      const float* x = input_row(op, r);
      if (op.norm) {
        float* to = i8 ? s.normed : row(Buffer::kNormed, r);
        k_.rms_norm(x, op.norm, static_cast<int32_t>(n), config_.rms_norm_eps, to);
        x = to;
      }
      if (i8) {
        k_.quantize_row(x, static_cast<int32_t>(n), activation_block(op.weight), q + at * stride,
                        scales + at * most_blocks_, offsets + at * most_blocks_);
      }
    }
    if (i8 && rows >= k_.gemm_from) {
      const auto at = static_cast<size_t>(first);
      k_.pack_rows(q + at * stride, stride, end - first, stride, packed + at * stride * parts);
    }
  }
  parts_.pool->barrier();
  const Buffer from = op.norm ? Buffer::kNormed : op.in;
  Input in{.x = row(from, 0), .x_stride = width(from)};
  in.q = {q, packed, scales, offsets, stride, most_blocks_, rows};
  return in;
}

void Step::strip(const PlannedOp& op, const Input& in, const Scratch& s, int32_t weight_row,
                 int32_t n, int32_t x0, int32_t rows, float* tile, size_t tile_stride) {
  const WeightView& w = op.weight;
  const auto first = static_cast<size_t>(weight_row), x_at = static_cast<size_t>(x0);
  const void* values = static_cast<const std::byte*>(w.values) + first * w.row_bytes();
  if (w.dtype != DType::kI8) {
    return k_.matmul_float({values, w.row_bytes(), n, w.cols, w.dtype == DType::kF16,
                            in.x + x_at * in.x_stride, in.x_stride, rows, tile, tile_stride});
  }
  QuantizedRows x = in.q;
  x.q += x_at * x.q_stride;
  if (x.packed) x.packed += x_at * x.q_stride * static_cast<size_t>(k_.packed_parts);
  x.scales += x_at * x.block_stride;
  x.offsets += x_at * x.block_stride;
  x.rows = rows;
  k_.matmul_i8({static_cast<const int8_t*>(values), w.scales + first * w.scales_per_row(),
                w.row_bytes(), n, w.cols, activation_block(w), w.group != 0, x, tile, tile_stride,
                s.matmul});
}

// Calls f(item, first input row, input rows) for `items` parts of the weight and every slice of the
// input, as they are dealt to this worker.
template <typename F>
void Step::each_item(const PlannedOp& op, int32_t items, int worker, const F& f) {
  const int32_t rows = rows_of(op), slice = slice_rows(rows);
  const int32_t slices = (rows + slice - 1) / slice;
  Deal deal = this->deal(items * slices, worker);
  for (int32_t at = deal.next(); at >= 0; at = deal.next()) {
    const int32_t x0 = at / items * slice;
    f(at % items, x0, std::min(slice, rows - x0));
  }
}

void Step::qkv_rope(const PlannedOp& op, int worker) {
  const Input in = prepare_input(op, worker);
  const Scratch s = scratch(worker);
  const int32_t d = config_.head_dim, wide = strip_rows(op, op.weight.rows);
  each_item(op, op.weight.rows / d, worker, [&](int32_t head, int32_t x0, int32_t n_x) {
    for (int32_t i = 0; i < d; i += wide) {
      strip(op, in, s, head * d + i, std::min(wide, d - i), x0, n_x, s.tile + i, tile_width_);
    }
    store_head(op, head, s.tile, x0, n_x);
  });
}

// A head of q, k or v of some rows, from a tile to where it belongs.
void Step::store_head(const PlannedOp& op, int32_t head, float* tile, int32_t row0,
                      int32_t rows) {
  const int32_t d = config_.head_dim, n_q = config_.n_heads, n_kv = config_.n_kv_heads;
  for (int32_t t = 0; t < rows; ++t) {
    const int32_t r = row0 + t;
    const Row& where = rows_[static_cast<size_t>(r)];
    float* x = tile + static_cast<size_t>(t) * tile_width_;
    if (op.bias) k_.add(op.bias + head * d, d, x);
    if (head < n_q + n_kv) {
      const float* cos = rope_.as<float>() + static_cast<size_t>(r) * static_cast<size_t>(d);
      k_.rope(x, cos, cos + d / 2, d / 2);
    }
    if (head < n_q) {
      std::copy_n(x, d, row(op.out, r) + head * d);
      continue;
    }
    const int32_t page = row_pages_[static_cast<size_t>(r)][where.kv_index / kPagePositions];
    const bool is_key = head < n_q + n_kv;
    const KvBlock block = parts_.kv->block(op.layer, page, head - n_q - (is_key ? 0 : n_kv));
    const auto write = is_key ? k_.key_write : k_.value_write;
    write(block, where.kv_index % kPagePositions, x);
  }
}

void Step::matmul_add(const PlannedOp& op, int worker) {
  const Input in = prepare_input(op, worker);
  const Scratch s = scratch(worker);
  const int32_t n_out = op.weight.rows, wide = strip_rows(op, n_out);
  const int32_t strips = (n_out + wide - 1) / wide;
  each_item(op, strips, worker, [&](int32_t strip_at, int32_t x0, int32_t n_x) {
    const int32_t first = strip_at * wide, n = std::min(wide, n_out - first);
    strip(op, in, s, first, n, x0, n_x, s.tile, static_cast<size_t>(wide));
    k_.matmul_add(s.tile, static_cast<size_t>(wide), op.bias ? op.bias + first : nullptr, n_x, n,
                  row(op.out, x0) + first, width(op.out));
  });
}

void Step::gate_up_silu(const PlannedOp& op, int worker) {
  const Input in = prepare_input(op, worker);
  const Scratch s = scratch(worker);
  const int32_t n_out = op.weight.rows / 2, wide = strip_rows(op, n_out);
  const auto stride = static_cast<size_t>(wide);
  float* up = s.tile + static_cast<size_t>(slice_rows(rows_of(op))) * stride;
  const int32_t strips = (n_out + wide - 1) / wide;
  each_item(op, strips, worker, [&](int32_t strip_at, int32_t x0, int32_t n_x) {
    const int32_t first = strip_at * wide, n = std::min(wide, n_out - first);
    strip(op, in, s, first, n, x0, n_x, s.tile, stride);
    strip(op, in, s, n_out + first, n, x0, n_x, up, stride);
    k_.gate_up_silu({s.tile, up, stride, op.bias ? op.bias + first : nullptr,
                     op.bias ? op.bias + n_out + first : nullptr, n_x, n,
                     row(op.out, x0) + first, width(op.out)});
  });
}

void Step::logits_op(const PlannedOp& op, int worker) {
  const Input in = prepare_input(op, worker);
  const Scratch s = scratch(worker);
  const int32_t n_out = op.weight.rows, wide = strip_rows(op, n_out);
  const int32_t strips = (n_out + wide - 1) / wide;
  each_item(op, strips, worker, [&](int32_t strip_at, int32_t x0, int32_t n_x) {
    const int32_t first = strip_at * wide, n = std::min(wide, n_out - first);
    strip(op, in, s, first, n, x0, n_x, s.tile, static_cast<size_t>(wide));
    for (int32_t t = 0; t < n_x; ++t) {
      float* out = row(op.out, x0 + t) + first;
      std::copy_n(s.tile + static_cast<size_t>(t * wide), n, out);
      if (op.bias) k_.add(op.bias + first, n, out);
    }
  });
}

}  // namespace lamina::cpu
