// SPDX-License-Identifier: Apache-2.0
// A model's step as dispatches: for each number of rows that a step is rounded up to, which pipelines
// run with which addresses. Recorded into command buffers once.
#pragma once

#include <compare>
#include <vector>

#include "backends/vulkan/pipelines.h"
#include "core/engine/backend.h"
#include "core/engine/plan.h"

namespace lamina::vulkan {

struct DeviceWeight {
  uint64_t values = 0;  // addresses; 0: not there
  uint64_t scales = 0;
};

// What the dispatches point to.
struct Addresses {
  std::vector<uint64_t> buffers;  // by lamina::Buffer
  uint64_t xq, xs, partial, arrived;
  uint64_t head, rows, pages, selected, rope, tokens, choice;
  std::vector<uint64_t> keys;  // by layer
  uint64_t fresh_kv;           // for an int8 cache: a step's K and V as floats
  uint64_t layers, sync;       // decode_layers.comp: its table and its counters
};

constexpr uint64_t kLayerTable = 17;  // addresses of a layer in decode_layers.comp

struct Limits {
  int32_t max_rows, max_logit_rows;
  uint32_t max_splits;
  uint32_t values_at;  // elements from a layer's keys to its values
  KvType kv_type;
  bool swapped;  // some layers have no address of their own
};

struct Dispatch {
  int pipeline;
  uint32_t x, y;
  bool indirect = false;  // sizes come from the step's head
  OpKind kind;
  bool all_layers = false;  // no op of its own, see decode_layers.comp
  int32_t layer = -1;
  uint64_t weight_bytes = 0;
  union {
    MatmulPush matmul;
    AttentionPush attention;
    KvStorePush kv_store;
    ChoosePush choose;
    DecodeLayersPush layers;
  };
  uint32_t push_bytes;
};

// How a step of so many rows is computed.
enum class Way : uint8_t { kFused, kRows, kTile };
struct Bucket {
  Way way;
  int32_t rows;  // the step's rows, rounded up
};
Bucket bucket_of(int32_t rows);

// How a workgroup of matmul_cooperative.glsl is made up. A subgroup takes 32 rows.
struct CooperativeTile {
  uint32_t rows, subgroup_units, threads;
  uint32_t units(uint32_t subgroup) const { return threads / subgroup / (rows / 32) * subgroup_units; }
};

// What becomes of the logits: the host gets them, or a token is chosen from them.
enum class Choose : uint8_t { kNothing, kLikeliest, kSampled };

// What a step is, as far as its commands depend on it.
struct StepKind {
  int32_t rows, selected;  // rounded up; selected 0: no logits at all
  bool tiled_attention;    // many rows of one sequence
  Choose choose;           // a token that becomes the next step's row
  auto operator<=>(const StepKind&) const = default;
};

class Program {
 public:
  // Words of a variant string, see VulkanOptions.
  Program(const Device& device, const ModelConfig& config, const std::string& variant,
          Pipelines& pipelines);

  // Asks for the pipelines of single tokens and of prompts. Everything pointed to outlives this.
  void prepare(const std::vector<PlannedOp>& plan, const std::vector<DeviceWeight>& weights,
               const std::vector<uint64_t>& norms, const std::vector<uint64_t>& biases,
               const std::array<int32_t, kBuffers>& widths, const Addresses& addresses,
               const Limits& limits);

  std::vector<Dispatch> dispatches(const StepKind& step) const;
  // The addresses of all layers, as decode_layers.comp reads them; empty where that kernel can't be used.
  std::vector<uint64_t> layer_table() const;

  // Rows of one sequence that a workgroup of tiled attention takes.
  uint32_t attention_rows() const;
  // Candidates that a sampled token may be drawn from; 0: the device can't sample.
  int32_t most_top_k() const;
  uint32_t attention_groups(bool tiled) const;  // of query heads that a workgroup takes

 private:
  void add(std::vector<Dispatch>& list, size_t op, Bucket bucket, bool tiled_attention) const;
  void add_matmul(std::vector<Dispatch>& list, size_t op, Bucket bucket) const;
  void add_attention(std::vector<Dispatch>& list, const PlannedOp& op, bool tiled) const;
  void add_kv_store(std::vector<Dispatch>& list, const PlannedOp& op, Bucket bucket) const;
  void add_choose(std::vector<Dispatch>& list, Choose choose) const;
  void add_layers(std::vector<Dispatch>& list) const;
  const PlannedOp& layer_op(size_t layer, size_t op) const;
  bool same_layers() const;
  uint32_t resident_workgroups() const;
  uint32_t layer_threads() const;
  uint32_t layer_heads() const;
  bool layers_in_one() const;
  uint32_t heads_together(uint32_t most) const;
  bool cooperative(const WeightView& w) const;
  CooperativeTile cooperative_tile(const WeightView& w, int32_t rows) const;
  bool prompt_attention() const;
  Dispatch dispatch(const PlannedOp& op, const std::string& module, const Shape& shape) const;
  Shape shape_of(const PlannedOp& op) const;
  bool fits_fused(const PlannedOp& op) const;
  uint32_t choose_threads() const;
  uint32_t stride(Buffer b) const;
  bool variant_has(const char* word) const;
  uint32_t variant_number(const char* key, uint32_t otherwise) const;

  const DeviceFacts& facts_;
  const ModelConfig& config_;
  std::string variant_;
  Pipelines& pipelines_;
  const std::vector<PlannedOp>* plan_ = nullptr;
  const std::vector<DeviceWeight>* weights_ = nullptr;  // by op
  const std::vector<uint64_t>* norms_ = nullptr;
  const std::vector<uint64_t>* biases_ = nullptr;
  std::array<int32_t, kBuffers> widths_{};
  Addresses at_;
  Limits limits_{};
};

// Floats between rows of a buffer of that width: whole vectors are read.
inline uint32_t row_stride(int32_t width) { return static_cast<uint32_t>((width + 15) / 16 * 16); }

}  // namespace lamina::vulkan
