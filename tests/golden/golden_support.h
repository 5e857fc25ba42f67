// SPDX-License-Identifier: Apache-2.0
// Checkpoints of tests/golden and tests/models, converted into the build tree, loaded, and run.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/engine/engine.h"
#include "core/model/tokenizer.h"
#include "native/platform/model_loader.h"

namespace lamina::test {

std::string source_path(const std::string& relative);  // below the source tree

// A checkpoint folder of the source tree in the given precision. Converted once per process.
struct GoldenModel {
  std::unique_ptr<LoadedModel> loaded;
  std::unique_ptr<Tokenizer> tokenizer;
};
const GoldenModel& golden_model(const std::string& folder, DType dtype, int32_t group = 0);

// "reference", the ISAs of the CPU backend best first, and "vulkan" or what stands in for it.
std::vector<std::string> engine_names();
std::unique_ptr<Engine> make_engine(const GoldenModel& model, const std::string& engine,
                                    KvDType kv = KvDType::kF32, int threads = 2);

std::string read_file_text(const std::string& path);
std::unique_ptr<JsonDocument> read_json(const std::string& path);
std::vector<int32_t> ints(const JsonValue& array);
std::vector<float> read_f32_tensor(const std::string& path, const std::string& name);

// Logits of all positions, [ids][vocab].
std::vector<float> logits_of(Engine& engine, std::span<const int32_t> ids);

// |got - want| / |want| over one row.
double row_error(std::span<const float> got, std::span<const float> want);

// Runs greedily from `prompt` as long as the reference is followed; where it is left, the
// reference's own logits must have had a gap of at most `gap` between the two best, and forced
// decoding goes on with the reference's token. Fails the test otherwise.
void expect_greedy(Engine& engine, std::span<const int32_t> prompt,
                   std::span<const int32_t> want, double gap);

}  // namespace lamina::test
