// SPDX-License-Identifier: Apache-2.0
// Members of a JSON object that a client sent, read with the first complaint kept: the getters give
// nothing from then on, so a parser is a list of what it takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"

namespace lamina::daemon {

struct FieldError {
  enum class Kind : uint8_t { kNone, kMissing, kWrongKind, kOutOfRange, kUnknown };
  Kind kind = Kind::kNone;
  std::string field;    // "sampling.top_p", "messages[2].role"
  std::string message;  // without the field's name in front
};

class Fields {
 public:
  enum class Nulls : uint8_t { kRefused, kAbsent };

  // `object` must be an object, which is complained about otherwise. `path` is put before names.
  // `error` outlives this and is shared with the readers of members.
  Fields(JsonValue object, std::string path, Nulls nulls, FieldError& error);

  bool ok() const { return error_->kind == FieldError::Kind::kNone; }

  std::optional<std::string> text(std::string_view name, size_t least_bytes, size_t most_bytes);
  // Also a double without a fraction, as JSON Schema has it.
  std::optional<int64_t> integer(std::string_view name, int64_t low, int64_t high);
  std::optional<double> number(std::string_view name, double low, double high);
  std::optional<bool> flag(std::string_view name);
  std::optional<JsonValue> object(std::string_view name);
  std::optional<JsonValue> array(std::string_view name, size_t least, size_t most);
  // Any kind; nothing when absent.
  std::optional<JsonValue> any(std::string_view name);
  // Strings of an array.
  std::optional<std::vector<std::string>> texts(std::string_view name, size_t least, size_t most,
                                                size_t least_bytes, size_t most_bytes);

  std::string needed_text(std::string_view name, size_t least_bytes, size_t most_bytes);

  // Complains about a member that no getter has asked for.
  void refuse_others();
  // The first complaint stands.
  void refuse(FieldError::Kind kind, std::string_view name, std::string message);
  std::string path_of(std::string_view name) const;

 private:
  JsonValue find(std::string_view name);
  std::optional<int64_t> whole(JsonValue value) const;

  JsonValue object_;
  std::string path_;
  Nulls nulls_;
  FieldError* error_;
  std::vector<std::string> known_;
};

std::string_view kind_text(JsonKind kind);  // "a string", "null"

// Token ids, one at least, of the list `name`; the upper limit is the vocabulary's.
std::vector<int32_t> read_token_ids(Fields& f, const std::string& name, JsonValue list);

}  // namespace lamina::daemon
