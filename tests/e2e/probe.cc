// SPDX-License-Identifier: Apache-2.0
// What the shell tests ask of files:
//   probe json PATH < TEXT                 a value, e.g. backend.name or cases.0.ids; text bare
//   probe tensors FILE                     "NAME DTYPE [SHAPE]" a line
//   probe difference FILE NAME FILE NAME   |a - b| / |b| of two F32 tensors
#include <cmath>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/model/safetensors.h"
#include "native/platform/files.h"

namespace lamina {
namespace {

int give_up(const std::string& why) {
  std::fprintf(stderr, "probe: %s\n", why.c_str());
  return 1;
}

void write_value(const JsonValue& v, JsonWriter& out) {
  switch (v.kind()) {
    case JsonKind::kBool:
      out.value(v.as_bool());
      break;
    case JsonKind::kInt:
      out.value(v.as_int());
      break;
    case JsonKind::kDouble:
      out.value(v.as_double());
      break;
    case JsonKind::kString:
      out.value(v.as_string());
      break;
    case JsonKind::kArray:
      out.begin_array();
      for (JsonValue c = v.first_child(); !c.is_missing(); c = c.next_sibling())
        write_value(c, out);
      out.end_array();
      break;
    case JsonKind::kObject:
      out.begin_object();
      for (JsonValue c = v.first_child(); !c.is_missing(); c = c.next_sibling()) {
        out.key(c.key());
        write_value(c, out);
      }
      out.end_object();
      break;
    default:
      out.null();
  }
}

JsonValue step(const JsonValue& value, const std::string& name) {
  if (!value.is_array()) return value.find(name);
  JsonValue child = value.first_child();
  for (int i = std::atoi(name.c_str()); i > 0; --i) child = child.next_sibling();
  return child;
}

int json(const std::string& path) {
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  const auto document = JsonDocument::parse(text, "standard input");
  if (!document) return give_up(document.error().message);
  JsonValue value = (*document)->root();
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('.', at), path.size());
    value = step(value, path.substr(at, end - at));
    if (value.is_missing()) return give_up("no " + path);
    at = end + 1;
  }
  JsonWriter out;
  write_value(value, out);
  const std::string shown = value.is_string() ? std::string(value.as_string()) : out.take();
  std::fwrite(shown.data(), 1, shown.size(), stdout);
  return 0;
}

int tensors(const std::string& path) {
  const auto source = FileSource::open(path);
  if (!source) return give_up(source.error().message);
  const auto file = SafetensorsFile::read(**source);
  if (!file) return give_up(file.error().message);
  for (const SafetensorsEntry& e : file->entries()) {
    std::printf("%s %s [", e.name.c_str(), e.dtype_text.c_str());
    for (size_t i = 0; i < e.shape.size(); ++i) {
      std::printf("%s%llu", i ? ", " : "", static_cast<unsigned long long>(e.shape[i]));
    }
    std::printf("]\n");
  }
  return 0;
}

Result<std::vector<float>> values(const std::string& path, const std::string& name) {
  LAMINA_ASSIGN(const auto source, FileSource::open(path));
  LAMINA_ASSIGN(const auto file, SafetensorsFile::read(*source));
  const SafetensorsEntry* entry = file.find(name);
  if (entry == nullptr || entry->dtype != DType::kF32) {
    return make_error(Code::kNotFound, "%s: no F32 tensor %s", path.c_str(), name.c_str());
  }
  std::vector<float> out(entry->bytes / sizeof(float));
  LAMINA_TRY(source->read(entry->offset, std::as_writable_bytes(std::span(out))));
  return out;
}

int difference(char** names) {
  const auto a = values(names[0], names[1]), b = values(names[2], names[3]);
  if (!a) return give_up(a.error().message);
  if (!b) return give_up(b.error().message);
  if (a->size() != b->size() || b->empty()) return give_up("sizes differ");
  double error = 0.0, norm = 0.0;
  for (size_t i = 0; i < a->size(); ++i) {
    const double x = static_cast<double>((*a)[i]), y = static_cast<double>((*b)[i]);
    error += (x - y) * (x - y);
    norm += y * y;
  }
  std::printf("%.9f\n", std::sqrt(error / norm));
  return 0;
}

}  // namespace
}  // namespace lamina

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "json" && argc == 3) return lamina::json(argv[2]);
  if (what == "tensors" && argc == 3) return lamina::tensors(argv[2]);
  if (what == "difference" && argc == 6) return lamina::difference(argv + 2);
  return lamina::give_up("usage: see the source");
}
