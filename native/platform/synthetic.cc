// SPDX-License-Identifier: Apache-2.0
#include "native/platform/synthetic.h"

#include <cmath>
#include <cstring>

#include "core/base/half.h"
#include "native/platform/memory_facts.h"
#include "native/platform/parallel.h"
#include "native/platform/weight_reader.h"

namespace lamina {

namespace {

// xorshift64* (Vigna, 2014), seeded through splitmix64 so that near seeds give far streams.
class Xorshift {
 public:
  explicit Xorshift(uint64_t seed) {
    seed += 0x9e3779b97f4a7c15;
    seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9;
    seed = (seed ^ (seed >> 27)) * 0x94d049bb133111eb;
    state_ = (seed ^ (seed >> 31)) | 1;
  }
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1d;
  }

 private:
  uint64_t state_;
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
// mantissa under one exponent e: magnitudes uniform in [2^e, 2^(e+1)), deviation 1.53 * 2^e.
void fill_row(const WeightShape& s, std::byte* row, float deviation, Xorshift& random) {
  const size_t used = static_cast<size_t>(s.cols) * dtype_bytes(s.dtype);
  const int exponent = static_cast<int>(std::lround(std::log2(deviation / 1.53f)));
  uint64_t keep = ~uint64_t{0}, set = 0;
  if (s.dtype == DType::kF16) {
    keep = 0x83ff83ff83ff83ff;
    set = 0x0001000100010001 * (static_cast<uint64_t>(exponent + 15) << 10);
  } else if (s.dtype == DType::kBF16) {
    keep = 0x807f807f807f807f;
    set = 0x0001000100010001 * (static_cast<uint64_t>(exponent + 127) << 7);
  } else if (s.dtype == DType::kF32) {
    keep = 0x807fffff807fffff;
    set = 0x0000000100000001 * (static_cast<uint64_t>(exponent + 127) << 23);
  }
  for (size_t at = 0; at < used; at += 8) {
    const uint64_t word = (random.next() & keep) | set;
    std::memcpy(row + at, &word, std::min<size_t>(8, used - at));
  }
  if (s.dtype != DType::kI8) return;
  auto* q = reinterpret_cast<int8_t*>(row);
  for (size_t i = 0; i < used; ++i) q[i] = static_cast<int8_t>(q[i] == -128 ? 127 : q[i]);
}

void fill_rows(const WeightView& w, size_t begin, size_t end, uint64_t seed) {
  Xorshift random(seed);
  const float deviation = 1.0f / std::sqrt(static_cast<float>(w.cols));
  auto* values = static_cast<std::byte*>(const_cast<void*>(w.values));
  auto* scales = const_cast<float*>(w.scales);
  constexpr float kByteDeviation = 73.6f;  // of a uniform int8
  for (size_t r = begin; r < end; ++r) {
    fill_row(w, values + r * w.row_bytes(), deviation, random);
    for (size_t g = 0; g < w.scales_per_row(); ++g) {
      scales[r * w.scales_per_row() + g] = deviation / kByteDeviation;
    }
  }
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
