// SPDX-License-Identifier: Apache-2.0
// One step of work for a backend: rows of many sequences, each at its own place.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lamina {

constexpr int32_t kPageSize = 64;  // positions per KV page

struct Row {
  int32_t token = 0;
  int32_t position = 0;   // for RoPE; keeps growing when the cache slides
  int32_t kv_index = 0;   // where its K and V go in the sequence's block table; it attends to
                          // 0..kv_index
  int32_t sequence = 0;   // index into Batch::sequences
  bool wants_logits = false;
};

struct BatchSequence {
  std::span<const int32_t> pages;  // block table: kv_index i lies in pages[i / kPageSize]
};

// REQUIRES: rows of one sequence are adjacent, with kv_index rising by one; pages cover them.
// Decode of many, prefill of one and verification of drafts are all this.
struct Batch {
  std::vector<Row> rows;
  std::vector<BatchSequence> sequences;

  void clear() { rows.clear(); sequences.clear(); }
};

// What a step gave. Valid until the next submit.
struct StepOutput {
  std::span<const float> logits;  // [rows that wanted them, in row order][vocab]
};

}  // namespace lamina
