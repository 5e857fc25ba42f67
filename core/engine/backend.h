// SPDX-License-Identifier: Apache-2.0
// What an engine must do. Implementations: backends/reference, backends/cpu, backends/vulkan.
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include "core/base/result.h"
#include "core/engine/batch.h"
#include "core/engine/graph.h"
#include "core/engine/sampler.h"
#include "core/model/weights.h"

namespace lamina {

struct BackendInfo {
  std::string name;          // "cpu", "reference", "vulkan"
  std::string device;        // "AMD EPYC, 2 threads, avx512vnni"
  bool can_be_lost = false;  // with everything in its memory: the KV is worth a copy elsewhere
};

enum class KvDType : uint8_t { kF32, kF16, kI8 };  // i8: one f32 scale per position and head

std::string_view kv_dtype_name(KvDType dtype);  // "f32" "f16" "i8"

struct KvShape {
  int32_t n_pages = 0;
  KvDType dtype = KvDType::kF16;
};

struct MemoryUse {
  uint64_t weight_bytes = 0;      // read per step at most; mapped or resident
  uint64_t kv_bytes = 0;
  uint64_t activation_bytes = 0;  // buffers and scratch
};

// Not thread-safe: one thread drives a backend. A failure of earlier asynchronous work may be
// returned by any later call; kDevice means that the device is lost and nothing more will come.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual BackendInfo info() const = 0;

  // Makes ready to run `graph`: allocates, uploads or keeps views of `weights`, compiles. Steps
  // have at most `max_rows` rows, of which at most `max_logit_rows` want logits. `rope`: see
  // rope_frequencies. Called once.
  virtual Result<void> prepare(const Graph& graph, const WeightMap& weights, const KvShape& kv,
                               const RopeFrequencies& rope, int32_t max_rows,
                               int32_t max_logit_rows) = 0;

  // Runs one step. Allocates nothing.
  virtual Result<void> submit(const Batch& batch) = 0;

  // Waits for the step and gives its output.
  virtual Result<StepOutput> read() = 0;

  // Decoding that need not come back to the host for each token: runs the batch's one row, then
  // `steps` - 1 more, each with the token that `choice` takes from the logits of the one before, and
  // gives the tokens, which stay valid until the next call. REQUIRES: steps <= most_steps(choice), and
  // the sequence's pages hold them all; units for all steps unless choice.likeliest().
  // most_steps() is 0 where the backend can't choose so; units don't count there.
  virtual int32_t most_steps(const TokenChoice&) const { return 0; }
  virtual Result<std::span<const int32_t>> decode(const Batch&, int32_t, const TokenChoice&) {
    return make_error(Code::kUnsupported, "this backend decodes one token at a time");
  }

  // The first n_positions positions held by `pages`, as f16 [layer][k|v][kv_head][position]
  // [head_dim]; `out`/`in` has exactly kv_export_size(config, n_positions) values.
  virtual Result<void> export_kv(std::span<const int32_t> pages, int32_t n_positions,
                                 std::span<uint16_t> out) = 0;
  virtual Result<void> import_kv(std::span<const int32_t> pages, int32_t n_positions,
                                 std::span<const uint16_t> in) = 0;

  virtual MemoryUse memory() const = 0;
};

// What every backend checks before a step: ids, places and counts in range.
Result<void> validate_batch(const Batch& batch, const ModelConfig& config, int32_t n_pages,
                            int32_t max_rows, int32_t max_logit_rows);
// And before KV is exported or imported: the pages are there and hold n_positions.
Result<void> validate_pages(std::span<const int32_t> pages, int32_t n_positions, int32_t n_pages);

// How many of n_positions, laid out from the first page on, lie in page number `page`.
inline int32_t page_positions(int32_t n_positions, size_t page) {
  return std::min(kPageSize, n_positions - static_cast<int32_t>(page) * kPageSize);
}

inline size_t kv_export_size(const ModelConfig& c, int32_t n_positions) {
  return static_cast<size_t>(c.n_layers) * 2 * static_cast<size_t>(c.kv_width()) *
         static_cast<size_t>(n_positions);
}

}  // namespace lamina
