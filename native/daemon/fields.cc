// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/fields.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace lamina::daemon {
namespace {

using Kind = FieldError::Kind;

std::string range_text(double low, double high) {
  char text[96];
  std::snprintf(text, sizeof text, "must be from %.17g to %.17g", low, high);
  return text;
}

std::string count_text(const char* what, size_t least, size_t most) {
  return std::string("must have ") + std::to_string(least) + " to " + std::to_string(most) + " " +
         what;
}

// A name from outside, as it may stand in a path.
std::string safe_name(std::string_view name) {
  const bool plain = !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
  return plain ? std::string(name) : quote(name);
}

std::string must_be(const char* what, JsonValue is) {
  return std::string("must be ") + what + ", not " + std::string(kind_text(is.kind()));
}

}  // namespace

std::string_view kind_text(JsonKind kind) {
  switch (kind) {
    case JsonKind::kMissing:
      return "absent";
    case JsonKind::kNull:
      return "null";
    case JsonKind::kBool:
      return "true or false";
    case JsonKind::kInt:
    case JsonKind::kDouble:
      return "a number";
    case JsonKind::kString:
      return "a string";
    case JsonKind::kArray:
      return "an array";
    case JsonKind::kObject:
      return "an object";
  }
  return "?";
}

Fields::Fields(JsonValue object, std::string path, Nulls nulls, FieldError& error)
    : object_(object), path_(std::move(path)), nulls_(nulls), error_(&error) {
  if (!object_.is_object()) refuse(Kind::kWrongKind, "", must_be("an object", object_));
}

std::string Fields::path_of(std::string_view name) const {
  if (name.empty()) return path_;
  if (path_.empty()) return std::string(name);
  return path_ + "." + std::string(name);
}

void Fields::refuse(Kind kind, std::string_view name, std::string message) {
  if (!ok()) return;
  *error_ = {kind, path_of(name), std::move(message)};
}

JsonValue Fields::find(std::string_view name) {
  known_.emplace_back(name);
  if (!ok()) return {};
  const JsonValue value = object_.find(name);
  return nulls_ == Nulls::kAbsent && value.is_null() ? JsonValue() : value;
}

std::optional<JsonValue> Fields::any(std::string_view name) {
  const JsonValue value = find(name);
  if (value.is_missing()) return std::nullopt;
  return value;
}

std::optional<std::string> Fields::text(std::string_view name, size_t least, size_t most) {
  const JsonValue value = find(name);
  if (value.is_missing()) return std::nullopt;
  if (!value.is_string()) {
    refuse(Kind::kWrongKind, name, must_be("a string", value));
    return std::nullopt;
  }
  const std::string_view text = value.as_string();
  if (text.size() < least || text.size() > most) {
    refuse(Kind::kOutOfRange, name, count_text("bytes", least, most));
    return std::nullopt;
  }
  return std::string(text);
}

std::string Fields::needed_text(std::string_view name, size_t least, size_t most) {
  std::optional<std::string> value = text(name, least, most);
  if (!value) refuse(Kind::kMissing, name, "is needed");
  return value.value_or("");
}

std::optional<int64_t> Fields::whole(JsonValue value) const {
  if (value.is_int()) return value.as_int();
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const double number = value.as_double();
  if (std::floor(number) == number && std::abs(number) <= kExact) {
    return static_cast<int64_t>(number);
  }
  return std::nullopt;
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t low, int64_t high) {
  const JsonValue value = find(name);
  if (value.is_missing()) return std::nullopt;
  if (!value.is_number()) {
    refuse(Kind::kWrongKind, name, must_be("a whole number", value));
    return std::nullopt;
  }
  const std::optional<int64_t> number = whole(value);
  if (number && *number >= low && *number <= high) return number;
  const bool fraction = std::floor(value.as_double()) != value.as_double();
  if (fraction) {
    refuse(Kind::kWrongKind, name, "must be a whole number");
  } else {
    refuse(Kind::kOutOfRange, name,
           "must be from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return std::nullopt;
}

std::optional<double> Fields::number(std::string_view name, double low, double high) {
  const JsonValue value = find(name);
  if (value.is_missing()) return std::nullopt;
  if (!value.is_number()) {
    refuse(Kind::kWrongKind, name, must_be("a number", value));
    return std::nullopt;
  }
  const double number = value.as_double();
  if (number >= low && number <= high) return number;
  refuse(Kind::kOutOfRange, name, range_text(low, high));
  return std::nullopt;
}

std::optional<bool> Fields::flag(std::string_view name) {
  const JsonValue value = find(name);
  if (value.is_missing()) return std::nullopt;
  if (value.is_bool()) return value.as_bool();
  refuse(Kind::kWrongKind, name, must_be("true or false", value));
  return std::nullopt;
}

std::optional<JsonValue> Fields::object(std::string_view name) {
  const JsonValue value = find(name);
  if (value.is_missing()) return std::nullopt;
  if (value.is_object()) return value;
  refuse(Kind::kWrongKind, name, must_be("an object", value));
  return std::nullopt;
}

std::optional<JsonValue> Fields::array(std::string_view name, size_t least, size_t most) {
  const JsonValue value = find(name);
  if (value.is_missing()) return std::nullopt;
  if (!value.is_array()) {
    refuse(Kind::kWrongKind, name, must_be("an array", value));
    return std::nullopt;
  }
  if (value.size() >= least && value.size() <= most) return value;
  refuse(Kind::kOutOfRange, name, count_text("items", least, most));
  return std::nullopt;
}

std::optional<std::vector<std::string>> Fields::texts(std::string_view name, size_t least,
                                                      size_t most, size_t least_bytes,
                                                      size_t most_bytes) {
  const std::optional<JsonValue> list = array(name, least, most);
  if (!list) return std::nullopt;
  std::vector<std::string> out;
  for (JsonValue v = list->first_child(); !v.is_missing(); v = v.next_sibling()) {
    const std::string at = std::string(name) + "[" + std::to_string(out.size()) + "]";
    if (!v.is_string()) {
      refuse(Kind::kWrongKind, at, must_be("a string", v));
      return std::nullopt;
    }
    if (v.as_string().size() < least_bytes || v.as_string().size() > most_bytes) {
      refuse(Kind::kOutOfRange, at, count_text("bytes", least_bytes, most_bytes));
      return std::nullopt;
    }
    out.emplace_back(v.as_string());
  }
  return out;
}

void Fields::refuse_others() {
  if (!ok()) return;
  for (JsonValue v = object_.first_child(); !v.is_missing(); v = v.next_sibling()) {
    if (std::ranges::find(known_, v.key()) != known_.end()) continue;
    refuse(Kind::kUnknown, safe_name(v.key()), "is not known here");
    return;
  }
}

std::vector<int32_t> read_token_ids(Fields& f, const std::string& name, JsonValue list) {
  std::vector<int32_t> ids;
  if (list.size() == 0) f.refuse(Kind::kOutOfRange, name, "must have a token at least");
  for (JsonValue v = list.first_child(); !v.is_missing() && f.ok(); v = v.next_sibling()) {
    const std::string at = name + "[" + std::to_string(ids.size()) + "]";
    if (!v.is_int()) {
      f.refuse(Kind::kWrongKind, at, "must be a token id, which is a whole number");
    } else if (v.as_int() < 0 || v.as_int() > INT32_MAX) {
      f.refuse(Kind::kOutOfRange, at, "must be a token id of the model's vocabulary");
    } else {
      ids.push_back(static_cast<int32_t>(v.as_int()));
    }
  }
  return ids;
}

}  // namespace lamina::daemon
