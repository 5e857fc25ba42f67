// SPDX-License-Identifier: Apache-2.0
// The parser library drives JsonBuilder through its SAX interface; the document is a flat vector
// of nodes whose children are linked by `next`, with all text in one string.
#include "core/base/json.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/base/utf8.h"

namespace lamina {

class JsonBuilder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  JsonBuilder(JsonDocument* document, const JsonLimits& limits)
      : document_(*document), limits_(limits) {}

  bool null() { return add(JsonKind::kNull); }
  bool boolean(bool v) { return add(JsonKind::kBool) && (last().integer = v, true); }
  bool number_integer(number_integer_t v) { return add(JsonKind::kInt) && (last().integer = v, true); }
  bool number_unsigned(number_unsigned_t v) {
    if (v > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return add(JsonKind::kDouble) && (last().number = static_cast<double>(v), true);
    }
    return number_integer(static_cast<int64_t>(v));
  }
  bool number_float(number_float_t v, const string_t&) {
    return add(JsonKind::kDouble) && (last().number = v, true);
  }
  bool string(string_t& v) {
    if (!add(JsonKind::kString)) return false;
    last().string = {store(v), static_cast<uint32_t>(v.size())};
    return true;
  }
  bool binary(binary_t&) { return false; }
  bool start_object(size_t) { return open(JsonKind::kObject); }
  bool start_array(size_t) { return open(JsonKind::kArray); }
  bool end_object() {
    if (limits_.refuse_duplicate_keys && !check_keys()) return false;
    return close();
  }
  bool end_array() { return close(); }
  bool key(string_t& v) {
    key_offset_ = store(v);
    key_length_ = static_cast<uint32_t>(v.size());
    return true;
  }
  template <typename Exception>
  bool parse_error(size_t position, const std::string&, const Exception&) {
    if (error_.empty()) error_ = "not valid JSON at byte " + std::to_string(position);
    return false;
  }

  const std::string& error() const { return error_; }

 private:
  struct Open {
    uint32_t node;
    uint32_t last_child;
  };

  JsonDocument::Node& last() { return document_.nodes_.back(); }

  uint32_t store(const std::string& text) {
    const auto offset = static_cast<uint32_t>(document_.strings_.size());
    document_.strings_ += text;
    return offset;
  }

  bool add(JsonKind kind) {
    if (document_.nodes_.size() >= limits_.max_values) {
      error_ = "over the limit of " + std::to_string(limits_.max_values) + " JSON values";
      return false;
    }
    const auto index = static_cast<uint32_t>(document_.nodes_.size());
    JsonDocument::Node node{};
    node.kind = kind;
    node.key_offset = key_offset_;
    node.key_length = key_length_;
    key_length_ = 0;
    if (!open_.empty()) {
      Open& parent = open_.back();
      node.parent = parent.node;
      auto& children = document_.nodes_[parent.node].children;
      if (parent.last_child == 0) {
        children.first_child = index;
      } else {
        document_.nodes_[parent.last_child].next = index;
      }
      ++children.count;
      parent.last_child = index;
    }
    document_.nodes_.push_back(node);
    return true;
  }

