// SPDX-License-Identifier: Apache-2.0
// Methods of strings, dicts and `loop`, found by name.
#include <algorithm>
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

using Call = Result<Value> (*)(Runtime&, const Value& self, const Arguments&);

template <bool kLeft, bool kRight>
Result<Value> strip(Runtime& rt, const Value& self, const Arguments& arguments) {
  Value chars = Value::none();
  LAMINA_TRY(bind(arguments, "strip", {{"chars", &chars}}));
  const Text& text = self.as_text();
  ByteRange range;
  if (chars.is(Kind::kNone)) {
    LAMINA_TRY(rt.budget.spend_scan(text.size()));
    range = strip_space(text.bytes(), kLeft, kRight);
  } else {
    LAMINA_ASSIGN(const Text* set, expect_string("strip", chars));
    LAMINA_TRY(rt.budget.spend_steps((1 + text.size() / 32) * (1 + set->size())));
    range = strip_any_of(text.bytes(), set->bytes(), kLeft, kRight);
  }
  return rt.heap.string(text.slice(range.begin, range.end));
}

Result<Value> list_of(Runtime& rt, std::vector<Text> pieces) {
  std::vector<Value> items;
  for (Text& piece : pieces) {
    LAMINA_ASSIGN(const Value item, rt.heap.string(std::move(piece)));
    items.push_back(item);
  }
  return rt.heap.list(std::move(items));
}

template <bool kFromRight>
Result<Value> split_string(Runtime& rt, const Value& self, const Arguments& arguments) {
  Value separator = Value::none();
  Value most = Value::integer(-1);
  LAMINA_TRY(bind(arguments, "split", {{"sep", &separator}, {"maxsplit", &most}}));
  LAMINA_ASSIGN(const int64_t cuts, expect_int("split", most));
  std::vector<Text> pieces;
  if (separator.is(Kind::kNone)) {
    LAMINA_ASSIGN(pieces, split(rt.budget, self.as_text(), cuts, kFromRight));
  } else {
    LAMINA_ASSIGN(const Text* at, expect_string("split", separator));
    LAMINA_ASSIGN(pieces, split_at(rt.budget, self.as_text(), at->bytes(), cuts, kFromRight));
  }
  return list_of(rt, std::move(pieces));
}

Result<Value> split_string_lines(Runtime& rt, const Value& self, const Arguments& arguments) {
  Value keep_ends = Value::boolean(false);
  LAMINA_TRY(bind(arguments, "splitlines", {{"keepends", &keep_ends}}));
  LAMINA_ASSIGN(std::vector<Text> lines,
                split_lines(rt.budget, self.as_text(), is_true(keep_ends)));
  return list_of(rt, std::move(lines));
}

template <Text (*kChange)(const Text&)>
Result<Value> change_case(Runtime& rt, const Value& self, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "change of case", {}));
  return rt.heap.string(kChange(self.as_text()));
}

// One affix, or a tuple of which any will do.
template <bool kStart>
Result<Value> has_affix(Runtime& rt, const Value& self, const Arguments& arguments) {
  Value affix;
  LAMINA_TRY(bind(arguments, kStart ? "startswith" : "endswith", {{"affix", &affix, true}}));
  const std::string_view text = self.as_bytes();
  const auto fits = [&](const Value& value) -> Result<bool> {
    LAMINA_ASSIGN(const Text* part, expect_string(kStart ? "startswith" : "endswith", value));
    LAMINA_TRY(rt.budget.spend_scan(part->size()));
    return kStart ? text.starts_with(part->bytes()) : text.ends_with(part->bytes());
  };
  if (!affix.is(Kind::kList)) {
    LAMINA_ASSIGN(const bool found, fits(affix));
    return Value::boolean(found);
  }
  for (const Value& item : affix.as_list().items) {
    LAMINA_ASSIGN(const bool found, fits(item));
    if (found) return Value::boolean(true);
  }
  return Value::boolean(false);
}

template <bool kPrefix>
Result<Value> remove_affix(Runtime& rt, const Value& self, const Arguments& arguments) {
  Value affix;
  LAMINA_TRY(bind(arguments, kPrefix ? "removeprefix" : "removesuffix", {{"affix", &affix, true}}));
  LAMINA_ASSIGN(const Text* part, expect_string("removing an affix", affix));
  const Text& text = self.as_text();
  LAMINA_TRY(rt.budget.spend_scan(text.size()));
  if (kPrefix && text.bytes().starts_with(part->bytes())) {
    return rt.heap.string(text.slice(part->size(), text.size()));
  }
  if (!kPrefix && text.bytes().ends_with(part->bytes())) {
    return rt.heap.string(text.slice(0, text.size() - part->size()));
  }
  return self;
}

