// SPDX-License-Identifier: Apache-2.0
// A manifest.json. What is accepted must be canonical from then on, and every region it names must
// lie inside its shard.
#include <cstdlib>

#include "core/base/check.h"
#include "core/model/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lamina;
  const auto m = Manifest::parse({reinterpret_cast<const char*>(data), size}, "manifest.json");
  if (!m) return 0;
  const std::string json = m->to_json();
  const auto again = Manifest::parse(json, "again");
  LAMINA_CHECK(again.has_value() && again->to_json() == json);
  for (const TensorEntry& t : m->tensors) {
    for (const TensorPart& p : t.parts) {
      const uint64_t values = static_cast<uint64_t>(p.rows) * t.shape.row_bytes();
      const uint64_t scales = static_cast<uint64_t>(p.rows) * t.shape.scales_per_row() * 4;
      LAMINA_CHECK(p.offset + values <= m->shards.at(p.shard).bytes);
      LAMINA_CHECK(p.scale_offset + scales <= m->shards.at(p.shard).bytes);
    }
  }
  return 0;
}
