// SPDX-License-Identifier: Apache-2.0
#include "native/platform/synthetic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/base/half.h"
#include "native/platform/memory_facts.h"
#include "native/platform/parallel.h"
#include "native/platform/weight_reader.h"

namespace lamina {

namespace {

// Sixteen xorshift generators (Marsaglia, 2003) side by side, for a compiler to make vectors of.
// Seeded through splitmix64, so that near seeds give far streams.
class Xorshift {
 public:
  using Block = std::array<uint32_t, 16>;

  explicit Xorshift(uint64_t seed) {
    for (uint32_t& lane : lanes_) {
      seed += 0x9e3779b97f4a7c15;
      uint64_t mixed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9;
      mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
      lane = static_cast<uint32_t>(mixed >> 32) | 1;
    }
  }

  // Each word of the result has the bits of `set`, and random ones under `keep`.
  void next(uint32_t keep, uint32_t set, Block& block) {
    for (size_t i = 0; i < lanes_.size(); ++i) {
      uint32_t x = lanes_[i];
      x ^= x << 13;
      x ^= x >> 17;
      x ^= x << 5;
      lanes_[i] = x;
      block[i] = (x & keep) | set;
    }
  }

 private:
  Block lanes_;
};

ModelConfig shape(int32_t hidden, int32_t intermediate, int32_t layers, int32_t heads,
                  int32_t kv_heads, int32_t vocab, int32_t positions) {
  ModelConfig c;
  c.hidden_size = hidden;
  c.intermediate_size = intermediate;
  c.n_layers = layers;
  c.n_heads = heads;
  c.n_kv_heads = kv_heads;
  c.head_dim = hidden / heads;
  c.vocab_size = vocab;
  c.max_positions = positions;
  c.bos_token = 1;
  return c;
}

void make_llama3(ModelConfig* c, double factor) {
  c->rope_theta = 500000.0;
  c->rope = {.type = RopeType::kLlama3,
             .factor = factor,
             .low_freq_factor = 1.0,
             .high_freq_factor = 4.0,
             .original_max_positions = 8192};
}

std::optional<ModelConfig> config_of(const std::string& name) {
  if (name == "tinyllama-1.1b") return shape(2048, 5632, 22, 32, 4, 32000, 2048);
  if (name == "llama-2-7b") return shape(4096, 11008, 32, 32, 32, 32000, 4096);
  if (name == "llama-3.2-1b") {
    ModelConfig c = shape(2048, 8192, 16, 32, 8, 128256, 131072);
    make_llama3(&c, 32.0);
    c.tied_embeddings = true;
    return c;
  }
  if (name == "llama-3.1-8b") {
    ModelConfig c = shape(4096, 14336, 32, 32, 8, 128256, 131072);
    make_llama3(&c, 8.0);
    return c;
  }
  return std::nullopt;
}

// Rows of one task: about a MiB of values.
size_t rows_per_task(const WeightShape& s) {
  return std::max<size_t>(1, (size_t{1} << 20) / s.row_bytes());
}

// Random bytes to values of about the wanted deviation. Halves and floats get a random sign and
// mantissa under one exponent e: magnitudes uniform in [2^e, 2^(e+1)), deviation 1.53 * 2^e. An i8
// gets an odd number from -127 to 127, so that it is never -128.
void fill_row(const WeightShape& s, std::byte* row, float deviation, Xorshift& random) {
  const size_t used = static_cast<size_t>(s.cols) * dtype_bytes(s.dtype);
  const auto exponent = static_cast<uint32_t>(std::lround(std::log2(deviation / 1.53f)));
  uint32_t keep = ~uint32_t{0}, set = 0x01010101;
  if (s.dtype == DType::kF16) {
    keep = 0x83ff83ff;
    set = 0x00010001 * ((exponent + 15) << 10);
  } else if (s.dtype == DType::kBF16) {
    keep = 0x807f807f;
    set = 0x00010001 * ((exponent + 127) << 7);
  } else if (s.dtype == DType::kF32) {
    keep = 0x807fffff;
    set = (exponent + 127) << 23;
  }
  Xorshift::Block block;
  for (size_t at = 0; at < used; at += sizeof block) {
    random.next(keep, set, block);
    std::memcpy(row + at, block.data(), std::min(sizeof block, used - at));
  }
}

void fill_rows(const WeightView& w, size_t begin, size_t end, uint64_t seed) {
  Xorshift random(seed);
  const float deviation = 1.0f / std::sqrt(static_cast<float>(w.cols));
  auto* values = static_cast<std::byte*>(const_cast<void*>(w.values));
  auto* scales = const_cast<float*>(w.scales);
  for (size_t r = begin; r < end; ++r) fill_row(w, values + r * w.row_bytes(), deviation, random);
  if (!scales) return;
  constexpr float kByteDeviation = 73.9f;  // of the odd numbers from -127 to 127
  const size_t per_row = w.scales_per_row();
  std::fill(scales + begin * per_row, scales + end * per_row, deviation / kByteDeviation);
}

struct Task {
  const WeightView* view;
  size_t begin, end;
  bool ones;  // a norm
};

std::vector<Task> plan(const WeightMap& weights) {
  std::vector<Task> tasks;
  for (const auto& [name, view] : weights) {
    const bool ones = name.ends_with("norm");
    if (name.ends_with("_bias")) continue;  // memory is zero already
    const auto rows = static_cast<size_t>(view.rows);
    const size_t step = rows_per_task(view);
    for (size_t r = 0; r < rows; r += step) {
      tasks.push_back({&view, r, std::min(rows, r + step), ones});
    }
  }
  return tasks;
}

}  // namespace

const std::vector<std::string>& synthetic_shapes() {
  static const std::vector<std::string> names = {"tinyllama-1.1b", "llama-3.2-1b", "llama-2-7b",
                                                 "llama-3.1-8b"};
  return names;
}

Result<std::unique_ptr<LoadedModel>> make_synthetic(const std::string& name, DType dtype,
                                                    int32_t group, int threads) {
  const auto config = config_of(name);
  if (config) return make_synthetic(*config, name, dtype, group, threads);
  std::string known;
  for (const std::string& s : synthetic_shapes()) known += (known.empty() ? "" : ", ") + s;
  return make_error(Code::kInvalidArgument, "no synthetic model %s; there are %s",
                    quote(name).c_str(), known.c_str());
}

Result<std::unique_ptr<LoadedModel>> make_synthetic(const ModelConfig& config,
                                                    const std::string& name, DType dtype,
                                                    int32_t group, int threads) {
  auto model = std::make_unique<LoadedModel>();
  Manifest& m = model->manifest;
  m.config = config;
  m.name = name + " (synthetic)";
  m.provenance = {"synthetic", "lamina", "none"};
  for (const NamedShape& t : model_tensors(config, dtype, group)) {
    m.tensors.push_back({t.name, t.shape, {}});
    model->stats.weight_bytes += t.shape.value_bytes() + t.shape.scale_bytes();
  }
  const std::string precision = precision_name(dtype, group);
  m.layers.assign(static_cast<size_t>(config.n_layers), {precision, precision});
  const uint64_t need = arena_bytes(m.tensors);
  if (const uint64_t available = memory_facts().available; available < need) {
    return make_error(Code::kOutOfMemory, "%s in %s needs %llu MiB, %llu MiB are free",
                      name.c_str(), precision.c_str(), static_cast<unsigned long long>(need >> 20),
                      static_cast<unsigned long long>(available >> 20));
  }
  LAMINA_ASSIGN(Mapping arena, Mapping::anonymous(need));
  place_in_arena(m.tensors, arena.data(), &model->weights);
  const std::vector<Task> tasks = plan(model->weights);
  LAMINA_TRY(parallel_for(threads, tasks.size(), [&](size_t i) -> Result<void> {
    const Task& t = tasks[i];
    if (!t.ones) {
      fill_rows(*t.view, t.begin, t.end, i);
      return {};
    }
    auto* norm = static_cast<float*>(const_cast<void*>(t.view->values));
    std::fill_n(norm, t.view->cols, 1.0f);
    return {};
  }));
  model->stats.mode = LoadMode::kHuge;
  model->stats.owned_bytes = arena.size();
  model->memory.push_back(std::move(arena));
  return model;
}

}  // namespace lamina
