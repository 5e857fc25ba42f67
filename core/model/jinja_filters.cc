// SPDX-License-Identifier: Apache-2.0
// value | filter(arguments). A filter for strings first makes a string of what it gets, as Jinja's
// do.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <string>
#include <utility>

#include "core/base/utf8.h"
#include "core/model/jinja_print.h"
#include "core/model/jinja_runtime.h"
#include "core/model/jinja_semantics.h"
#include "core/model/jinja_strings.h"

namespace lamina::jinja {

namespace {

constexpr int64_t kMaxIndent = 64;

Result<Value> trim(Runtime& rt, const Value& input, const Arguments& arguments) {
  Value chars = Value::none();
  LAMINA_TRY(bind(arguments, "trim", {{"chars", &chars}}));
  LAMINA_ASSIGN(const Text text, to_text(rt.budget, input));
  ByteRange range;
  if (chars.is(Kind::kNone)) {
    LAMINA_TRY(rt.budget.spend_scan(text.size()));
    range = strip_space(text.bytes(), true, true);
  } else {
    LAMINA_ASSIGN(const Text* set, expect_string("trim", chars));
    LAMINA_TRY(rt.budget.spend_steps((1 + text.size() / 32) * (1 + set->size())));
    range = strip_any_of(text.bytes(), set->bytes(), true, true);
  }
  return rt.heap.string(text.slice(range.begin, range.end));
}

template <Text (*kChange)(const Text&)>
Result<Value> change_case(Runtime& rt, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "change of case", {}));
  LAMINA_ASSIGN(const Text text, to_text(rt.budget, input));
  return rt.heap.string(kChange(text));
}

Result<Value> to_string(Runtime& rt, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "string", {}));
  if (input.is(Kind::kString)) return input;
  LAMINA_ASSIGN(Text text, to_text(rt.budget, input));
  return rt.heap.string(std::move(text));
}

Result<Value> replace_filter(Runtime& rt, const Value& input, const Arguments& arguments) {
  Value old, with;
  Value count = Value::none();
  LAMINA_TRY(bind(arguments, "replace",
                  {{"old", &old, true}, {"new", &with, true}, {"count", &count}}));
  if (count.is(Kind::kNone)) count = Value::integer(-1);
  LAMINA_ASSIGN(const int64_t most, expect_int("replace", count));
  LAMINA_ASSIGN(const Text text, to_text(rt.budget, input));
  LAMINA_ASSIGN(const Text old_text, to_text(rt.budget, old));
  LAMINA_ASSIGN(const Text new_text, to_text(rt.budget, with));
  LAMINA_ASSIGN(Text out, replace(rt.budget, text, old_text, new_text, most));
  return rt.heap.string(std::move(out));
}

// The prefix that `indent` puts before lines: spaces, or a string given as the width.
Result<Text> indentation(const Value& width) {
  if (width.is(Kind::kString)) return width.as_text();
  LAMINA_ASSIGN(const int64_t count, expect_int("indent", width));
  if (count > kMaxIndent) return make_error(Code::kUnsupported, "indent: more than 64 spaces");
  return Text(std::string(static_cast<size_t>(std::max<int64_t>(count, 0)), ' '), true);
}

Result<Value> indent(Runtime& rt, const Value& input, const Arguments& arguments) {
  Value width = Value::integer(4);
  Value first = Value::boolean(false);
  Value blank = Value::boolean(false);
  LAMINA_TRY(bind(arguments, "indent", {{"width", &width}, {"first", &first}, {"blank", &blank}}));
  LAMINA_ASSIGN(const Text prefix, indentation(width));
  LAMINA_ASSIGN(const Text* string, expect_string("indent", input));
  LAMINA_TRY(rt.budget.spend_scan(string->size()));
  Text text = *string;
  text.append("\n", true);  // so that a last line that is empty counts
  LAMINA_ASSIGN(const std::vector<Text> lines, split_lines(rt.budget, text, false));
  Text out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n", true);
    const bool wanted = i == 0 ? is_true(first) : is_true(blank) || !lines[i].empty();
    LAMINA_TRY(rt.budget.check_bytes(out.size() + prefix.size() + lines[i].size()));
    if (wanted) out.append(prefix);
    out.append(lines[i]);
  }
  return rt.heap.string(std::move(out));
}

