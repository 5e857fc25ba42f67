// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja_print.h"

#include <charconv>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "core/base/utf8.h"

namespace lamina::jinja {

namespace {

std::string int_repr(int64_t value) { return std::to_string(value); }

// The digits of the shortest decimal that reads back as `value` > 0, and its exponent:
// value = 0.d1d2d3... * 10^exponent.
struct Decimal {
  std::string digits;
  int exponent;
};

Decimal shortest_decimal(double value) {
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  Decimal decimal;
  for (char c : text.substr(0, e)) {
    if (c != '.') decimal.digits.push_back(c);
  }
  decimal.exponent = std::atoi(std::string(text.substr(e + 1)).c_str()) + 1;
  return decimal;
}

void append_hex_escape(std::string& out, uint32_t c) {
  char escape[12];
  const char* format = c <= 0xFF ? "\\x%02x" : c <= 0xFFFF ? "\\u%04x" : "\\U%08x";
  std::snprintf(escape, sizeof escape, format, c);
  out += escape;
}

// Control characters, and the white space and marks that have no ink. Python's isprintable() asks
// the Unicode database; this is its common part.
bool is_printable(uint32_t c) {
  if (c == ' ') return true;
  if (c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD || is_space(c)) return false;
  if ((c >= 0x200B && c <= 0x200F) || (c >= 0x202A && c <= 0x202E)) return false;
  return c != 0xFEFF && !(c >= 0xE000 && c <= 0xF8FF);
}

// Appends `text` with some code points replaced; escape() gives the replacement, or nothing.
template <typename Escape>
void append_escaped(const Text& text, Text& out, Escape escape) {
  size_t begin = 0;
  for (const Text::Run& run : text.runs()) {
    const std::string_view bytes = text.bytes().substr(begin, run.end - begin);
    begin = run.end;
    std::string escaped;
    for (size_t i = 0; i < bytes.size();) {
      const CodePoint c = decode_utf8(bytes, i);
      const std::string replacement = escape(c.value);
      escaped += replacement.empty() ? bytes.substr(i, c.bytes) : replacement;
      i += c.bytes;
    }
    out.append(escaped, run.trusted);
  }
}

void print_string_repr(const Text& text, Text& out) {
  const std::string_view bytes = text.bytes();
  const bool has_single = bytes.find('\'') != std::string_view::npos;
  const char quote_char = has_single && bytes.find('"') == std::string_view::npos ? '"' : '\'';
  out.append(std::string_view(&quote_char, 1), true);
  append_escaped(text, out, [quote_char](uint32_t c) -> std::string {
    if (c == '\\') return "\\\\";
    if (c == '\n') return "\\n";
    if (c == '\r') return "\\r";
    if (c == '\t') return "\\t";
    if (c == static_cast<uint8_t>(quote_char)) return {'\\', quote_char};
    std::string escaped;
    if (!is_printable(c)) append_hex_escape(escaped, c);
    return escaped;
  });
  out.append(std::string_view(&quote_char, 1), true);
}

Result<void> print_list(Budget& budget, const List& list, Text& out) {
  out.append(list.is_tuple ? "(" : "[", true);
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(", ", true);
    LAMINA_TRY(print_repr(budget, list.items[i], out));
  }
  if (list.is_tuple && list.items.size() == 1) out.append(",", true);
  out.append(list.is_tuple ? ")" : "]", true);
  return {};
}

Result<void> print_dict(Budget& budget, const Dict& dict, Text& out) {
  out.append("{", true);
  bool first = true;
  for (const auto& [key, value] : dict.members) {
    if (!first) out.append(", ", true);
    first = false;
    LAMINA_TRY(print_repr(budget, key, out));
    out.append(": ", true);
    LAMINA_TRY(print_repr(budget, value, out));
  }
  out.append("}", true);
  return {};
}

class JsonPrinter {
 public:
  JsonPrinter(Budget& budget, int indent) : budget_(budget), indent_(indent) {}
  Result<void> value(const Value& value);
  Text take() { return std::move(out_); }

 private:
  void put(std::string_view text) { out_.append(text, true); }
  void new_line();
  void string(const Text& text);
  Result<void> list(const List& list);
  Result<void> dict(const Dict& dict);
  Result<void> key(const Value& key);
  void number(double value);

  Budget& budget_;
  const int indent_;
  size_t depth_ = 0;
  Text out_;
};

void JsonPrinter::new_line() {
  if (indent_ < 0) return;
  put("\n");
  put(std::string(static_cast<size_t>(indent_) * depth_, ' '));
}

void JsonPrinter::string(const Text& text) {
  put("\"");
  append_escaped(text, out_, [](uint32_t c) -> std::string {
    switch (c) {
      case '"': return "\\\"";
      case '\\': return "\\\\";
      case '\n': return "\\n";
      case '\r': return "\\r";
      case '\t': return "\\t";
      case '\b': return "\\b";
      case '\f': return "\\f";
      default: break;
    }
    if (c >= 0x20) return {};
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\u%04x", c);
    return escape;
  });
  put("\"");
}

void JsonPrinter::number(double value) {
  if (std::isnan(value)) {
    put("NaN");
  } else if (std::isinf(value)) {
    put(value > 0 ? "Infinity" : "-Infinity");
  } else {
    put(float_repr(value));
  }
}

Result<void> JsonPrinter::list(const List& list) {
  if (list.items.empty()) return put("[]"), Result<void>();
  put("[");
  ++depth_;
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) put(indent_ < 0 ? ", " : ",");
    new_line();
    LAMINA_TRY(value(list.items[i]));
  }
  --depth_;
  new_line();
  put("]");
  return {};
}

