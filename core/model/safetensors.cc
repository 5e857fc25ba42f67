// SPDX-License-Identifier: Apache-2.0
#include "core/model/safetensors.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/numeric.h"

namespace lamina {

namespace {

constexpr uint64_t kMaxHeader = 100'000'000;
constexpr size_t kMaxDimensions = 8;
constexpr size_t kMaxIndexFiles = 10'000;

struct KnownType {
  std::string_view name;
  uint64_t bits;
};
constexpr KnownType kKnownTypes[] = {{"F32", 32}, {"F16", 16},    {"BF16", 16},   {"F64", 64},
                                     {"I64", 64}, {"I32", 32},    {"I16", 16},    {"I8", 8},
                                     {"U8", 8},   {"U16", 16},    {"U32", 32},    {"U64", 64},
                                     {"BOOL", 8}, {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8},
                                     {"C64", 64}, {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}};

Result<uint64_t> bits_of(const JsonValue& dtype) {
  for (const KnownType& t : kKnownTypes) {
    if (t.name == dtype.as_string()) return t.bits;
  }
  return dtype.error(Code::kInvalidModel, "unknown dtype");
}

std::optional<DType> weight_dtype(std::string_view name) {
  if (name == "F32") return DType::kF32;
  if (name == "F16") return DType::kF16;
  if (name == "BF16") return DType::kBF16;
  return std::nullopt;
}

// Elements of the shape; reads the dimensions into `shape`.
Result<uint64_t> read_shape(const JsonValue& tensor, std::vector<uint64_t>* shape) {
  LAMINA_ASSIGN(const JsonValue list, tensor.get_array("shape"));
  if (list.size() > kMaxDimensions) {
    return list.error(Code::kInvalidModel, "more than 8 dimensions");
  }
  uint64_t elements = 1;
  for (JsonValue v = list.first_child(); !v.is_missing(); v = v.next_sibling()) {
    LAMINA_ASSIGN(const int64_t size, v.to_int(0, int64_t{1} << 48));
    shape->push_back(static_cast<uint64_t>(size));
    const auto product = checked_mul(elements, static_cast<uint64_t>(size));
    if (!product) return list.error(Code::kInvalidModel, "dimensions overflow");
    elements = *product;
  }
  return elements;
}

// The range [begin, end) within the data, which must hold exactly `bits`.
Result<void> read_range(const JsonValue& tensor, uint64_t bits, uint64_t data_bytes,
                        SafetensorsEntry* out) {
  LAMINA_ASSIGN(const JsonValue range, tensor.get_array("data_offsets"));
  if (range.size() != 2) return range.error(Code::kInvalidModel, "must be [begin, end]");
  const auto most = static_cast<int64_t>(std::min<uint64_t>(data_bytes, INT64_MAX));
  LAMINA_ASSIGN(const int64_t begin, range.first_child().to_int(0, most));
  LAMINA_ASSIGN(const int64_t end, range.first_child().next_sibling().to_int(begin, most));
  out->offset = static_cast<uint64_t>(begin);
  out->bytes = static_cast<uint64_t>(end - begin);
  if (bits % 8 == 0 && bits / 8 == out->bytes) return {};
  return range.error(Code::kInvalidModel, "holds " + std::to_string(out->bytes) +
                                              " bytes, dtype and shape need " +
                                              std::to_string(bits / 8));
}

Result<SafetensorsEntry> read_entry(const JsonValue& tensor, uint64_t data_bytes) {
  SafetensorsEntry e;
  e.name = tensor.key();
  LAMINA_ASSIGN(e.dtype_text, tensor.get_string("dtype"));
  LAMINA_ASSIGN(const uint64_t bits, bits_of(tensor.find("dtype")));
  e.dtype = weight_dtype(e.dtype_text);
  LAMINA_ASSIGN(const uint64_t elements, read_shape(tensor, &e.shape));
  const auto total = checked_mul(elements, bits);
  if (!total) return tensor.error(Code::kInvalidModel, "size overflows");
  LAMINA_TRY(read_range(tensor, *total, data_bytes, &e));
  return e;
}

// Tensors in order of offset must follow each other from 0 to the end of the data.
Result<void> check_cover(const std::string& file, const std::vector<SafetensorsEntry>& entries,
                         uint64_t data_bytes) {
  std::vector<const SafetensorsEntry*> order;
  order.reserve(entries.size());
  for (const auto& e : entries) order.push_back(&e);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
  });
  uint64_t next = 0;
  for (const SafetensorsEntry* e : order) {
    if (e->offset != next) {
      return make_error(Code::kInvalidModel, "%s: tensor %s: begins at %llu, %s", file.c_str(),
                        quote(e->name).c_str(), static_cast<unsigned long long>(e->offset),
                        e->offset < next ? "inside the tensor before it" : "leaving a gap");
    }
    next += e->bytes;
  }
  if (next == data_bytes) return {};
  return make_error(Code::kInvalidModel, "%s: tensors end at byte %llu of %llu data bytes",
                    file.c_str(), static_cast<unsigned long long>(next),
                    static_cast<unsigned long long>(data_bytes));
}