Result<Value> tojson(Runtime& rt, const Value& input, const Arguments& arguments) {
  Value indent = Value::none();
  Value ascii = Value::boolean(false);
  LAMINA_TRY(bind(arguments, "tojson", {{"indent", &indent}, {"ensure_ascii", &ascii}}));
  if (is_true(ascii)) return make_error(Code::kUnsupported, "tojson: ensure_ascii=true");
  int64_t spaces = -1;
  if (!indent.is(Kind::kNone)) {
    LAMINA_ASSIGN(spaces, expect_int("tojson", indent));
  }
  if (spaces > kMaxIndent) return make_error(Code::kUnsupported, "tojson: indent over 64");
  LAMINA_ASSIGN(Text text,
                to_json(rt.budget, input, static_cast<int>(std::max<int64_t>(spaces, -1))));
  return rt.heap.string(std::move(text));
}

Result<Value> length_filter(Runtime& rt, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "length", {}));
  LAMINA_ASSIGN(const int64_t count, length(rt.budget, input));
  return Value::integer(count);
}

Result<Value> default_filter(Runtime& rt, const Value& input, const Arguments& arguments) {
  Value fallback;
  Value also_false = Value::boolean(false);
  LAMINA_TRY(bind(arguments, "default", {{"default_value", &fallback}, {"boolean", &also_false}}));
  const bool use = input.is(Kind::kUndefined) || (is_true(also_false) && !is_true(input));
  if (!use) return input;
  if (arguments.positional.empty() && fallback.is(Kind::kUndefined)) return rt.heap.string(Text());
  return fallback;
}

Result<Value> first(Runtime& rt, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "first", {}));
  if (input.is(Kind::kString)) return get_item(rt, input, Value::integer(0));
  LAMINA_ASSIGN(const List* list, iterate(rt.budget, rt.heap, input));
  return list->items.empty() ? Value::undefined("first item") : list->items.front();
}

Result<Value> last(Runtime& rt, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "last", {}));
  if (input.is(Kind::kString)) return get_item(rt, input, Value::integer(-1));
  LAMINA_ASSIGN(const List* list, iterate(rt.budget, rt.heap, input));
  return list->items.empty() ? Value::undefined("last item") : list->items.back();
}

Result<Value> list_filter(Runtime& rt, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "list", {}));
  LAMINA_ASSIGN(const List* list, iterate(rt.budget, rt.heap, input));
  return rt.heap.list(list->items);
}

Result<Value> reverse(Runtime& rt, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "reverse", {}));
  const Value none = Value::none();
  if (input.is(Kind::kString)) return get_slice(rt, input, none, none, Value::integer(-1));
  LAMINA_ASSIGN(const List* list, iterate(rt.budget, rt.heap, input));
  return rt.heap.list(std::vector<Value>(list->items.rbegin(), list->items.rend()));
}

// value.a.b.0 for "a.b.0".
Result<Value> get_path(Runtime& rt, Value value, const Value& path) {
  if (path.is_integral()) return get_item(rt, value, path);
  LAMINA_ASSIGN(const Text* text, expect_string("attribute", path));
  LAMINA_ASSIGN(const std::vector<Text> parts, split_at(rt.budget, *text, ".", -1, false));
  for (const Text& part : parts) {
    const std::string_view name = part.bytes();
    int64_t index = 0;
    const char* end = name.data() + name.size();
    Value key;
    if (std::from_chars(name.data(), end, index).ptr == end && !name.empty() && name[0] != '-') {
      key = Value::integer(index);
    } else {
      LAMINA_ASSIGN(key, rt.heap.string(part));
    }
    LAMINA_ASSIGN(value, get_item(rt, value, key));
  }
  return value;
}

Result<Value> join(Runtime& rt, const Value& input, const Arguments& arguments) {
  Value separator;
  Value attribute = Value::none();
  LAMINA_TRY(bind(arguments, "join", {{"d", &separator}, {"attribute", &attribute}}));
  LAMINA_ASSIGN(const Text between, to_text(rt.budget, separator));
  LAMINA_ASSIGN(const List* list, iterate(rt.budget, rt.heap, input));
  Text out;
  for (size_t i = 0; i < list->items.size(); ++i) {
    Value item = list->items[i];
    if (!attribute.is(Kind::kNone)) {
      LAMINA_ASSIGN(item, get_path(rt, item, attribute));
    }
    LAMINA_TRY(rt.budget.check_bytes(out.size() + between.size()));
    if (i > 0) out.append(between);
    LAMINA_TRY(print(rt.budget, item, out));
  }
  return rt.heap.string(std::move(out));
}

