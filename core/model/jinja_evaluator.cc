// SPDX-License-Identifier: Apache-2.0
// The interpreter's expressions.
#include <string>
#include <utility>

#include "core/model/jinja_interpreter.h"
#include "core/model/jinja_operators.h"
#include "core/model/jinja_print.h"
#include "core/model/jinja_semantics.h"

namespace lamina::jinja {

Result<Value> Interpreter::eval(ExprId id) {
  const Expr& expr = program_.exprs[id];
  LAMINA_TRY(rt_.budget.spend_steps(1));
  LAMINA_TRY(rt_.budget.enter());
  auto value = dispatch(expr);
  rt_.budget.leave();
  if (!value && error_line_ == 0) error_line_ = expr.line;
  return value;
}

Result<Value> Interpreter::dispatch(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kLiteral: return expr.literal;
    case ExprKind::kCaptured: return captured_;
    case ExprKind::kName: return eval_name(expr);
    case ExprKind::kList:
    case ExprKind::kTuple: return eval_list(expr);
    case ExprKind::kDict: return eval_dict(expr);
    case ExprKind::kAttribute: {
      LAMINA_ASSIGN(const Value object, eval(expr.children[0]));
      return get_attribute(rt_, object, name_of(expr.name));
    }
    case ExprKind::kItem: return eval_item(expr);
    case ExprKind::kSlice: return eval_slice(expr);
    case ExprKind::kCall: return eval_call(expr);
    case ExprKind::kFilter: return eval_filter(expr);
    case ExprKind::kTest: return eval_test(expr);
    case ExprKind::kNegate:
    case ExprKind::kPlus: return eval_sign(expr);
    case ExprKind::kNot: {
      LAMINA_ASSIGN(const Value value, eval(expr.children[0]));
      return Value::boolean(!is_true(value));
    }
    case ExprKind::kArithmetic: return eval_arithmetic(expr);
    case ExprKind::kConcat: return eval_concat(expr);
    case ExprKind::kCompare: return eval_compare(expr);
    case ExprKind::kAnd:
    case ExprKind::kOr: return eval_logic(expr);
    case ExprKind::kConditional: return eval_conditional(expr);
  }
  return Value();
}

Result<Value> Interpreter::eval_name(const Expr& expr) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    LAMINA_TRY(rt_.budget.spend_steps(scope->variables.size() / 8));
    for (const auto& [id, value] : scope->variables) {
      if (id == expr.name) return value;
    }
  }
  const std::string_view name = name_of(expr.name);
  const Function* function = find_function(name);
  // A template asks `strftime_now is defined` to learn whether there is a clock.
  if (function != nullptr && name == "strftime_now" && rt_.now == nullptr) function = nullptr;
  return function != nullptr ? Value::function(function) : Value::undefined(name);
}

Result<Value> Interpreter::eval_list(const Expr& expr) {
  std::vector<Value> items;
  items.reserve(expr.children.size());
  for (ExprId child : expr.children) {
    LAMINA_ASSIGN(const Value item, eval(child));
    items.push_back(item);
  }
  return rt_.heap.list(std::move(items), expr.kind == ExprKind::kTuple);
}

Result<Value> Interpreter::eval_dict(const Expr& expr) {
  Dict dict;
  for (size_t i = 0; i < expr.children.size(); i += 2) {
    LAMINA_ASSIGN(const Value key, eval(expr.children[i]));
    LAMINA_ASSIGN(const Value value, eval(expr.children[i + 1]));
    if (!key.is(Kind::kString) && !key.is_numeric() && !key.is(Kind::kNone)) {
      return type_error("being a dict's key", key);
    }
    const size_t key_bytes = key.is(Kind::kString) ? key.as_bytes().size() : 0;
    LAMINA_TRY(spend_lookup(rt_.budget, dict.members.size(), key_bytes));
    dict.set(key, value);
  }
  return rt_.heap.dict(std::move(dict));
}

Result<Value> Interpreter::eval_item(const Expr& expr) {
  LAMINA_ASSIGN(const Value object, eval(expr.children[0]));
  LAMINA_ASSIGN(const Value key, eval(expr.children[1]));
  return get_item(rt_, object, key);
}

Result<Value> Interpreter::eval_slice(const Expr& expr) {
  LAMINA_ASSIGN(const Value object, eval(expr.children[0]));
  Value parts[3];
  for (size_t i = 0; i < 3; ++i) {
    parts[i] = Value::none();
    if (expr.children[i + 1] == kNoId) continue;
    LAMINA_ASSIGN(parts[i], eval(expr.children[i + 1]));
  }
  return get_slice(rt_, object, parts[0], parts[1], parts[2]);
}