Result<Value> replace_method(Runtime& rt, const Value& self, const Arguments& arguments) {
  Value old, with;
  Value count = Value::integer(-1);
  LAMINA_TRY(bind(arguments, "replace",
                  {{"old", &old, true}, {"new", &with, true}, {"count", &count}}));
  LAMINA_ASSIGN(const Text* old_text, expect_string("replace", old));
  LAMINA_ASSIGN(const Text* new_text, expect_string("replace", with));
  LAMINA_ASSIGN(const int64_t most, expect_int("replace", count));
  LAMINA_ASSIGN(Text out, replace(rt.budget, self.as_text(), *old_text, *new_text, most));
  return rt.heap.string(std::move(out));
}

// find() says -1 where index() fails.
template <bool kLast, bool kMustFind>
Result<Value> find_method(Runtime& rt, const Value& self, const Arguments& arguments) {
  Value needle;
  LAMINA_TRY(bind(arguments, kLast ? "rfind" : "find", {{"sub", &needle, true}}));
  LAMINA_ASSIGN(const Text* part, expect_string("find", needle));
  const std::string_view text = self.as_bytes();
  LAMINA_TRY(spend_search(rt.budget, text.size(), part->size()));
  const size_t found = kLast ? text.rfind(part->bytes()) : text.find(part->bytes());
  if (found == std::string_view::npos) {
    if (kMustFind) return make_error(Code::kInvalidModel, "index: the text is not there");
    return Value::integer(-1);
  }
  return Value::integer(static_cast<int64_t>(count_code_points(text.substr(0, found))));
}

Result<Value> count_method(Runtime& rt, const Value& self, const Arguments& arguments) {
  Value needle;
  LAMINA_TRY(bind(arguments, "count", {{"sub", &needle, true}}));
  LAMINA_ASSIGN(const Text* part, expect_string("count", needle));
  const std::string_view text = self.as_bytes();
  LAMINA_TRY(spend_search(rt.budget, text.size(), part->size()));
  if (part->empty()) return Value::integer(static_cast<int64_t>(count_code_points(text)) + 1);
  int64_t count = 0;
  for (size_t i = text.find(part->bytes()); i != std::string_view::npos;
       i = text.find(part->bytes(), i + part->size())) {
    ++count;
  }
  return Value::integer(count);
}

Result<Value> join_method(Runtime& rt, const Value& self, const Arguments& arguments) {
  Value parts;
  LAMINA_TRY(bind(arguments, "join", {{"iterable", &parts, true}}));
  LAMINA_ASSIGN(const List* list, iterate(rt.budget, rt.heap, parts));
  Text out;
  for (size_t i = 0; i < list->items.size(); ++i) {
    LAMINA_ASSIGN(const Text* part, expect_string("join", list->items[i]));
    LAMINA_TRY(rt.budget.check_bytes(out.size() + part->size() + self.as_bytes().size()));
    if (i > 0) out.append(self.as_text());
    out.append(*part);
  }
  return rt.heap.string(std::move(out));
}

// All code points fit, and there is one. Letters and digits of ASCII only.
template <bool (*kFits)(uint32_t)>
Result<Value> all_chars(Runtime& rt, const Value& self, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "a test of characters", {}));
  const std::string_view text = self.as_bytes();
  LAMINA_TRY(rt.budget.spend_scan(text.size()));
  bool fit = !text.empty();
  for (size_t i = 0; i < text.size() && fit;) {
    const CodePoint c = decode_utf8(text, i);
    fit = kFits(c.value);
    i += c.bytes;
  }
  return Value::boolean(fit);
}

bool is_digit(uint32_t c) { return c >= '0' && c <= '9'; }
bool is_alpha(uint32_t c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
bool is_alnum(uint32_t c) { return is_digit(c) || is_alpha(c); }

// Some letter, and none of the other case.
template <bool kUpper>
Result<Value> has_case(Runtime& rt, const Value& self, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "a test of case", {}));
  LAMINA_TRY(rt.budget.spend_scan(self.as_bytes().size()));
  const std::string_view text = self.as_bytes();
  const bool any = std::any_of(text.begin(), text.end(),
                               [](char c) { return is_alpha(static_cast<uint8_t>(c)); });
  const Text same = kUpper ? upper(self.as_text()) : lower(self.as_text());
  return Value::boolean(any && same.bytes() == text);
}

Result<Value> dict_get(Runtime& rt, const Value& self, const Arguments& arguments) {
  Value key;
  Value fallback = Value::none();
  LAMINA_TRY(bind(arguments, "get", {{"key", &key, true}, {"default", &fallback}}));
  LAMINA_ASSIGN(const Value* found, lookup(rt.budget, self.as_dict(), key));
  return found != nullptr ? *found : fallback;
}

Result<Value> dict_keys(Runtime& rt, const Value& self, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "keys", {}));
  LAMINA_ASSIGN(const List* keys, iterate(rt.budget, rt.heap, self));
  return Value::list(keys);
}

