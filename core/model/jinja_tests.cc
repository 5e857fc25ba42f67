// SPDX-License-Identifier: Apache-2.0
// value is test(arguments).
#include <algorithm>
#include <iterator>

#include "core/model/jinja_ast.h"
#include "core/model/jinja_operators.h"
#include "core/model/jinja_print.h"
#include "core/model/jinja_runtime.h"
#include "core/model/jinja_strings.h"

namespace lamina::jinja {

namespace {

using Predicate = bool (*)(const Value&);

// A test that looks at the value alone.
template <Predicate kHolds>
Result<bool> plain(Runtime&, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "a test", {}));
  return kHolds(input);
}

template <Operator kOp>
Result<bool> comparison(Runtime& rt, const Value& input, const Arguments& arguments) {
  Value other;
  LAMINA_TRY(bind(arguments, "a comparison", {{"other", &other, true}}));
  return compare_by(rt, kOp, input, other);
}

bool is_defined(const Value& v) { return !v.is(Kind::kUndefined); }
bool is_undefined(const Value& v) { return v.is(Kind::kUndefined); }
bool is_none(const Value& v) { return v.is(Kind::kNone); }
bool is_string(const Value& v) { return v.is(Kind::kString); }
bool is_mapping(const Value& v) { return v.is(Kind::kDict); }
bool is_boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_integer(const Value& v) { return v.is(Kind::kInt); }
bool is_float(const Value& v) { return v.is(Kind::kFloat); }
bool is_number(const Value& v) { return v.is_numeric(); }
bool is_true_itself(const Value& v) { return v.is(Kind::kBool) && v.as_bool(); }
bool is_false_itself(const Value& v) { return v.is(Kind::kBool) && !v.as_bool(); }
bool is_callable(const Value& v) {
  return v.is(Kind::kMacro) || v.is(Kind::kMethod) || v.is(Kind::kFunction);
}
// Undefined behaves as an empty sequence, as it does in Jinja.
bool is_sequence(const Value& v) {
  return v.is(Kind::kString) || v.is(Kind::kList) || v.is(Kind::kDict) || v.is(Kind::kUndefined);
}
bool is_iterable(const Value& v) { return is_sequence(v) || v.is(Kind::kLoop); }

Result<bool> divides(Runtime& rt, const Value& input, const Value& by) {
  LAMINA_ASSIGN(const Value rest, arithmetic(rt, Operator::kModulo, input, by));
  return !is_true(rest);
}

Result<bool> divisible_by(Runtime& rt, const Value& input, const Arguments& arguments) {
  Value by;
  LAMINA_TRY(bind(arguments, "divisibleby", {{"num", &by, true}}));
  return divides(rt, input, by);
}

template <bool kEven>
Result<bool> parity(Runtime& rt, const Value& input, const Arguments& arguments) {
  LAMINA_TRY(bind(arguments, "odd or even", {}));
  LAMINA_ASSIGN(const bool even, divides(rt, input, Value::integer(2)));
  return even == kEven;
}

template <bool kUpper>
Result<bool> letter_case(Runtime& rt, const Value& input, const Arguments&) {
  LAMINA_ASSIGN(const Text text, to_text(rt.budget, input));
  LAMINA_ASSIGN(const Value string, rt.heap.string(text));
  const Method method{string, kUpper ? "isupper" : "islower"};
  LAMINA_ASSIGN(const Value holds, call_method(rt, method, {}));
  return holds.as_bool();
}

Result<bool> same_as(Runtime& rt, const Value& input, const Arguments& arguments) {
  Value other;
  LAMINA_TRY(bind(arguments, "sameas", {{"other", &other, true}}));
  if (input.kind() != other.kind()) return false;
  return compare_by(rt, Operator::kEqual, input, other);
}

struct Entry {
  std::string_view name;
  Test test;
};

constexpr Entry kTests[] = {
    {"defined", plain<is_defined>},
    {"undefined", plain<is_undefined>},
    {"none", plain<is_none>},
    {"string", plain<is_string>},
    {"mapping", plain<is_mapping>},
    {"sequence", plain<is_sequence>},
    {"iterable", plain<is_iterable>},
    {"boolean", plain<is_boolean>},
    {"true", plain<is_true_itself>},
    {"false", plain<is_false_itself>},
    {"integer", plain<is_integer>},
    {"float", plain<is_float>},
    {"number", plain<is_number>},
    {"callable", plain<is_callable>},
    {"upper", letter_case<true>},
    {"lower", letter_case<false>},
    {"odd", parity<false>},
    {"even", parity<true>},
    {"divisibleby", divisible_by},
    {"sameas", same_as},
    {"in", comparison<Operator::kIn>},
    {"eq", comparison<Operator::kEqual>},
    {"equalto", comparison<Operator::kEqual>},
    {"==", comparison<Operator::kEqual>},
    {"ne", comparison<Operator::kNotEqual>},
    {"!=", comparison<Operator::kNotEqual>},
    {"lt", comparison<Operator::kLess>},
    {"lessthan", comparison<Operator::kLess>},
    {"<", comparison<Operator::kLess>},
    {"le", comparison<Operator::kLessEqual>},
    {"<=", comparison<Operator::kLessEqual>},
    {"gt", comparison<Operator::kGreater>},
    {"greaterthan", comparison<Operator::kGreater>},
    {">", comparison<Operator::kGreater>},
    {"ge", comparison<Operator::kGreaterEqual>},
    {">=", comparison<Operator::kGreaterEqual>},
};

}  // namespace

Test find_test(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTests), std::end(kTests),
                                   [&](const Entry& entry) { return entry.name == name; });
  return found != std::end(kTests) ? found->test : nullptr;
}

}  // namespace lamina::jinja
