// SPDX-License-Identifier: Apache-2.0
// Runs a plan over a batch on all workers of a pool. Between two ops all workers meet at a barrier;
// inside an op output rows, heads or pairs are dealt to them. Results do not depend on who computes
// what (see the kernels), so they are the same for any number of threads.
#pragma once

#include <memory>
#include <vector>

#include "backends/cpu/aligned_buffer.h"
#include "backends/cpu/deal.h"
#include "backends/cpu/kernels/kernel_table.h"
#include "backends/cpu/kv_cache.h"
#include "core/engine/plan.h"
#include "backends/cpu/profile.h"
#include "backends/cpu/thread_pool.h"
#include "core/engine/backend.h"

namespace lamina::cpu {

class Step {
 public:
  // All pointers outlive the step.
  struct Parts {
    const KernelTable* kernels;
    ThreadPool* pool;
    const Graph* graph;
    const std::vector<PlannedOp>* plan;
    KvCache* kv;
    const RopeFrequencies* rope;
  };
  static Result<std::unique_ptr<Step>> create(const Parts& parts, int32_t max_rows,
                                              int32_t max_logit_rows);

  // REQUIRES: a batch that validate_batch accepts.
  void run(const Batch& batch);
  // See CpuBackend::submit_layers.
  void run_layers(const Batch& batch, int32_t begin, int32_t end, std::span<float> hidden);

  std::span<const float> logits() const;  // of the last run
  uint64_t bytes() const;                 // of buffers and scratch
  Profile& profile() { return profile_; }

 private:
  // Rows of one sequence that attend together; pages is the sequence's block table.
  struct RowRun {
    int32_t first_row;
    int32_t rows;
    int32_t first_length;
    const int32_t* pages;
  };

  // What a matmul multiplies: rows of floats, or their quantized form.
  struct Input {
    const float* x = nullptr;
    size_t x_stride = 0;
    QuantizedRows q{};
  };

  // A worker's own memory.
  struct Scratch {
    float* normed;      // [kOwnRows][widest normed input]
    int8_t* q;          // [kOwnRows][widest weight row]
    float* scales;      // [kOwnRows][most blocks]
    int32_t* offsets;   // likewise
    float* tile;        // [rows of a slice][tile_width]
    void* matmul;       // KernelTable::matmul_i8_scratch
    float* attention;   // KernelTable::attention_scratch
    float* result[2];   // attention results of one unit
  };

  Step(const Parts& parts, int32_t max_rows, int32_t max_logit_rows);
  Result<void> allocate();
  Scratch lay_out(std::byte* base, size_t* size) const;
  Scratch scratch(int worker) const;

  void load(const Batch& batch);
  void run_ops(std::span<const PlannedOp> ops);
  void work(int worker);
  void run_op(const PlannedOp& op, int worker);
  // Items 0 .. n - 1 of the op that the worker is at, once per op.
  Deal deal(int32_t n, int worker);
  template <typename F>
  void each_item(const PlannedOp& op, int32_t items, int worker, const F& f);

  void embed(const PlannedOp& op, int worker);
  void fill_rope(int worker);
  void rms_norm(const PlannedOp& op, int worker);
  void qkv_rope(const PlannedOp& op, int worker);
  void store_head(const PlannedOp& op, int32_t head, float* tile, int32_t row0, int32_t rows);
  void matmul_add(const PlannedOp& op, int worker);
  void gate_up_silu(const PlannedOp& op, int worker);
  void logits_op(const PlannedOp& op, int worker);

  bool plan_attention() const;
  void attention(const PlannedOp& op, int worker);
  Attention attention_of(const PlannedOp& op, int32_t unit, float* scratch) const;
  void attention_by_unit(const PlannedOp& op, int worker);
  void attention_by_chunk(const PlannedOp& op, int worker);

  Input prepare_input(const PlannedOp& op, int worker);
  Input own_input(const PlannedOp& op, const Scratch& s);
  Input shared_input(const PlannedOp& op, int worker);
  // Multiplies weight rows [row, row + n) with input rows [x0, x0 + rows) into the tile.
  void strip(const PlannedOp& op, const Input& in, const Scratch& s, int32_t row, int32_t n,
             int32_t x0, int32_t rows, float* tile, size_t tile_stride);

  int32_t rows_of(const PlannedOp& op) const { return op.selected ? n_selected_ : n_rows_; }
  int32_t slice_rows(int32_t rows) const;
  int32_t strip_rows(const PlannedOp& op, int32_t n_out) const;
  size_t width(Buffer b) const;
  float* row(Buffer b, int32_t r) const;
  const float* input_row(const PlannedOp& op, int32_t r) const;

  const Parts parts_;
  std::span<const PlannedOp> ops_;  // of the run
  const KernelTable& k_;
  const ModelConfig& config_;
  const int32_t max_rows_;
  const int32_t max_logit_rows_;

  // Sizes found from the plan.
  size_t widest_input_ = 0;      // floats
  size_t widest_row_bytes_ = 0;  // of i8 weights
  size_t most_blocks_ = 0;
  size_t tile_width_ = 0;  // floats
  size_t scratch_bytes_ = 0;
  int32_t pairs_ = 0;  // of an attention unit, at most
  size_t result_floats_ = 0;

  AlignedBuffer buffers_[kBuffers];
  AlignedBuffer rope_;     // [max_rows][2][head_dim / 2]
  AlignedBuffer shared_;   // quantized rows of all workers: q, packed, scales, offsets
  AlignedBuffer scratch_;  // [workers]
  AlignedBuffer partial_;  // attention results by unit and chunk

  std::vector<Row> rows_;
  std::vector<const int32_t*> row_pages_;
  std::vector<int32_t> selected_;
  std::vector<RowRun> runs_;
  int32_t n_rows_ = 0;
  int32_t n_selected_ = 0;
  int32_t n_runs_ = 0;
  DealCursors cursors_;
  std::vector<Deal::Cursor*> op_cursors_;  // [workers], of the op that each is at
  bool by_chunk_ = false;
  Profile profile_;
};

}  // namespace lamina::cpu
