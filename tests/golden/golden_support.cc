// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/golden_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include <unistd.h>

#include "backends/cpu/cpu_backend.h"
#include "backends/reference/reference_backend.h"
#include "core/model/safetensors.h"
#include "native/convert/convert.h"
#include "native/platform/files.h"

#include "tests/support/engines.h"

namespace lamina::test {

namespace {

template <typename T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message;
    std::abort();
  }
  return std::move(result).value();
}

void must(Result<void> result) {
  if (result) return;
  ADD_FAILURE() << result.error().message;
  std::abort();
}

GoldenModel convert_and_load(const std::string& folder, DType dtype, int32_t group) {
  ConvertOptions options;
  options.source = source_path(folder);
  // A name of this process's own: test programs run side by side.
  options.destination = std::string(LAMINA_BINARY_DIR) + "/golden-" +
                        std::to_string(getpid()) + "/" + base_name(folder) + "-" +
                        std::string(dtype_name(dtype)) + std::to_string(group);
  options.dtype = dtype;
  options.group = group;
  options.force = true;
  must(make_directories(parent_path(options.destination)));
  must(convert(options));
  GoldenModel model;
  LoadOptions load;
  load.cache_directory = std::string(LAMINA_BINARY_DIR) + "/golden-cache";
  model.loaded = must(load_model(options.destination, load));
  model.tokenizer = std::make_unique<Tokenizer>(
      must(Tokenizer::from_json(model.loaded->tokenizer_json, "tokenizer.json")));
  return model;
}

}  // namespace

std::string source_path(const std::string& relative) {
  return std::string(LAMINA_SOURCE_DIR) + "/" + relative;
}

const GoldenModel& golden_model(const std::string& folder, DType dtype, int32_t group) {
  static std::map<std::string, GoldenModel> models;
  const std::string key =
      folder + " " + std::string(dtype_name(dtype)) + " " + std::to_string(group);
  auto found = models.find(key);
  if (found == models.end()) {
    found = models.emplace(key, convert_and_load(folder, dtype, group)).first;
  }
  return found->second;
}

std::vector<std::string> engine_names() {
  std::vector<std::string> names = cpu_isas_available();
  names.insert(names.begin(), "reference");
  for (const std::string& name : vulkan_engines(1)) names.push_back(name);
  return names;
}

static std::unique_ptr<Backend> make_backend(const std::string& engine, int threads) {
  if (engine == "reference") return make_reference_backend();
  return must(make_engine_backend(engine, threads));
}

std::unique_ptr<Engine> make_engine(const GoldenModel& model, const std::string& engine,
                                    KvDType kv, int threads) {
  std::unique_ptr<Backend> backend = make_backend(engine, threads);
  EngineOptions options;
  options.kv_dtype = kv;
  options.max_logit_rows = options.max_rows;
  return must(Engine::create(std::move(backend), model.loaded->manifest.config,
                             model.loaded->weights, options));
}

std::string read_file_text(const std::string& path) {
  return must(read_file(path, size_t{64} << 20));
}

std::unique_ptr<JsonDocument> read_json(const std::string& path) {
  return must(JsonDocument::parse(read_file_text(path), path));
}

std::vector<int32_t> ints(const JsonValue& array) {
  std::vector<int32_t> out;
  for (JsonValue v = array.first_child(); !v.is_missing(); v = v.next_sibling()) {
    out.push_back(static_cast<int32_t>(v.as_int()));
  }
  return out;
}

std::vector<float> read_f32_tensor(const std::string& path, const std::string& name) {
  const auto source = must(FileSource::open(path));
  const auto file = must(SafetensorsFile::read(*source));
  const SafetensorsEntry* entry = file.find(name);
  LAMINA_CHECK(entry && entry->dtype == DType::kF32);
  std::vector<float> values(entry->bytes / sizeof(float));
  must(source->read(entry->offset, std::as_writable_bytes(std::span(values))));
  return values;
}

std::vector<float> logits_of(Engine& engine, std::span<const int32_t> ids) {
  std::vector<float> all;
  must(engine.forward(ids, [&](int32_t, std::span<const float> logits) {
    all.insert(all.end(), logits.begin(), logits.end());
  }));
  return all;
}

double row_error(std::span<const float> got, std::span<const float> want) {
  double error = 0.0, norm = 0.0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += std::pow(static_cast<double>(got[i]) - want[i], 2);
    norm += std::pow(static_cast<double>(want[i]), 2);
  }
  return std::sqrt(error / norm);
}

void expect_greedy(Engine& engine, std::span<const int32_t> prompt, std::span<const int32_t> want,
                   double gap) {
  // One pass over prompt and reference answer: position i predicts token i + 1.
  std::vector<int32_t> ids(prompt.begin(), prompt.end());
  ids.insert(ids.end(), want.begin(), want.end() - 1);
  const std::vector<float> logits = logits_of(engine, ids);
  const size_t vocab = logits.size() / ids.size();
  for (size_t i = 0; i < want.size(); ++i) {
    const auto row = std::span(logits).subspan((prompt.size() - 1 + i) * vocab, vocab);
    const auto best = std::ranges::max_element(row) - row.begin();
    if (best == want[i]) continue;
    EXPECT_LE(row[static_cast<size_t>(best)] - row[static_cast<size_t>(want[i])], gap)
        << "token " << i << ": chose " << best << ", reference " << want[i];
  }
}

}  // namespace lamina::test
