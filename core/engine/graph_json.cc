// SPDX-License-Identifier: Apache-2.0
#include "core/engine/graph_json.h"

#include <cstddef>
#include <vector>

#include "core/base/json.h"
#include "core/engine/llama.h"
#include "core/engine/plan.h"

namespace lamina {

namespace {

constexpr int kGraphTableVersion = 1;

// Weights without values: each is given an address of its own, by which the plan's ops are told
// apart. Nobody reads there.
class Tags {
 public:
  explicit Tags(const Manifest& manifest) : places_(manifest.tensors.size()) {
    for (size_t i = 0; i < places_.size(); ++i) {
      const TensorEntry& t = manifest.tensors[i];
      WeightView& view = weights_[t.name];
      static_cast<WeightShape&>(view) = t.shape;
      view.values = &places_[i];
    }
  }

  const WeightMap& weights() const { return weights_; }
  int64_t index_of(const void* values) const {
    return values ? static_cast<const float*>(values) - places_.data() : -1;
  }

 private:
  std::vector<float> places_;  // as aligned as the values of any weight must be to be pointed at
  WeightMap weights_;
};

void write_config(JsonWriter& json, const ModelConfig& c, int32_t context) {
  json.key("config").begin_object();
  json.member("hidden", c.hidden_size).member("intermediate", c.intermediate_size);
  json.member("layers", c.n_layers).member("heads", c.n_heads).member("kvHeads", c.n_kv_heads);
  json.member("headDim", c.head_dim).member("vocab", c.vocab_size);
  json.member("maxPositions", c.max_positions).member("context", context);
  json.member("eps", static_cast<double>(c.rms_norm_eps)).end_object();
}

void write_rope(JsonWriter& json, const RopeFrequencies& rope) {
  json.key("rope").begin_object().key("invFreq").begin_array();
  for (const float f : rope.inv_freq) json.value(static_cast<double>(f));
  json.end_array().member("attentionFactor", static_cast<double>(rope.attention_factor)).end_object();
}

void write_buffers(JsonWriter& json, const Graph& graph) {
  json.key("buffers").begin_object();
  for (int b = 0; b < kBuffers; ++b) {
    json.member(buffer_name(static_cast<Buffer>(b)), graph.buffer_width[static_cast<size_t>(b)]);
  }
  json.end_object();
}

void write_shards(JsonWriter& json, const Manifest& manifest) {
  json.key("shards").begin_array();
  for (const ShardEntry& s : manifest.shards) {
    json.begin_object().member("file", s.file).member("bytes", s.bytes);
    json.member("sha256", s.sha256).end_object();
  }
  json.end_array();
}

void write_weights(JsonWriter& json, const Manifest& manifest) {
  json.key("weights").begin_array();
  for (const TensorEntry& t : manifest.tensors) {
    json.begin_object().member("name", t.name).member("dtype", dtype_name(t.shape.dtype));
    json.member("rows", t.shape.rows).member("cols", t.shape.cols).member("group", t.shape.group);
    json.member("rowBytes", static_cast<uint64_t>(t.shape.row_bytes()));
    json.member("scalesPerRow", static_cast<uint64_t>(t.shape.scales_per_row()));
    json.key("parts").begin_array();
    for (const TensorPart& p : t.parts) {
      json.begin_object().member("shard", p.shard).member("offset", p.offset);
      json.member("scaleOffset", p.scale_offset).member("rowBegin", p.row_begin);
      json.member("rows", p.rows).end_object();
    }
    json.end_array().end_object();
  }
  json.end_array();
}

void write_op(JsonWriter& json, const PlannedOp& op, const Tags& tags) {
  json.begin_object().member("kind", op_name(op.kind)).member("layer", op.layer);
  json.member("in", buffer_name(op.in)).member("out", buffer_name(op.out));
  json.member("weight", tags.index_of(op.weight.values)).member("bias", tags.index_of(op.bias));
  json.member("norm", tags.index_of(op.norm));
  json.member("selected", op.selected).member("gather", op.gather).end_object();
}

}  // namespace

Result<std::string> graph_json(const Manifest& manifest, int32_t context) {
  if (context < 1) {
    return make_error(Code::kInvalidArgument, "context is %d, must be at least 1", context);
  }
  const Tags tags(manifest);
  LAMINA_ASSIGN(const Graph graph, build_llama(manifest.config, tags.weights()));
  LAMINA_ASSIGN(const std::vector<PlannedOp> plan, make_plan(graph, tags.weights()));
  JsonWriter json;
  json.begin_object().member("version", kGraphTableVersion);
  write_config(json, manifest.config, context);
  write_rope(json, rope_frequencies(manifest.config, context));
  write_buffers(json, graph);
  write_shards(json, manifest);
  write_weights(json, manifest);
  json.key("ops").begin_array();
  for (const PlannedOp& op : plan) write_op(json, op, tags);
  return json.end_array().end_object().take();
}

}  // namespace lamina