  bool open(JsonKind kind) {
    if (open_.size() >= limits_.max_depth) {
      error_ = "nested deeper than " + std::to_string(limits_.max_depth) + " levels";
      return false;
    }
    if (!add(kind)) return false;
    last().children = {0, 0};
    open_.push_back({static_cast<uint32_t>(document_.nodes_.size() - 1), 0});
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  bool check_keys() {
    std::unordered_set<std::string_view> seen;
    const auto& children = document_.nodes_[open_.back().node].children;
    seen.reserve(children.count);
    for (uint32_t i = children.first_child; i != 0; i = document_.nodes_[i].next) {
      const auto& node = document_.nodes_[i];
      const auto name = std::string_view(document_.strings_).substr(node.key_offset, node.key_length);
      if (!seen.insert(name).second) {
        error_ = "duplicate key " + quote(name);
        return false;
      }
    }
    return true;
  }

  JsonDocument& document_;
  const JsonLimits& limits_;
  std::vector<Open> open_;
  uint32_t key_offset_ = 0;
  uint32_t key_length_ = 0;
  std::string error_;
};

Result<std::unique_ptr<JsonDocument>> JsonDocument::parse(std::string_view text,
                                                          std::string_view what,
                                                          const JsonLimits& limits) {
  auto document = std::make_unique<JsonDocument>();
  document->name_ = what;
  const size_t most = std::min<size_t>(limits.max_bytes, std::numeric_limits<uint32_t>::max() / 2);
  if (text.size() > most) {
    return make_error(Code::kInvalidModel, "%s: %zu bytes of JSON, at most %zu are read",
                      document->name_.c_str(), text.size(), most);
  }
  JsonBuilder builder(document.get(), limits);
  const bool parsed = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  if (!parsed || document->nodes_.empty()) {
    return make_error(Code::kInvalidModel, "%s: %s", document->name_.c_str(),
                      builder.error().empty() ? "not valid JSON" : builder.error().c_str());
  }
  return document;
}

JsonKind JsonValue::kind() const {
  return document_ ? document_->nodes_[node_].kind : JsonKind::kMissing;
}

bool JsonValue::as_bool() const {
  LAMINA_CHECK(is_bool());
  return document_->nodes_[node_].integer != 0;
}

int64_t JsonValue::as_int() const {
  LAMINA_CHECK(is_int());
  return document_->nodes_[node_].integer;
}

double JsonValue::as_double() const {
  LAMINA_CHECK(is_number());
  const auto& node = document_->nodes_[node_];
  return node.kind == JsonKind::kInt ? static_cast<double>(node.integer) : node.number;
}

std::string_view JsonValue::as_string() const {
  LAMINA_CHECK(is_string());
  const auto& string = document_->nodes_[node_].string;
  return std::string_view(document_->strings_).substr(string.offset, string.length);
}

size_t JsonValue::size() const {
  return is_array() || is_object() ? document_->nodes_[node_].children.count : 0;
}

JsonValue JsonValue::first_child() const {
  if (size() == 0) return {};
  return {document_, document_->nodes_[node_].children.first_child};
}

JsonValue JsonValue::next_sibling() const {
  if (!document_ || document_->nodes_[node_].next == 0) return {};
  return {document_, document_->nodes_[node_].next};
}

std::string_view JsonValue::key() const {
  if (!document_) return {};
  const auto& node = document_->nodes_[node_];
  return std::string_view(document_->strings_).substr(node.key_offset, node.key_length);
}

JsonValue JsonValue::find(std::string_view name) const {
  if (!is_object()) return {};
  for (JsonValue v = first_child(); !v.is_missing(); v = v.next_sibling()) {
    if (v.key() == name) return v;
  }
  return {};
}

std::string JsonValue::path() const {
  if (!document_ || node_ == 0) return "";
  const uint32_t parent = document_->nodes_[node_].parent;
  const JsonValue above(document_, parent);
  std::string prefix = above.path();
  if (above.is_object()) {
    if (!prefix.empty()) prefix += '.';
    return prefix + std::string(key().substr(0, 120));
  }
  size_t index = 0;
  for (JsonValue v = above.first_child(); v.node_ != node_; v = v.next_sibling()) ++index;
  return prefix + '[' + std::to_string(index) + ']';
}

namespace {

std::string describe(const JsonValue& v) {
  switch (v.kind()) {
    case JsonKind::kMissing: return "is missing";
    case JsonKind::kNull: return "is null";
    case JsonKind::kBool: return v.as_bool() ? "is true" : "is false";
    case JsonKind::kInt: return "is " + std::to_string(v.as_int());
    case JsonKind::kDouble: {
      char text[40];
      snprintf(text, sizeof text, "is %.9g", v.as_double());
      return text;
    }
    case JsonKind::kString: return "is " + quote(v.as_string());
    case JsonKind::kArray: return "is an array of " + std::to_string(v.size());
    case JsonKind::kObject: return "is an object";
  }
  return "";
}

Error field_error(const std::string& file, const std::string& path, std::string_view what,
                  const JsonValue& v) {
  return make_error(Code::kInvalidModel, "%s: field %s: %.*s (%s)", file.c_str(),
                    quote(path).c_str(), static_cast<int>(what.size()), what.data(),
                    describe(v).c_str());
}

std::string child_path(const JsonValue& parent, std::string_view name) {
  const std::string prefix = parent.path();
  return prefix.empty() ? std::string(name) : prefix + "." + std::string(name);
}

}  // namespace

Error JsonValue::error(Code code, std::string_view what) const {
  Error e = field_error(document_ ? document_->name_ : "JSON", path(), what, *this);
  e.code = code;
  return e;
}

Result<int64_t> JsonValue::to_int(int64_t low, int64_t high) const {
  const bool in_range = is_int() && as_int() >= low && as_int() <= high;
  if (in_range) return as_int();
  return error(Code::kInvalidModel, "must be a whole number from " + std::to_string(low) + " to " +
                                        std::to_string(high));
}

Result<int64_t> JsonValue::get_int(std::string_view name, int64_t low, int64_t high) const {
  const JsonValue v = find(name);
  if (!v.is_missing()) return v.to_int(low, high);
  return field_error(document_ ? document_->name_ : "JSON", child_path(*this, name),
                     "a whole number is needed", v);
}

Result<int64_t> JsonValue::get_int_or(std::string_view name, int64_t absent, int64_t low,
                                      int64_t high) const {
  return find(name).is_absent() ? Result<int64_t>(absent) : get_int(name, low, high);
}

Result<double> JsonValue::get_double(std::string_view name, double low, double high) const {
  const JsonValue v = find(name);
  if (v.is_number() && std::isfinite(v.as_double()) && v.as_double() >= low &&
      v.as_double() <= high) {
    return v.as_double();
  }
  char range[96];
  snprintf(range, sizeof range, "must be a number from %g to %g", low, high);
  return field_error(document_ ? document_->name_ : "JSON", child_path(*this, name), range, v);
}

Result<double> JsonValue::get_double_or(std::string_view name, double absent, double low,
                                        double high) const {
  return find(name).is_absent() ? Result<double>(absent) : get_double(name, low, high);
}

Result<bool> JsonValue::get_bool_or(std::string_view name, bool absent) const {
  const JsonValue v = find(name);
  if (v.is_absent()) return absent;
  if (v.is_bool()) return v.as_bool();
  return v.error(Code::kInvalidModel, "must be true or false");
}

Result<std::string> JsonValue::get_string(std::string_view name) const {
  const JsonValue v = find(name);
  if (v.is_string()) return std::string(v.as_string());
  return field_error(document_ ? document_->name_ : "JSON", child_path(*this, name),
                     "a string is needed", v);
}

Result<std::string> JsonValue::get_string_or(std::string_view name, std::string_view absent) const {
  return find(name).is_absent() ? Result<std::string>(std::string(absent)) : get_string(name);
}

Result<JsonValue> JsonValue::get_object(std::string_view name) const {
  const JsonValue v = find(name);
  if (v.is_object()) return v;
  return field_error(document_ ? document_->name_ : "JSON", child_path(*this, name),
                     "an object is needed", v);
}

Result<JsonValue> JsonValue::get_array(std::string_view name) const {
  const JsonValue v = find(name);
  if (v.is_array()) return v;
  return field_error(document_ ? document_->name_ : "JSON", child_path(*this, name),
                     "an array is needed", v);
}

void JsonWriter::newline() {
  if (indent_ == 0) return;
  text_ += '\n';
  text_.append(has_members_.size() * static_cast<size_t>(indent_), ' ');
}

void JsonWriter::before_value() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (has_members_.empty()) return;
  if (has_members_.back()) text_ += ',';
  has_members_.back() = true;
  newline();
}

