// SPDX-License-Identifier: Apache-2.0
// Reader of the safetensors container: 8 bytes of header length (little endian), a JSON header,
// then the tensors' bytes. Rules of the format's reference reader: header of at most 100 MB that
// starts with '{', tensors that cover the data without gap or overlap, no name twice.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/model/byte_source.h"
#include "core/tensor/dtype.h"

namespace lamina {

struct SafetensorsEntry {
  std::string name;
  std::string dtype_text;       // "BF16"
  std::optional<DType> dtype;   // of the three that hold weights: F32 F16 BF16
  std::vector<uint64_t> shape;  // at most 8 dimensions
  uint64_t offset = 0;          // from the start of the file
  uint64_t bytes = 0;
};

class SafetensorsFile {
 public:
  // Reads and checks the header. Borrows nothing.
  static Result<SafetensorsFile> read(const ByteSource& source);

  const std::vector<SafetensorsEntry>& entries() const { return entries_; }
  const SafetensorsEntry* find(std::string_view name) const;

 private:
  std::vector<SafetensorsEntry> entries_;  // by name
};

// model.safetensors.index.json: which file holds which tensor.
struct SafetensorsIndex {
  std::vector<std::string> files;                      // plain names ending in .safetensors, sorted
  std::map<std::string, size_t, std::less<>> tensors;  // name to index into files

  static Result<SafetensorsIndex> parse(std::string_view json, std::string_view what);
};

}  // namespace lamina
