// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/program.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/tensor/quantize.h"

namespace lamina::vulkan {

namespace {

constexpr int32_t kMostVectorRows = 8;  // beyond that, tiles
constexpr uint32_t kTileUnits = 32, kTileRows = 64;
constexpr uint32_t kAttentionThreads = 128;
constexpr uint32_t kKvStoreThreads = 128;
constexpr uint32_t kPromptRows = 64;       // of a workgroup of attention_prompt
constexpr uint32_t kPromptHeadDim = 128;   // at most, for its registers
constexpr uint32_t kMostTopK = 256;        // MOST_K of sample.comp
constexpr uint32_t kSampleShared = 16384;  // that it needs at most
constexpr uint32_t kAttentionQueries = 8;  // of a workgroup, at most

uint32_t div_up_u32(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

uint32_t bytes_of(DType dtype) { return dtype == DType::kI8 ? 1 : dtype == DType::kF16 ? 2 : 4; }

}  // namespace

Bucket bucket_of(int32_t rows) {
  if (rows <= 1) return {Way::kFused, rows};
  if (rows > kMostVectorRows) {
    int32_t n = static_cast<int32_t>(kTileRows);
    while (n < rows) n *= 2;
    return {Way::kTile, n};
  }
  return {Way::kRows, rows <= 2 ? 2 : rows <= 4 ? 4 : 8};
}

Program::Program(const Device& device, const ModelConfig& config, const std::string& variant,
                 Pipelines& pipelines)
    : facts_(device.facts()), config_(config), variant_(" " + variant + " "), pipelines_(pipelines) {}

bool Program::variant_has(const char* word) const {
  return variant_.find(std::string(" ") + word + " ") != std::string::npos;
}

uint32_t Program::variant_number(const char* key, uint32_t otherwise) const {
  const auto at = variant_.find(std::string(" ") + key + "=");
  if (at == std::string::npos) return otherwise;
  return static_cast<uint32_t>(std::strtoul(variant_.c_str() + at + 2 + std::string(key).size(), nullptr, 10));
}

uint32_t Program::stride(Buffer b) const { return row_stride(widths_[static_cast<size_t>(b)]); }

void Program::prepare(const std::vector<PlannedOp>& plan, const std::vector<DeviceWeight>& weights,
                      const std::vector<uint64_t>& norms, const std::vector<uint64_t>& biases,
                      const std::array<int32_t, kBuffers>& widths, const Addresses& addresses,
                      const Limits& limits) {
  plan_ = &plan;
  weights_ = &weights;
  norms_ = &norms;
  biases_ = &biases;
  widths_ = widths;
  at_ = addresses;
  limits_ = limits;
  // What an answer takes, a short and a long prompt and single tokens; others are made when the
  // first step of their kind comes.
  (void)dispatches({1, 1, false, Choose::kLikeliest});
  for (const int32_t rows : {std::min(limits.max_rows, static_cast<int32_t>(kTileRows)), limits.max_rows}) {
    (void)dispatches({rows, 1, rows > 1, Choose::kNothing});
  }
  if (most_top_k() > 0) (void)dispatches({1, 1, false, Choose::kSampled});
}

std::vector<Dispatch> Program::dispatches(const StepKind& step) const {
  std::vector<Dispatch> list;
  const bool in_one = step.rows == 1 && !step.tiled_attention && layers_in_one();
  for (size_t i = 0; i < plan_->size(); ++i) {
    if (in_one && (*plan_)[i].layer >= 0) {
      if ((*plan_)[i].layer == 0 && (*plan_)[i].kind == OpKind::kQkvRope) add_layers(list);
      continue;
    }
    const int32_t n = (*plan_)[i].selected ? step.selected : step.rows;
    const size_t first = list.size();
    if (n > 0) add(list, i, bucket_of(n), step.tiled_attention);
    for (size_t d = first; d < list.size(); ++d) list[d].layer = (*plan_)[i].layer;
  }
  if (step.choose != Choose::kNothing) add_choose(list, step.choose);
  return list;
}

// A quarter of the threads: their largest logits then tell sample.comp well enough what the candidates
// are at least.
int32_t Program::most_top_k() const {
  const bool able = facts_.float64 && facts_.shared_bytes >= kSampleShared && !variant_has("no-sample");
  return able ? static_cast<int32_t>(std::min(kMostTopK, choose_threads() / 4)) : 0;
}

uint32_t Program::choose_threads() const { return std::min(1024u, facts_.max_invocations); }

void Program::add_choose(std::vector<Dispatch>& list, Choose choose) const {
  Shape s;
  s[kThreads] = choose_threads();
  s[kSubgroup] = facts_.subgroup;
  s[kNOut] = static_cast<uint32_t>(widths_[static_cast<size_t>(Buffer::kLogits)]);
  Dispatch d{};
  d.pipeline = pipelines_.request(choose == Choose::kSampled ? "sample" : "argmax", s);
  d.kind = OpKind::kLogits;
  d.x = d.y = 1;
  d.choose = {at_.buffers[static_cast<size_t>(Buffer::kLogits)], at_.head, at_.rows, at_.tokens, at_.choice};
  d.push_bytes = sizeof(ChoosePush);
  list.push_back(d);
}

Shape Program::shape_of(const PlannedOp& op) const {
  Shape s;
  const WeightView& w = op.weight;
  const bool i8 = w.dtype == DType::kI8;
  s[kThreads] = std::min(variant_number("threads", facts_.software ? 64 : i8 ? 512 : 256),
                         facts_.max_invocations);
  s[kSubgroup] = facts_.subgroup;
  s[kCols] = static_cast<uint32_t>(w.cols);
  s[kNOut] = static_cast<uint32_t>(op.kind == OpKind::kGateUpSilu ? w.rows / 2 : w.rows);
  s[kUnits] = static_cast<uint32_t>((w.rows + 1) / 2);
  s[kRowWords4] = static_cast<uint32_t>(w.row_bytes() / 16);
  s[kBlock] = w.dtype == DType::kI8 ? static_cast<uint32_t>(activation_block(w)) : 128;
  s[kGroup] = static_cast<uint32_t>(w.group);
  s[kM] = 1;
  s[kU] = variant_number("u", 1);
  s[kHeadDim] = static_cast<uint32_t>(config_.head_dim);
  s[kNHeads] = static_cast<uint32_t>(config_.n_heads);
  s[kNKvHeads] = static_cast<uint32_t>(config_.n_kv_heads);
  s.set(kEps, config_.rms_norm_eps);
  s[kXStride] = op.in == Buffer::kNone ? 4 : stride(op.in);
  s[kOutStride] = stride(op.out);
  s[kNorm] = op.norm != nullptr;
  s[kGather] = op.gather;
  s[kKvType] = limits_.kv_type;
  s[kUnroll] = std::min(variant_number("unroll", 4), div_up_u32(s[kRowWords4], s[kSubgroup]));
  s[kShuffle] = !variant_has("no-shuffle") && facts_.subgroup >= s[kBlock] / 4;
  s[kBias] = op.bias != nullptr;
  s[kValuesAt] = limits_.values_at;
  s.set(kScale, 1.0f / std::sqrt(static_cast<float>(config_.head_dim)));
  s[kMaxSplits] = limits_.max_splits;
  return s;
}

// Whether a workgroup's copy of a row of x fits its shared memory.
bool Program::fits_fused(const PlannedOp& op) const {
  const auto row_bytes = static_cast<uint32_t>(op.weight.row_bytes());
  const uint32_t needs = op.weight.dtype == DType::kI8
                             ? 3 * row_bytes + 1024  // values, scales, each word's largest
                             : row_bytes / bytes_of(op.weight.dtype) * 4 + 1024;
  return needs <= facts_.shared_bytes && !variant_has("no-fused");
}

void Program::add(std::vector<Dispatch>& list, size_t i, Bucket bucket, bool tiled_attention) const {
  const PlannedOp& op = (*plan_)[i];
  if (op.kind == OpKind::kAttention) return add_attention(list, op, tiled_attention);
  if (is_matmul(op.kind)) return add_matmul(list, i, bucket);
  const bool embed = op.kind == OpKind::kEmbed;
  Shape s = shape_of(op);
  if (!embed) {
    s[kCols] = static_cast<uint32_t>(widths_[static_cast<size_t>(op.in)]);
    s[kRowWords4] = div_up_u32(s[kCols], 4);
    s[kGather] = op.gather;
  }
  Dispatch d = dispatch(op, embed ? "embed_" + std::string(dtype_name(op.weight.dtype)) : "rms_norm", s);
  d.matmul.weights = (*weights_)[i].values;
  d.matmul.scales = (*weights_)[i].scales;
  d.matmul.norm = (*norms_)[i];
  d.x = static_cast<uint32_t>(bucket.rows);
  list.push_back(d);
}

Dispatch Program::dispatch(const PlannedOp& op, const std::string& module, const Shape& shape) const {
  Dispatch d{};
  d.pipeline = pipelines_.request(module, shape);
  d.kind = op.kind;
  d.y = 1;
  d.matmul = {};
  d.matmul.x = op.in == Buffer::kNone ? 0 : at_.buffers[static_cast<size_t>(op.in)];
  d.matmul.out = at_.buffers[static_cast<size_t>(op.out)];
  d.matmul.xq = at_.xq;
  d.matmul.xs = at_.xs;
  d.matmul.head = at_.head;
  d.matmul.rows = at_.rows;
  d.matmul.pages = at_.pages;
  d.matmul.selected = at_.selected;
  d.matmul.rope = at_.rope;
  d.push_bytes = sizeof(MatmulPush);
  return d;
}

// Whether products of many rows with this weight run on cooperative matrices.
bool Program::cooperative(const WeightView& w) const {
  if (!facts_.cooperative) return false;
  if (w.dtype == DType::kF16) return true;
  return w.dtype == DType::kI8 && (w.group == 0 || w.group == 32 || w.group == 64 || w.group == 128);
}

// Large tiles read less; small ones keep the cores busy where a matrix gives few of them. Of 128 x 128, 16
// subgroups of 32 x 32 hide more, 8 of 32 x 64 read least. "tile=1" to "tile=4" choose one, for tests.
CooperativeTile Program::cooperative_tile(const WeightView& w, int32_t rows) const {
  constexpr CooperativeTile low{64, 16, 256}, narrow{128, 16, 256}, large{128, 16, 512}, wide{128, 32, 256};
  if (w.dtype == DType::kF16 || facts_.max_invocations < large.threads) return low;
  switch (variant_number("tile", 0)) {
    case 1: return low;
    case 2: return narrow;
    case 3: return large;
    case 4: return wide;
    default: break;
  }
  if (rows <= 64) return low;
  const uint32_t units = static_cast<uint32_t>(w.rows + 1) / 2;
  const uint32_t groups = div_up_u32(static_cast<uint32_t>(rows), large.rows) *
                          div_up_u32(units, large.units(facts_.subgroup));
  if (10 * groups >= 9 * facts_.cores) return wide;
  return 2 * groups <= facts_.cores ? narrow : large;
}

void Program::add_matmul(std::vector<Dispatch>& list, size_t i, Bucket bucket) const {
  const PlannedOp& op = (*plan_)[i];
  const std::string dtype(dtype_name(op.weight.dtype));
  Shape s = shape_of(op);
  Way way = bucket.way;
  if (way == Way::kFused && !fits_fused(op)) way = Way::kRows;
  // matvec.glsl gives each of a subgroup's units and rows of x a thread to finish it.
  if (way == Way::kRows && static_cast<uint32_t>(bucket.rows) > s[kSubgroup]) way = Way::kTile;
  const bool matrices = way == Way::kTile && cooperative(op.weight);
  if (way != Way::kFused) {
    const bool split = matrices && op.weight.dtype == DType::kF16;
    Dispatch rows = dispatch(op, "prepare_rows_" + dtype + (split ? "_split" : ""), s);
    rows.matmul.norm = (*norms_)[i];
    rows.x = static_cast<uint32_t>(bucket.rows);
    list.push_back(rows);
    s[kNorm] = 0;
    s[kXStride] = 4;
  }
  const char* way_name = "_tile";
  uint32_t tile_rows = kTileRows, tile_units = kTileUnits;
  if (matrices) {
    const CooperativeTile tile = cooperative_tile(op.weight, bucket.rows);
    s[kM] = tile_rows = tile.rows;
    s[kU] = tile.subgroup_units;
    s[kThreads] = tile.threads;
    tile_units = tile.units(s[kSubgroup]);
    way_name = "_cooperative";
  } else if (way == Way::kTile) {
    s[kThreads] = 256;
  } else {
    s[kM] = static_cast<uint32_t>(way == Way::kFused ? 1 : bucket.rows);
    if (bucket.rows > 2) {
      s[kU] = 1;
      s[kUnroll] = std::min(s[kUnroll], 2u);
    }
    s[kU] = std::min(s[kU], s[kSubgroup] / s[kM]);
    way_name = way == Way::kFused ? "_fused" : "_rows";
  }
  const bool plain = op.weight.dtype == DType::kI8 && !facts_.int_dot && !matrices;
  Dispatch d = dispatch(op, std::string(op_name(op.kind)) + "_" + dtype + way_name + (plain ? "_plain" : ""), s);
  d.matmul.weights = (*weights_)[i].values;
  d.matmul.scales = (*weights_)[i].scales;
  d.matmul.bias = (*biases_)[i];
  d.matmul.norm = (*norms_)[i];
  const bool store_later = op.kind == OpKind::kQkvRope && limits_.kv_type == kKvI8;
  if (store_later) {
    d.matmul.keys = at_.fresh_kv;
  } else if (op.kind == OpKind::kQkvRope) {
    d.matmul.keys = at_.keys[static_cast<size_t>(op.layer)];
  }
  d.weight_bytes = op.weight.value_bytes() + op.weight.scale_bytes();
  if (way == Way::kTile) {
    d.x = div_up_u32(static_cast<uint32_t>(bucket.rows), tile_rows);
    d.y = div_up_u32(s[kUnits], tile_units);
  } else {
    d.x = div_up_u32(s[kUnits], s[kThreads] / s[kSubgroup] * s[kU]);
    // As many workgroups as run at a time: each makes x ready once and then walks on.
    const uint32_t waves = variant_number("waves", op.weight.dtype == DType::kI8 ? 2 : 4);
    const uint32_t resident = variant_number("resident", facts_.cores * waves);
    if (resident > 0) d.x = std::min(d.x, resident);
  }
  list.push_back(d);
  if (store_later) add_kv_store(list, op, bucket);
}

void Program::add_kv_store(std::vector<Dispatch>& list, const PlannedOp& op, Bucket bucket) const {
  Shape s;
  s[kThreads] = kKvStoreThreads;
  s[kSubgroup] = facts_.subgroup;
  s[kHeadDim] = static_cast<uint32_t>(config_.head_dim);
  s[kNKvHeads] = static_cast<uint32_t>(config_.n_kv_heads);
  s[kKvType] = limits_.kv_type;
  s[kValuesAt] = limits_.values_at;
  Dispatch d{};
  d.pipeline = pipelines_.request("kv_store", s);
  d.kind = op.kind;
  d.x = static_cast<uint32_t>(bucket.rows);
  d.y = div_up_u32(2 * s[kNKvHeads], s[kThreads] / s[kSubgroup]);
  d.kv_store = {at_.fresh_kv, at_.head, at_.rows, at_.pages, at_.keys[static_cast<size_t>(op.layer)]};
  d.push_bytes = sizeof(KvStorePush);
  list.push_back(d);
}

// The largest number of heads up to `most` that divides those that share a key/value head.
uint32_t Program::heads_together(uint32_t most) const {
  const auto group = static_cast<uint32_t>(config_.n_heads / config_.n_kv_heads);
  uint32_t heads = std::min(most, group);
  while (group % heads != 0) --heads;
  return heads;
}

// Whether rows of one sequence attend on cooperative matrices.
bool Program::prompt_attention() const {
  const auto head_dim = static_cast<uint32_t>(config_.head_dim);
  return facts_.cooperative && limits_.kv_type != kKvF32 && head_dim % 16 == 0 && head_dim <= kPromptHeadDim &&
         !variant_has("no-prompt-attention");
}

uint32_t Program::attention_rows() const {
  return prompt_attention() ? kPromptRows : kAttentionQueries / heads_together(kAttentionQueries);
}

uint32_t Program::attention_groups(bool tiled) const {
  const auto heads = static_cast<uint32_t>(config_.n_heads);
  if (tiled && prompt_attention()) return heads;
  return heads / heads_together(tiled ? kAttentionQueries : variant_number("heads", 2));
}

void Program::add_attention(std::vector<Dispatch>& list, const PlannedOp& op, bool tiled) const {
  Shape s;
  s[kHeads] = heads_together(tiled ? kAttentionQueries : variant_number("heads", 2));
  s[kRows] = tiled ? attention_rows() : 1;
  s[kThreads] = kAttentionThreads;
  s[kSubgroup] = facts_.subgroup;
  s[kHeadDim] = static_cast<uint32_t>(config_.head_dim);
  s[kNHeads] = static_cast<uint32_t>(config_.n_heads);
  s[kNKvHeads] = static_cast<uint32_t>(config_.n_kv_heads);
  s[kXStride] = stride(op.in);
  s[kOutStride] = stride(op.out);
  s[kKvType] = limits_.kv_type;
  s[kValuesAt] = limits_.values_at;
  s.set(kScale, 1.0f / std::sqrt(static_cast<float>(config_.head_dim)));
  s[kMaxSplits] = limits_.max_splits;
  Dispatch d{};
  d.pipeline = pipelines_.request(tiled && prompt_attention() ? "attention_prompt" : "attention", s);
  d.kind = op.kind;
  d.indirect = true;
  d.x = attention_groups(tiled);
  d.attention = {at_.buffers[static_cast<size_t>(op.in)], at_.buffers[static_cast<size_t>(op.out)],
                 at_.head, at_.rows, at_.pages, at_.keys[static_cast<size_t>(op.layer)], at_.partial,
                 at_.arrived};
  d.push_bytes = sizeof(AttentionPush);
  list.push_back(d);
}

}  // namespace lamina::vulkan
