// SPDX-License-Identifier: Apache-2.0
#include "core/engine/backend.h"

namespace lamina {

std::string_view kv_dtype_name(KvDType dtype) {
  switch (dtype) {
    case KvDType::kF32: return "f32";
    case KvDType::kF16: return "f16";
    case KvDType::kI8: return "i8";
  }
  return "?";
}

Result<void> validate_batch(const Batch& batch, const ModelConfig& config, int32_t n_pages,
                            int32_t max_rows, int32_t max_logit_rows) {
  const auto refuse = [](const char* what, int64_t value, int64_t limit) {
    return make_error(Code::kInvalidArgument, "batch: %s is %lld, must be below %lld", what,
                      static_cast<long long>(value), static_cast<long long>(limit));
  };
  if (batch.rows.empty()) return make_error(Code::kInvalidArgument, "batch: no rows");
  const auto n_rows = static_cast<int64_t>(batch.rows.size());
  if (n_rows > max_rows) return refuse("row count", n_rows, max_rows + int64_t{1});
  for (const BatchSequence& sequence : batch.sequences) {
    for (int32_t page : sequence.pages) {
      if (page < 0 || page >= n_pages) return refuse("page", page, n_pages);
    }
  }
  const auto n_sequences = static_cast<int64_t>(batch.sequences.size());
  int32_t logit_rows = 0;
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    const Row& row = batch.rows[i];
    if (row.token < 0 || row.token >= config.vocab_size) {
      return refuse("token id", row.token, config.vocab_size);
    }
    if (row.position < 0) return refuse("position", row.position, INT32_MAX);
    if (row.sequence < 0 || row.sequence >= n_sequences) {
      return refuse("sequence index", row.sequence, n_sequences);
    }
    const auto capacity =
        static_cast<int64_t>(batch.sequences[static_cast<size_t>(row.sequence)].pages.size()) *
        kPageSize;
    if (row.kv_index < 0 || row.kv_index >= capacity) {
      return refuse("kv index", row.kv_index, capacity);
    }
    const bool follows = i > 0 && batch.rows[i - 1].sequence == row.sequence;
    if (follows && row.kv_index != batch.rows[i - 1].kv_index + 1) {
      return make_error(Code::kInvalidArgument,
                        "batch: rows of sequence %d jump from kv index %d to %d", row.sequence,
                        batch.rows[i - 1].kv_index, row.kv_index);
    }
    logit_rows += row.wants_logits;
  }
  if (logit_rows > max_logit_rows) {
    return refuse("logit row count", logit_rows, max_logit_rows + int64_t{1});
  }
  return {};
}

Result<void> validate_pages(std::span<const int32_t> pages, int32_t n_positions, int32_t n_pages) {
  const auto capacity = static_cast<int64_t>(pages.size()) * kPageSize;
  if (n_positions < 0 || n_positions > capacity) {
    return make_error(Code::kInvalidArgument, "KV: %d positions do not fit %zu pages", n_positions,
                      pages.size());
  }
  for (int32_t page : pages) {
    if (page < 0 || page >= n_pages) {
      return make_error(Code::kInvalidArgument, "KV: page %d, must be below %d", page, n_pages);
    }
  }
  return {};
}

}  // namespace lamina