Result<void> JsonPrinter::key(const Value& key) {
  switch (key.kind()) {
    case Kind::kString: string(key.as_text()); return {};
    case Kind::kInt:
    case Kind::kBool:
    case Kind::kNone:
    case Kind::kFloat:
      put("\"");
      LAMINA_TRY(value(key));
      put("\"");
      return {};
    default: return type_error("being a JSON key", key);
  }
}

Result<void> JsonPrinter::dict(const Dict& dict) {
  if (dict.members.empty()) return put("{}"), Result<void>();
  put("{");
  ++depth_;
  bool first = true;
  for (const auto& [name, member] : dict.members) {
    if (!first) put(indent_ < 0 ? ", " : ",");
    first = false;
    new_line();
    LAMINA_TRY(key(name));
    put(": ");
    LAMINA_TRY(value(member));
  }
  --depth_;
  new_line();
  put("}");
  return {};
}

Result<void> JsonPrinter::value(const Value& value) {
  LAMINA_TRY(budget_.spend_steps(1));
  LAMINA_TRY(budget_.check_bytes(out_.size()));
  switch (value.kind()) {
    case Kind::kNone: put("null"); return {};
    case Kind::kBool: put(value.as_bool() ? "true" : "false"); return {};
    case Kind::kInt: put(int_repr(value.as_int())); return {};
    case Kind::kFloat: number(value.as_double()); return {};
    case Kind::kString: string(value.as_text()); return {};
    case Kind::kList: return list(value.as_list());
    case Kind::kDict: return dict(value.as_dict());
    default: return type_error("tojson", value);
  }
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  std::string out = std::signbit(value) ? "-" : "";
  value = std::fabs(value);
  if (std::isinf(value)) return out.append("inf");
  if (value == 0) return out.append("0.0");
  const auto [digits, exponent] = shortest_decimal(value);
  const auto count = static_cast<int>(digits.size());
  if (exponent < -3 || exponent > 16) {
    char tail[16];
    const int e = exponent - 1;
    std::snprintf(tail, sizeof tail, "e%c%02d", e < 0 ? '-' : '+', std::abs(e));
    out.append(digits, 0, 1);
    if (count > 1) out.append(1, '.').append(digits, 1);
    return out.append(tail);
  }
  if (exponent <= 0) {
    return out.append("0.").append(static_cast<size_t>(-exponent), '0').append(digits);
  }
  const auto whole = static_cast<size_t>(exponent);
  if (count <= exponent) return out.append(digits).append(whole - digits.size(), '0').append(".0");
  return out.append(digits, 0, whole).append(1, '.').append(digits, whole);
}

Result<void> print_repr(Budget& budget, const Value& value, Text& out) {
  if (value.is(Kind::kUndefined)) return out.append("Undefined", true), Result<void>();
  if (!value.is(Kind::kString)) return print(budget, value, out);
  LAMINA_TRY(budget.spend_scan(value.as_bytes().size()));
  LAMINA_TRY(budget.check_bytes(out.size() + value.as_bytes().size()));
  print_string_repr(value.as_text(), out);
  return {};
}

Result<void> print(Budget& budget, const Value& value, Text& out) {
  LAMINA_TRY(budget.spend_steps(1));
  LAMINA_TRY(budget.check_bytes(out.size()));
  switch (value.kind()) {
    case Kind::kUndefined: return {};
    case Kind::kNone: out.append("None", true); return {};
    case Kind::kBool: out.append(value.as_bool() ? "True" : "False", true); return {};
    case Kind::kInt: out.append(int_repr(value.as_int()), true); return {};
    case Kind::kFloat: out.append(float_repr(value.as_double()), true); return {};
    case Kind::kString:
      LAMINA_TRY(budget.spend_scan(value.as_bytes().size()));
      LAMINA_TRY(budget.check_bytes(out.size() + value.as_bytes().size()));
      out.append(value.as_text());
      return {};
    case Kind::kList: return print_list(budget, value.as_list(), out);
    case Kind::kDict: return print_dict(budget, value.as_dict(), out);
    default: return type_error("printing", value);
  }
}

Result<Text> to_text(Budget& budget, const Value& value) {
  Text text;
  LAMINA_TRY(print(budget, value, text));
  return text;
}

Result<Text> to_json(Budget& budget, const Value& value, int indent) {
  JsonPrinter printer(budget, indent);
  LAMINA_TRY(printer.value(value));
  return printer.take();
}

}  // namespace lamina::jinja
