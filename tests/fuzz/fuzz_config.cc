// SPDX-License-Identifier: Apache-2.0
// A config.json, with a generation_config.json after the first NUL. What is accepted must survive
// the way into a manifest and back, and give finite frequencies.
#include <cmath>
#include <cstdlib>

#include "core/base/check.h"
#include "core/model/config.h"

namespace lamina {
namespace {

void check_accepted(const ModelConfig& config) {
  JsonWriter out;
  config.write(out);
  const auto document = JsonDocument::parse(out.text(), "written");
  LAMINA_CHECK(document.has_value());
  const auto back = ModelConfig::from_manifest((*document)->root());
  LAMINA_CHECK(back.has_value() && *back == config);
  LAMINA_CHECK(config.qkv_width() > 0 && config.intermediate_size > 0);
  const RopeFrequencies rope = rope_frequencies(config, 1 << 20);
  LAMINA_CHECK(rope.inv_freq.size() * 2 == static_cast<size_t>(config.head_dim));
  LAMINA_CHECK(std::isfinite(rope.attention_factor));
  for (float f : rope.inv_freq) LAMINA_CHECK(std::isfinite(f) && f >= 0.0f);
}

}  // namespace
}  // namespace lamina

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lamina;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t nul = text.find('\0');
  const auto config = JsonDocument::parse(text.substr(0, nul), "config.json");
  if (!config) return 0;
  const auto from_manifest = ModelConfig::from_manifest((*config)->root());
  if (from_manifest) check_accepted(*from_manifest);
  const auto generation = JsonDocument::parse(
      nul == text.npos ? std::string_view("{}") : text.substr(nul + 1), "generation_config.json");
  if (!generation) return 0;
  const auto from_hf = ModelConfig::from_hf((*config)->root(), (*generation)->root());
  if (from_hf) check_accepted(*from_hf);
  return 0;
}
