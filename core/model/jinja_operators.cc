// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja_operators.h"

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/model/jinja_semantics.h"
#include "core/model/jinja_strings.h"

namespace lamina::jinja {

namespace {

Error overflow() {
  return make_error(Code::kUnsupported, "an integer does not fit 64 bits");
}

Error division_by_zero() { return make_error(Code::kInvalidModel, "division by zero"); }

Error no_operator(const char* op, const Value& a, const Value& b) {
  if (a.is(Kind::kUndefined)) return type_error(op, a);
  if (b.is(Kind::kUndefined)) return type_error(op, b);
  return make_error(Code::kInvalidModel, "%s is not possible for %s and %s", op,
                    std::string(type_name(a)).c_str(), std::string(type_name(b)).c_str());
}

// Python rounds towards minus infinity, C++ towards zero.
int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

Result<Value> int_power(Runtime& rt, int64_t base, int64_t exponent) {
  if (exponent < 0) return make_error(Code::kUnsupported, "** with a negative exponent");
  int64_t result = 1;
  for (; exponent > 0; --exponent) {
    LAMINA_TRY(rt.budget.spend_steps(1));
    if (__builtin_mul_overflow(result, base, &result)) return overflow();
  }
  return Value::integer(result);
}

Result<Value> int_arithmetic(Runtime& rt, Operator op, int64_t a, int64_t b) {
  const bool divides =
      op == Operator::kDivide || op == Operator::kFloorDivide || op == Operator::kModulo;
  if (divides && b == 0) return division_by_zero();
  // The one quotient that overflows, in C++ also as a remainder.
  if (divides && b == -1 && a == std::numeric_limits<int64_t>::min()) return overflow();
  int64_t result = 0;
  switch (op) {
    case Operator::kAdd:
      if (__builtin_add_overflow(a, b, &result)) return overflow();
      break;
    case Operator::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) return overflow();
      break;
    case Operator::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) return overflow();
      break;
    case Operator::kDivide: return Value::number(static_cast<double>(a) / static_cast<double>(b));
    case Operator::kFloorDivide: result = floor_divide(a, b); break;
    case Operator::kModulo: result = a - floor_divide(a, b) * b; break;
    default: return int_power(rt, a, b);
  }
  return Value::integer(result);
}

Result<Value> float_arithmetic(Operator op, double a, double b) {
  const bool divides =
      op == Operator::kDivide || op == Operator::kFloorDivide || op == Operator::kModulo;
  if (divides && b == 0) return division_by_zero();
  switch (op) {
    case Operator::kAdd: return Value::number(a + b);
    case Operator::kSubtract: return Value::number(a - b);
    case Operator::kMultiply: return Value::number(a * b);
    case Operator::kDivide: return Value::number(a / b);
    case Operator::kFloorDivide: return Value::number(std::floor(a / b));
    case Operator::kModulo: {
      const double rest = std::fmod(a, b);
      return Value::number(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
    }
    default: return make_error(Code::kUnsupported, "** is for integers only");
  }
}

Result<Value> concatenate(Runtime& rt, const Value& a, const Value& b) {
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    LAMINA_TRY(rt.budget.check_bytes(a.as_bytes().size() + b.as_bytes().size()));
    Text text = a.as_text();
    text.append(b.as_text());
    return rt.heap.string(std::move(text));
  }
  if (!a.is(Kind::kList) || !b.is(Kind::kList) || a.as_list().is_tuple != b.as_list().is_tuple) {
    return no_operator("+", a, b);
  }
  const std::vector<Value>& more = b.as_list().items;
  LAMINA_TRY(rt.budget.check_bytes((a.as_list().items.size() + more.size()) * sizeof(Value)));
  std::vector<Value> items = a.as_list().items;
  items.insert(items.end(), more.begin(), more.end());
  return rt.heap.list(std::move(items), a.as_list().is_tuple);
}

Result<Value> repeat_sequence(Runtime& rt, const Value& sequence, int64_t count) {
  if (sequence.is(Kind::kString)) {
    LAMINA_ASSIGN(Text text, repeat(rt.budget, sequence.as_text(), count));
    return rt.heap.string(std::move(text));
  }
  const List& list = sequence.as_list();
  std::vector<Value> items;
  if (count > 0 && !list.items.empty()) {
    const uint64_t most = std::numeric_limits<uint32_t>::max() / list.items.size();
    if (static_cast<uint64_t>(count) > most) {
      return make_error(Code::kResourceExhausted, "a repeated list would be too long");
    }
    const uint64_t total = static_cast<uint64_t>(count) * list.items.size();
    LAMINA_TRY(rt.budget.check_bytes(total * sizeof(Value)));
    items.reserve(static_cast<size_t>(total));
    for (int64_t i = 0; i < count; ++i) {
      items.insert(items.end(), list.items.begin(), list.items.end());
    }
  }
  return rt.heap.list(std::move(items), list.is_tuple);
}

bool is_sequence(const Value& value) { return value.is(Kind::kString) || value.is(Kind::kList); }

const char* operator_text(Operator op) {
  constexpr const char* kTexts[] = {"+", "-", "*", "/", "//", "%", "**"};
  return kTexts[static_cast<size_t>(op)];
}

}  // namespace

Result<Value> arithmetic(Runtime& rt, Operator op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return int_arithmetic(rt, op, a.as_int(), b.as_int());
  if (a.is_numeric() && b.is_numeric()) return float_arithmetic(op, a.as_double(), b.as_double());
  if (op == Operator::kAdd) return concatenate(rt, a, b);
  if (op == Operator::kMultiply && is_sequence(a) && b.is_integral()) {
    return repeat_sequence(rt, a, b.as_int());
  }
  if (op == Operator::kMultiply && is_sequence(b) && a.is_integral()) {
    return repeat_sequence(rt, b, a.as_int());
  }
  if (op == Operator::kModulo && a.is(Kind::kString)) {
    return make_error(Code::kUnsupported, "formatting with %% is not supported");
  }
  return no_operator(operator_text(op), a, b);
}

Result<Value> negate(const Value& value) {
  if (value.is(Kind::kFloat)) return Value::number(-value.as_double());
  if (!value.is_integral()) return type_error("a sign", value);
  int64_t result = 0;
  if (__builtin_sub_overflow(int64_t{0}, value.as_int(), &result)) return overflow();
  return Value::integer(result);
}

Result<bool> compare_by(Runtime& rt, Operator op, const Value& a, const Value& b) {
  if (op == Operator::kEqual || op == Operator::kNotEqual) {
    LAMINA_ASSIGN(const bool same, equals(rt.budget, a, b));
    return same == (op == Operator::kEqual);
  }
  if (op == Operator::kIn || op == Operator::kNotIn) {
    LAMINA_ASSIGN(const bool inside, contains(rt.budget, b, a));
    return inside == (op == Operator::kIn);
  }
  LAMINA_ASSIGN(const int order, compare(rt.budget, a, b));
  if (order == kUnordered) return false;
  switch (op) {
    case Operator::kLess: return order < 0;
    case Operator::kLessEqual: return order <= 0;
    case Operator::kGreater: return order > 0;
    default: return order >= 0;
  }
}

}  // namespace lamina::jinja
