// SPDX-License-Identifier: Apache-2.0
// A safetensors file, and the same bytes as an index. Every entry accepted must lie in the file.
#include <cstdlib>

#include "core/base/check.h"
#include "core/model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lamina;
  const MemoryByteSource source("f", std::as_bytes(std::span(data, size)));
  const auto file = SafetensorsFile::read(source);
  if (file) {
    uint64_t total = 0;
    for (const SafetensorsEntry& e : file->entries()) {
      LAMINA_CHECK(e.offset <= size && e.bytes <= size - e.offset);
      LAMINA_CHECK(file->find(e.name) == &e);
      total += e.bytes;
    }
    LAMINA_CHECK(total < size);
  }
  const auto index = SafetensorsIndex::parse({reinterpret_cast<const char*>(data), size}, "i");
  if (index) {
    for (const auto& [name, number] : index->tensors) LAMINA_CHECK(number < index->files.size());
  }
  return 0;
}