JsonWriter& JsonWriter::begin_object() {
  before_value();
  text_ += '{';
  has_members_.push_back(false);
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  before_value();
  text_ += '[';
  has_members_.push_back(false);
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  const bool members = has_members_.back();
  has_members_.pop_back();
  if (members) newline();
  text_ += '}';
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  const bool members = has_members_.back();
  has_members_.pop_back();
  if (members) newline();
  text_ += ']';
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  before_value();
  text_ += json_quote(name);
  text_ += indent_ ? ": " : ":";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) { return raw(json_quote(text)); }
JsonWriter& JsonWriter::value(int64_t number) { return raw(std::to_string(number)); }
JsonWriter& JsonWriter::value(uint64_t number) { return raw(std::to_string(number)); }
JsonWriter& JsonWriter::value(bool flag) { return raw(flag ? "true" : "false"); }
JsonWriter& JsonWriter::null() { return raw("null"); }

JsonWriter& JsonWriter::value(double number) {
  if (!std::isfinite(number)) return null();
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, number).ptr;
  return raw(std::string_view(text, static_cast<size_t>(end - text)));
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  before_value();
  text_ += json;
  return *this;
}

std::string json_quote(std::string_view text) {
  std::string repaired;
  if (!is_valid_utf8(text)) {
    repaired = repaired_utf8(text);
    text = repaired;
  }
  std::string out = "\"";
  for (char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          char escape[8];
          snprintf(escape, sizeof escape, "\\u%04x", c);
          out += escape;
        } else {
          out += c;
        }
    }
  }
  return out += '"';
}

}  // namespace lamina
