// SPDX-License-Identifier: Apache-2.0
// JSON, read and written. json.cc alone sees the parser library.
//
// A JsonDocument is immutable and owns everything; JsonValue is a cheap handle that is valid while
// its document lives and does not move. All getters treat the text as hostile: a wrong type or a
// number out of range is an Error that names the document and the field's path.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace lamina {

enum class JsonKind : uint8_t { kMissing, kNull, kBool, kInt, kDouble, kString, kArray, kObject };

struct JsonLimits {
  size_t max_bytes = size_t{256} << 20;
  size_t max_depth = 64;
  // A value takes 32 bytes, a member twice as much again while its object is read. The largest
  // tokenizers have about two million.
  size_t max_values = size_t{1} << 22;
  bool refuse_duplicate_keys = true;
};

class JsonDocument;

class JsonValue {
 public:
  JsonValue() = default;  // kMissing

  JsonKind kind() const;
  bool is_missing() const { return kind() == JsonKind::kMissing; }
  bool is_null() const { return kind() == JsonKind::kNull; }
  bool is_absent() const { return is_missing() || is_null(); }
  bool is_object() const { return kind() == JsonKind::kObject; }
  bool is_array() const { return kind() == JsonKind::kArray; }
  bool is_string() const { return kind() == JsonKind::kString; }
  bool is_bool() const { return kind() == JsonKind::kBool; }
  bool is_int() const { return kind() == JsonKind::kInt; }
  bool is_number() const { return is_int() || kind() == JsonKind::kDouble; }

  // REQUIRES: the kind matches (checked).
  bool as_bool() const;
  int64_t as_int() const;
  double as_double() const;  // from kInt or kDouble
  std::string_view as_string() const;

  // Arrays and objects: number of children, and iteration in document order:
  //   for (JsonValue v = a.first_child(); !v.is_missing(); v = v.next_sibling()) ...
  size_t size() const;
  JsonValue first_child() const;
  JsonValue next_sibling() const;
  std::string_view key() const;  // of an object's member; empty elsewhere

  // Object member by name, kMissing if absent or if this is no object. Linear in the members.
  JsonValue find(std::string_view name) const;

  // Members of an object, with errors that name the field. The _or forms take an absent or null
  // member for the default.
  Result<int64_t> get_int(std::string_view name, int64_t low, int64_t high) const;
  Result<int64_t> get_int_or(std::string_view name, int64_t absent, int64_t low, int64_t high) const;
  Result<double> get_double(std::string_view name, double low, double high) const;  // finite
  Result<double> get_double_or(std::string_view name, double absent, double low, double high) const;
  Result<bool> get_bool_or(std::string_view name, bool absent) const;
  Result<std::string> get_string(std::string_view name) const;
  Result<std::string> get_string_or(std::string_view name, std::string_view absent) const;
  Result<JsonValue> get_object(std::string_view name) const;
  Result<JsonValue> get_array(std::string_view name) const;

  // This value itself as an integer in range.
  Result<int64_t> to_int(int64_t low, int64_t high) const;

  // An error about this value: "FILE: field 'a.b[2]': WHAT (is VALUE)".
  Error error(Code code, std::string_view what) const;
  std::string path() const;  // "rope_scaling.factor", "" for the root

 private:
  friend class JsonDocument;
  JsonValue(const JsonDocument* document, uint32_t node) : document_(document), node_(node) {}
  const JsonDocument* document_ = nullptr;
  uint32_t node_ = 0;
};

class JsonDocument {
 public:
  // `what` names the text in errors, usually a file name. Errors are kInvalidModel.
  static Result<std::unique_ptr<JsonDocument>> parse(std::string_view text, std::string_view what,
                                                     const JsonLimits& limits = {});
  JsonValue root() const { return JsonValue(this, 0); }
  const std::string& name() const { return name_; }

 private:
  friend class JsonValue;
  friend class JsonBuilder;
  struct Node {
    union {
      int64_t integer;
      double number;
      struct { uint32_t first_child, count; } children;
      struct { uint32_t offset, length; } string;
    };
    uint32_t key_offset, key_length;
    uint32_t parent, next;  // 0 = none: the root is nobody's child
    JsonKind kind;
  };
  std::vector<Node> nodes_;
  std::string strings_;  // all keys and string values
  std::string name_;
};

// Appends text; the caller opens and closes in order. Output is deterministic: members stand in
// the order written, doubles in the shortest form that reads back the same.
class JsonWriter {
 public:
  explicit JsonWriter(int indent = 0) : indent_(indent) {}
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& value(std::string_view text);  // invalid UTF-8 is repaired
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(int64_t number);
  JsonWriter& value(uint64_t number);
  JsonWriter& value(int number) { return value(static_cast<int64_t>(number)); }
  JsonWriter& value(uint32_t number) { return value(static_cast<uint64_t>(number)); }
  JsonWriter& value(double number);  // NaN and infinities become null
  JsonWriter& value(bool flag);
  JsonWriter& null();
  JsonWriter& raw(std::string_view json);  // an already serialised value
  template <typename T>
  JsonWriter& member(std::string_view name, const T& v) { return key(name).value(v); }

  const std::string& text() const { return text_; }
  std::string take() { return std::move(text_); }

 private:
  void before_value();
  void newline();
  std::string text_;
  std::vector<bool> has_members_;  // one per open container
  bool after_key_ = false;
  int indent_;
};

// The text as a JSON string with its quotes.
std::string json_quote(std::string_view text);

}  // namespace lamina