Result<Arguments> Interpreter::eval_arguments(const Expr& expr) {
  Arguments arguments;
  for (size_t i = 1; i < expr.children.size(); ++i) {
    LAMINA_ASSIGN(const Value value, eval(expr.children[i]));
    arguments.positional.push_back(value);
  }
  for (const auto& [name, id] : expr.named) {
    LAMINA_ASSIGN(const Value value, eval(id));
    arguments.named.emplace_back(name_of(name), value);
  }
  return arguments;
}

Result<Value> Interpreter::eval_call(const Expr& expr) {
  LAMINA_ASSIGN(const Value callee, eval(expr.children[0]));
  LAMINA_ASSIGN(const Arguments arguments, eval_arguments(expr));
  return call(callee, arguments);
}

Result<Value> Interpreter::call(const Value& callee, const Arguments& arguments) {
  switch (callee.kind()) {
    case Kind::kMacro: return call_macro(program_.stmts[callee.as_macro()], arguments);
    case Kind::kMethod: return call_method(rt_, callee.as_method(), arguments);
    case Kind::kFunction: return callee.as_function().call(rt_, arguments);
    case Kind::kUndefined:
      return make_error(Code::kUnsupported, "there is no function or method %s",
                        quote(callee.undefined_name()).c_str());
    default: return type_error("a call", callee);
  }
}

Result<Value> Interpreter::eval_filter(const Expr& expr) {
  const Filter filter = find_filter(name_of(expr.name));
  if (filter == nullptr) {
    return make_error(Code::kUnsupported, "there is no filter %s",
                      quote(name_of(expr.name)).c_str());
  }
  LAMINA_ASSIGN(const Value input, eval(expr.children[0]));
  LAMINA_ASSIGN(const Arguments arguments, eval_arguments(expr));
  return filter(rt_, input, arguments);
}

Result<Value> Interpreter::eval_test(const Expr& expr) {
  const Test test = find_test(name_of(expr.name));
  if (test == nullptr) {
    return make_error(Code::kUnsupported, "there is no test %s", quote(name_of(expr.name)).c_str());
  }
  LAMINA_ASSIGN(const Value input, eval(expr.children[0]));
  LAMINA_ASSIGN(const Arguments arguments, eval_arguments(expr));
  LAMINA_ASSIGN(const bool holds, test(rt_, input, arguments));
  return Value::boolean(holds);
}

Result<Value> Interpreter::eval_sign(const Expr& expr) {
  LAMINA_ASSIGN(const Value value, eval(expr.children[0]));
  LAMINA_ASSIGN(const Value negative, negate(value));
  return expr.kind == ExprKind::kNegate ? negative : negate(negative);
}

Result<Value> Interpreter::eval_arithmetic(const Expr& expr) {
  LAMINA_ASSIGN(const Value a, eval(expr.children[0]));
  LAMINA_ASSIGN(const Value b, eval(expr.children[1]));
  return arithmetic(rt_, expr.op, a, b);
}

Result<Value> Interpreter::eval_concat(const Expr& expr) {
  Text text;
  for (ExprId child : expr.children) {
    LAMINA_ASSIGN(const Value part, eval(child));
    LAMINA_TRY(print(rt_.budget, part, text));
  }
  return rt_.heap.string(std::move(text));
}

// a < b < c is (a < b) and (b < c), with b evaluated once.
Result<Value> Interpreter::eval_compare(const Expr& expr) {
  LAMINA_ASSIGN(Value left, eval(expr.children[0]));
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    LAMINA_ASSIGN(const Value right, eval(expr.children[i + 1]));
    LAMINA_ASSIGN(const bool holds, compare_by(rt_, expr.ops[i], left, right));
    if (!holds) return Value::boolean(false);
    left = right;
  }
  return Value::boolean(true);
}

Result<Value> Interpreter::eval_logic(const Expr& expr) {
  LAMINA_ASSIGN(const Value left, eval(expr.children[0]));
  if (is_true(left) == (expr.kind == ExprKind::kOr)) return left;
  return eval(expr.children[1]);
}

Result<Value> Interpreter::eval_conditional(const Expr& expr) {
  LAMINA_ASSIGN(const Value test, eval(expr.children[1]));
  if (is_true(test)) return eval(expr.children[0]);
  if (expr.children[2] == kNoId) return Value::undefined("inline if without else");
  return eval(expr.children[2]);
}

}  // namespace lamina::jinja