Result<uint64_t> read_header_length(const ByteSource& source) {
  unsigned char prefix[8];
  if (source.size() < sizeof prefix) {
    return make_error(Code::kInvalidModel, "%s: %llu bytes are too few for a safetensors file",
                      source.name().c_str(), static_cast<unsigned long long>(source.size()));
  }
  LAMINA_TRY(source.read(0, std::as_writable_bytes(std::span(prefix))));
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | prefix[i];
  if (length < 2 || length > kMaxHeader || length > source.size() - sizeof prefix) {
    return make_error(Code::kInvalidModel,
                      "%s: header length %llu is not between 2 and %llu (file of %llu bytes, at "
                      "most 100 MB); is this a safetensors file, and complete?",
                      source.name().c_str(), static_cast<unsigned long long>(length),
                      static_cast<unsigned long long>(
                          std::min<uint64_t>(kMaxHeader, source.size() - sizeof prefix)),
                      static_cast<unsigned long long>(source.size()));
  }
  return length;
}

bool is_weights_name(std::string_view name) {
  constexpr std::string_view kSuffix = ".safetensors";
  return name.size() > kSuffix.size() && name.size() <= 200 && name.ends_with(kSuffix) &&
         name[0] != '.' && name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
}

}  // namespace

Result<SafetensorsFile> SafetensorsFile::read(const ByteSource& source) {
  LAMINA_ASSIGN(const uint64_t length, read_header_length(source));
  std::string header(static_cast<size_t>(length), '\0');
  LAMINA_TRY(source.read(8, std::as_writable_bytes(std::span(header))));
  if (header[0] != '{') {
    return make_error(Code::kInvalidModel, "%s: header does not start with '{'",
                      source.name().c_str());
  }
  JsonLimits limits;
  limits.max_depth = 4;
  LAMINA_ASSIGN(const auto document, JsonDocument::parse(header, source.name(), limits));
  const uint64_t data_begin = 8 + length;
  const uint64_t data_bytes = source.size() - data_begin;
  SafetensorsFile file;
  const JsonValue root = document->root();
  for (JsonValue v = root.first_child(); !v.is_missing(); v = v.next_sibling()) {
    if (v.key() == "__metadata__") continue;
    LAMINA_ASSIGN(SafetensorsEntry entry, read_entry(v, data_bytes));
    file.entries_.push_back(std::move(entry));
  }
  LAMINA_TRY(check_cover(source.name(), file.entries_, data_bytes));
  for (SafetensorsEntry& e : file.entries_) e.offset += data_begin;
  std::sort(file.entries_.begin(), file.entries_.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return file;
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  const auto at =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const SafetensorsEntry& e, std::string_view n) { return e.name < n; });
  return at != entries_.end() && at->name == name ? &*at : nullptr;
}

Result<SafetensorsIndex> SafetensorsIndex::parse(std::string_view json, std::string_view what) {
  LAMINA_ASSIGN(const auto document, JsonDocument::parse(json, what));
  LAMINA_ASSIGN(const JsonValue map, document->root().get_object("weight_map"));
  SafetensorsIndex index;
  std::map<std::string, size_t, std::less<>> files;
  for (JsonValue v = map.first_child(); !v.is_missing(); v = v.next_sibling()) {
    if (!v.is_string() || !is_weights_name(v.as_string())) {
      return v.error(Code::kInvalidModel, "must be a plain file name ending in .safetensors");
    }
    files.emplace(v.as_string(), 0);
    if (files.size() > kMaxIndexFiles) return map.error(Code::kInvalidModel, "too many files");
  }
  if (files.empty()) return map.error(Code::kInvalidModel, "names no tensor");
  for (auto& [name, number] : files) {
    number = index.files.size();
    index.files.push_back(name);
  }
  for (JsonValue v = map.first_child(); !v.is_missing(); v = v.next_sibling()) {
    index.tensors.emplace(v.key(), files.find(v.as_string())->second);
  }
  return index;
}

}  // namespace lamina
