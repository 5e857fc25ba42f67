// SPDX-License-Identifier: Apache-2.0
// Global functions, and the binding of arguments that all built-ins share.
#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <string>
#include <utility>

#include "core/model/chat_template.h"
#include "core/model/jinja_print.h"
#include "core/model/jinja_runtime.h"

namespace lamina::jinja {

namespace {

constexpr int64_t kMaxRange = 100'000;  // as in Jinja's sandbox
constexpr size_t kMaxRaisedBytes = 400;

Result<Value> range(Runtime& rt, const Arguments& arguments) {
  Value start, stop;
  Value step = Value::integer(1);
  LAMINA_TRY(bind(arguments, "range", {{"start", &start, true}, {"stop", &stop}, {"step", &step}}));
  if (arguments.positional.size() == 1) stop = std::exchange(start, Value::integer(0));
  LAMINA_ASSIGN(const int64_t from, expect_int("range", start));
  LAMINA_ASSIGN(const int64_t to, expect_int("range", stop));
  LAMINA_ASSIGN(const int64_t by, expect_int("range", step));
  if (by == 0) return make_error(Code::kInvalidModel, "range: the step is 0");
  std::vector<Value> items;
  for (int64_t i = from; by > 0 ? i < to : i > to;) {
    if (static_cast<int64_t>(items.size()) >= kMaxRange) {
      return make_error(Code::kResourceExhausted, "range: more than 100000 numbers");
    }
    items.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  LAMINA_TRY(rt.budget.spend_steps(items.size() / 8));
  return rt.heap.list(std::move(items));
}

// namespace({...}, name=value...) and dict({...}, name=value...) begin alike.
Result<Dict> members_of(Runtime& rt, const char* who, const Arguments& arguments) {
  Dict dict;
  if (arguments.positional.size() > 1) {
    return make_error(Code::kInvalidModel, "%s takes one dict and named values", who);
  }
  if (!arguments.positional.empty()) {
    const Value& first = arguments.positional[0];
    if (!first.is(Kind::kDict)) return type_error("a namespace", first);
    dict.members = first.as_dict().members;
  }
  for (const auto& [name, value] : arguments.named) {
    LAMINA_TRY(rt.budget.spend_steps(1 + dict.members.size()));
    LAMINA_ASSIGN(const Value key, rt.heap.string(Text(name, /*trusted=*/true)));
    dict.set(key, value);
  }
  return dict;
}

Result<Value> make_namespace(Runtime& rt, const Arguments& arguments) {
  LAMINA_ASSIGN(const Dict dict, members_of(rt, "namespace", arguments));
  LAMINA_ASSIGN(const Value names, rt.heap.name_space());
  LAMINA_TRY(rt.budget.spend_bytes(dict.members.size() * 2 * sizeof(Value)));
  for (const auto& [key, value] : dict.members) {
    LAMINA_ASSIGN(const Text* name, expect_string("namespace", key));
    names.as_namespace().members.emplace_back(name->bytes(), value);
  }
  return names;
}

Result<Value> make_dict(Runtime& rt, const Arguments& arguments) {
  LAMINA_ASSIGN(Dict dict, members_of(rt, "dict", arguments));
  return rt.heap.dict(std::move(dict));
}

Result<Value> raise_exception(Runtime& rt, const Arguments& arguments) {
  Value message;
  LAMINA_TRY(bind(arguments, "raise_exception", {{"message", &message, true}}));
  LAMINA_ASSIGN(const Text text, to_text(rt.budget, message));
  std::string said;
  for (char c : text.bytes().substr(0, kMaxRaisedBytes)) {
    said += static_cast<uint8_t>(c) < 0x20 || c == 0x7F ? ' ' : c;
  }
  if (text.size() > kMaxRaisedBytes) {
    while (!said.empty() && (said.back() & 0x80) != 0) said.pop_back();  // a cut code point
    said += "...";
  }
  return make_error(Code::kInvalidArgument, "the chat template refuses the conversation: %s",
                    said.c_str());
}

// Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March so that the
// leap day is the last of its year.
int64_t days_from_civil(int64_t year, int month, int day) {
  if (month <= 2) --year;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

struct Calendar {
  int weekday;      // 0 = Sunday
  int day_of_year;  // from 1
};

Calendar calendar_of(const ChatDate& date) {
  const int64_t days = days_from_civil(date.year, date.month, date.day);
  const int64_t weekday = ((days + 4) % 7 + 7) % 7;
  const int64_t day_of_year = days - days_from_civil(date.year, 1, 1) + 1;
  return {static_cast<int>(weekday), static_cast<int>(day_of_year)};
}

constexpr std::array<const char*, 12> kMonths = {"January",   "February", "March",    "April",
                                                 "May",       "June",     "July",     "August",
                                                 "September", "October",  "November", "December"};
constexpr std::array<const char*, 7> kWeekdays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                  "Thursday", "Friday", "Saturday"};

std::string digits(int value, int width, bool padded) {
  char text[16];
  std::snprintf(text, sizeof text, "%0*d", padded ? width : 0, value);
  return text;
}

std::string convert(char letter, bool padded, const ChatDate& date);

std::string converted(const char* between, const ChatDate& date, const char* letters) {
  std::string out;
  for (const char* letter = letters; *letter != 0; ++letter) {
    if (letter != letters) out += between;
    out += convert(*letter, /*padded=*/true, date);
  }
  return out;
}

// What one conversion of strftime prints in the C locale; empty if it is not supported.
std::string convert(char letter, bool padded, const ChatDate& date) {
  const Calendar calendar = calendar_of(date);
  const std::string month = kMonths[static_cast<size_t>(date.month - 1)];
  const std::string weekday = kWeekdays[static_cast<size_t>(calendar.weekday)];
  const auto two = [padded](int value) { return digits(value, 2, padded); };
  switch (letter) {
    case 'd': return two(date.day);
    case 'm': return two(date.month);
    case 'Y': return digits(date.year, 4, false);
    case 'y': return two(date.year % 100);
    case 'H': return two(date.hour);
    case 'I': return two(date.hour % 12 == 0 ? 12 : date.hour % 12);
    case 'M': return two(date.minute);
    case 'S': return two(date.second);
    case 'j': return digits(calendar.day_of_year, 3, padded);
    case 'p': return date.hour < 12 ? "AM" : "PM";
    case 'B': return month;
    case 'b':
    case 'h': return month.substr(0, 3);
    case 'A': return weekday;
    case 'a': return weekday.substr(0, 3);
    case 'w': return digits(calendar.weekday, 1, false);
    case 'u': return digits(calendar.weekday == 0 ? 7 : calendar.weekday, 1, false);
    case 'F': return converted("-", date, "Ymd");
    case 'T': return converted(":", date, "HMS");
    case '%': return "%";
    default: return "";
  }
}

Result<Value> strftime_now(Runtime& rt, const Arguments& arguments) {
  Value format;
  LAMINA_TRY(bind(arguments, "strftime_now", {{"format", &format, true}}));
  LAMINA_ASSIGN(const Text* text, expect_string("strftime_now", format));
  LAMINA_CHECK(rt.now != nullptr);
  const std::string_view bytes = text->bytes();
  LAMINA_TRY(rt.budget.spend_steps(bytes.size()));
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != '%' || i + 1 == bytes.size()) {
      out += bytes[i];
      continue;
    }
    const bool padded = bytes[++i] != '-';
    if (!padded && i + 1 < bytes.size()) ++i;
    const std::string piece = convert(bytes[i], padded, *rt.now);
    if (piece.empty()) {
      return make_error(Code::kUnsupported, "strftime_now has no conversion for %s",
                        quote(bytes.substr(i, 1)).c_str());
    }
    out += piece;
    LAMINA_TRY(rt.budget.check_bytes(out.size()));
  }
  return rt.heap.string(Text(out, text->all_trusted()));
}

constexpr Function kFunctions[] = {
    {"range", range},
    {"namespace", make_namespace},
    {"dict", make_dict},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

}  // namespace

Result<void> bind(const Arguments& arguments, std::string_view who,
                  std::initializer_list<Slot> slots) {
  const std::string callee(who);
  if (arguments.positional.size() > slots.size()) {
    return make_error(Code::kInvalidModel, "%s takes at most %zu arguments, not %zu",
                      callee.c_str(), slots.size(), arguments.positional.size());
  }
  size_t index = 0;
  for (const Slot& slot : slots) {
    bool given = index < arguments.positional.size();
    if (given) *slot.value = arguments.positional[index];
    for (const auto& [name, value] : arguments.named) {
      if (name != slot.name) continue;
      if (given) {
        return make_error(Code::kInvalidModel, "%s got the argument %s twice", callee.c_str(),
                          quote(name).c_str());
      }
      *slot.value = value;
      given = true;
    }
    if (slot.required && !given) {
      return make_error(Code::kInvalidModel, "%s misses the argument %s", callee.c_str(),
                        quote(slot.name).c_str());
    }
    ++index;
  }
  for (const auto& [name, value] : arguments.named) {
    const bool known =
        std::any_of(slots.begin(), slots.end(), [&n = name](const Slot& s) { return s.name == n; });
    if (!known) {
      return make_error(Code::kUnsupported, "%s has no argument %s", callee.c_str(),
                        quote(name).c_str());
    }
  }
  return {};
}

Result<int64_t> expect_int(std::string_view who, const Value& value) {
  if (value.is_integral()) return value.as_int();
  return type_error((std::string(who) + " with a number").c_str(), value);
}

Result<const Text*> expect_string(std::string_view who, const Value& value) {
  if (value.is(Kind::kString)) return &value.as_text();
  return type_error((std::string(who) + " with a string").c_str(), value);
}

const Function* find_function(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFunctions), std::end(kFunctions),
                                   [&](const Function& f) { return f.name == name; });
  return found != std::end(kFunctions) ? found : nullptr;
}

}  // namespace lamina::jinja