Arguments rest_of(const Arguments& arguments, size_t from) {
  Arguments rest;
  for (size_t i = from; i < arguments.positional.size(); ++i) {
    rest.positional.push_back(arguments.positional[i]);
  }
  rest.named = arguments.named;
  return rest;
}

Error unknown(const char* what, std::string_view name) {
  return make_error(Code::kUnsupported, "there is no %s %s", what, quote(name).c_str());
}

// map(attribute="a.b", default=...) or map("filter", arguments...).
Result<Value> map_filter(Runtime& rt, const Value& input, const Arguments& arguments) {
  if (!is_true(input)) return rt.heap.list({});  // none and 0 are as good as an empty list
  LAMINA_ASSIGN(const List* list, iterate(rt.budget, rt.heap, input));
  Value attribute, fallback;
  Filter filter = nullptr;
  if (arguments.positional.empty()) {
    LAMINA_TRY(bind(arguments, "map", {{"attribute", &attribute, true}, {"default", &fallback}}));
  } else {
    LAMINA_ASSIGN(const Text* name, expect_string("map", arguments.positional[0]));
    filter = find_filter(name->bytes());
    if (filter == nullptr) return unknown("filter", name->bytes());
  }
  const Arguments rest = filter != nullptr ? rest_of(arguments, 1) : Arguments{};
  std::vector<Value> items;
  for (const Value& item : list->items) {
    LAMINA_TRY(rt.budget.spend_steps(1));
    LAMINA_TRY(rt.budget.enter());  // map("map", ...) may nest
    auto mapped = filter != nullptr ? filter(rt, item, rest) : get_path(rt, item, attribute);
    rt.budget.leave();
    LAMINA_ASSIGN(Value result, std::move(mapped));
    if (filter == nullptr && result.is(Kind::kUndefined)) result = fallback;
    items.push_back(result);
  }
  return rt.heap.list(std::move(items));
}

// The items for which a test holds (or not, to reject); of an attribute of theirs if asked.
template <bool kByAttribute, bool kKeep>
Result<Value> select(Runtime& rt, const Value& input, const Arguments& arguments) {
  if (!is_true(input)) return rt.heap.list({});
  constexpr size_t kTestAt = kByAttribute ? 1 : 0;
  if (kByAttribute && arguments.positional.empty()) {
    return make_error(Code::kInvalidModel, "selectattr needs the name of an attribute");
  }
  Test test = nullptr;
  if (arguments.positional.size() > kTestAt) {
    LAMINA_ASSIGN(const Text* name, expect_string("select", arguments.positional[kTestAt]));
    test = find_test(name->bytes());
    if (test == nullptr) return unknown("test", name->bytes());
  }
  const Arguments rest = rest_of(arguments, kTestAt + 1);
  LAMINA_ASSIGN(const List* list, iterate(rt.budget, rt.heap, input));
  std::vector<Value> items;
  for (const Value& item : list->items) {
    LAMINA_TRY(rt.budget.spend_steps(1));
    Value subject = item;
    if (kByAttribute) {
      LAMINA_ASSIGN(subject, get_path(rt, item, arguments.positional[0]));
    }
    bool fits = is_true(subject);
    if (test != nullptr) {
      LAMINA_ASSIGN(fits, test(rt, subject, rest));
    }
    if (fits == kKeep) items.push_back(item);
  }
  return rt.heap.list(std::move(items));
}

Result<Value> items_filter(Runtime& rt, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "items", {}));
  if (input.is(Kind::kUndefined)) return rt.heap.list({});
  if (!input.is(Kind::kDict)) return type_error("items", input);
  LAMINA_ASSIGN(const Value method, rt.heap.method(input, "items"));
  return call_method(rt, method.as_method(), {});
}