Result<Value> dict_values(Runtime& rt, const Value& self, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "values", {}));
  std::vector<Value> items;
  for (const auto& [key, value] : self.as_dict().members) items.push_back(value);
  return rt.heap.list(std::move(items));
}

Result<Value> dict_items(Runtime& rt, const Value& self, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "items", {}));
  std::vector<Value> items;
  for (const auto& [key, value] : self.as_dict().members) {
    LAMINA_ASSIGN(const Value pair, rt.heap.list({key, value}, /*is_tuple=*/true));
    items.push_back(pair);
  }
  return rt.heap.list(std::move(items));
}

Result<Value> loop_cycle(Runtime&, const Value& self, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty()) {
    return make_error(Code::kInvalidModel, "cycle needs values to cycle through");
  }
  return arguments.positional[self.as_loop().index % arguments.positional.size()];
}

struct Entry {
  Kind kind;
  std::string_view name;
  Call call;
};

constexpr Entry kMethods[] = {
    {Kind::kString, "strip", strip<true, true>},
    {Kind::kString, "lstrip", strip<true, false>},
    {Kind::kString, "rstrip", strip<false, true>},
    {Kind::kString, "split", split_string<false>},
    {Kind::kString, "rsplit", split_string<true>},
    {Kind::kString, "splitlines", split_string_lines},
    {Kind::kString, "startswith", has_affix<true>},
    {Kind::kString, "endswith", has_affix<false>},
    {Kind::kString, "removeprefix", remove_affix<true>},
    {Kind::kString, "removesuffix", remove_affix<false>},
    {Kind::kString, "upper", change_case<upper>},
    {Kind::kString, "lower", change_case<lower>},
    {Kind::kString, "title", change_case<title_method>},
    {Kind::kString, "capitalize", change_case<capitalize>},
    {Kind::kString, "replace", replace_method},
    {Kind::kString, "find", find_method<false, false>},
    {Kind::kString, "rfind", find_method<true, false>},
    {Kind::kString, "index", find_method<false, true>},
    {Kind::kString, "rindex", find_method<true, true>},
    {Kind::kString, "count", count_method},
    {Kind::kString, "join", join_method},
    {Kind::kString, "isspace", all_chars<is_space>},
    {Kind::kString, "isdigit", all_chars<is_digit>},
    {Kind::kString, "isalpha", all_chars<is_alpha>},
    {Kind::kString, "isalnum", all_chars<is_alnum>},
    {Kind::kString, "isupper", has_case<true>},
    {Kind::kString, "islower", has_case<false>},
    {Kind::kDict, "get", dict_get},
    {Kind::kDict, "keys", dict_keys},
    {Kind::kDict, "values", dict_values},
    {Kind::kDict, "items", dict_items},
    {Kind::kLoop, "cycle", loop_cycle},
};

const Entry* find_method_of(Kind kind, std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kMethods), std::end(kMethods),
                   [&](const Entry& entry) { return entry.kind == kind && entry.name == name; });
  return found != std::end(kMethods) ? found : nullptr;
}

// Methods that Python has and this subset does not, or that would change a value.
constexpr std::string_view kStringRefused[] = {
    "casefold",    "center",    "encode",       "expandtabs", "format",   "format_map", "isascii",
    "isdecimal",   "istitle",   "isidentifier", "isnumeric",  "isprintable", "ljust",   "maketrans",
    "partition",   "rjust",     "rpartition",   "swapcase",   "translate", "zfill"};
constexpr std::string_view kDictRefused[] = {"clear",   "copy",       "fromkeys", "pop",
                                             "popitem", "setdefault", "update"};
constexpr std::string_view kListRefused[] = {"append", "clear",   "copy",   "count",
                                             "extend", "index",   "insert", "pop",
                                             "remove", "reverse", "sort"};

bool is_refused(Kind kind, std::string_view name) {
  const auto has = [name](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  switch (kind) {
    case Kind::kString: return has(kStringRefused);
    case Kind::kDict: return has(kDictRefused);
    case Kind::kList: return has(kListRefused);
    default: return false;
  }
}

}  // namespace

Result<bool> has_method(const Value& self, std::string_view name) {
  if (find_method_of(self.kind(), name) != nullptr) return true;
  if (!is_refused(self.kind(), name)) return false;
  return make_error(Code::kUnsupported, "the method %s of a %s is not supported",
                    quote(name).c_str(), std::string(type_name(self)).c_str());
}

Result<Value> call_method(Runtime& rt, const Method& method, const Arguments& arguments) {
  const Entry* entry = find_method_of(method.self.kind(), method.name);
  LAMINA_CHECK(entry != nullptr);
  return entry->call(rt, method.self, arguments);
}

}  // namespace lamina::jinja