// Pairs sorted by key, letters of both cases alike. Only string keys, as in JSON.
Result<Value> dictsort(Runtime& rt, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "dictsort", {}));
  LAMINA_ASSIGN(const Value pairs, items_filter(rt, input, {}));
  std::vector<std::pair<std::string, Value>> sorted;
  for (const Value& pair : pairs.as_list().items) {
    LAMINA_ASSIGN(const Text* key, expect_string("dictsort", pair.as_list().items[0]));
    LAMINA_TRY(rt.budget.spend_bytes(key->footprint()));
    LAMINA_TRY(rt.budget.spend_steps(16));
    sorted.emplace_back(std::string(lower(*key).bytes()), pair);
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Value> items;
  for (const auto& [key, pair] : sorted) items.push_back(pair);
  return rt.heap.list(std::move(items));
}

// A decimal number with white space around it, as Python's int() and float() read it.
bool parse_number(std::string_view text, double& number, int64_t& integer, bool& is_integer) {
  const ByteRange range = strip_space(text, true, true);
  std::string digits(text.substr(range.begin, range.end - range.begin));
  if (digits.empty() || digits.size() > 64) return false;
  if (digits.find_first_not_of("0123456789+-.eE") != std::string::npos) return false;
  char* stop = nullptr;
  number = std::strtod(digits.c_str(), &stop);
  if (stop != digits.c_str() + digits.size()) return false;
  if (digits[0] == '+') digits.erase(0, 1);
  const char* end = digits.data() + digits.size();
  const auto [last, error] = std::from_chars(digits.data(), end, integer);
  is_integer = last == end && error == std::errc();
  return true;
}

Result<Value> int_filter(Runtime&, const Value& input, const Arguments& arguments) {
  Value fallback = Value::integer(0);
  LAMINA_TRY(bind(arguments, "int", {{"default", &fallback}}));
  if (input.is(Kind::kUndefined)) return type_error("int", input);
  if (input.is_integral()) return Value::integer(input.as_int());
  double number = 0;
  if (input.is(Kind::kFloat)) {
    number = input.as_double();
  } else {
    int64_t integer = 0;
    bool is_integer = false;
    if (!input.is(Kind::kString)) return fallback;
    if (!parse_number(input.as_bytes(), number, integer, is_integer)) return fallback;
    if (is_integer) return Value::integer(integer);
  }
  if (!(std::fabs(number) < 0x1p63)) return fallback;
  return Value::integer(static_cast<int64_t>(number));
}

Result<Value> float_filter(Runtime&, const Value& input, const Arguments& arguments) {
  Value fallback = Value::number(0);
  LAMINA_TRY(bind(arguments, "float", {{"default", &fallback}}));
  if (input.is(Kind::kUndefined)) return type_error("float", input);
  if (input.is_numeric()) return Value::number(input.as_double());
  double number = 0;
  int64_t integer = 0;
  bool is_integer = false;
  if (!input.is(Kind::kString)) return fallback;
  if (!parse_number(input.as_bytes(), number, integer, is_integer)) return fallback;
  return Value::number(number);
}

Result<Value> abs_filter(Runtime&, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "abs", {}));
  if (input.is(Kind::kFloat)) return Value::number(std::fabs(input.as_double()));
  if (!input.is_integral()) return type_error("abs", input);
  if (input.as_int() == INT64_MIN) {
    return make_error(Code::kUnsupported, "abs: the number does not fit 64 bits");
  }
  return Value::integer(input.as_int() < 0 ? -input.as_int() : input.as_int());
}

struct Entry {
  std::string_view name;
  Filter filter;
};

constexpr Entry kFilters[] = {
    {"abs", abs_filter},
    {"capitalize", change_case<capitalize>},
    {"count", length_filter},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", dictsort},
    {"first", first},
    {"float", float_filter},
    {"indent", indent},
    {"int", int_filter},
    {"items", items_filter},
    {"join", join},
    {"last", last},
    {"length", length_filter},
    {"list", list_filter},
    {"lower", change_case<lower>},
    {"map", map_filter},
    {"reject", select<false, false>},
    {"rejectattr", select<true, false>},
    {"replace", replace_filter},
    {"reverse", reverse},
    {"safe", to_string},  // nothing is escaped, so nothing needs to be exempt
    {"select", select<false, true>},
    {"selectattr", select<true, true>},
    {"string", to_string},
    {"title", change_case<title_filter>},
    {"tojson", tojson},
    {"trim", trim},
    {"upper", change_case<upper>},
};

}  // namespace

Filter find_filter(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                   [&](const Entry& entry) { return entry.name == name; });
  return found != std::end(kFilters) ? found->filter : nullptr;
}

}  // namespace lamina::jinja
