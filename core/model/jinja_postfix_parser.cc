// SPDX-License-Identifier: Apache-2.0
// What may follow an operand: .name [item] (call) |filter, is test.
#include <utility>

#include "core/model/jinja_expression_parser.h"

namespace lamina::jinja {

Result<ExprId> ExpressionParser::postfix(ExprId expr) {
  for (;;) {
    if (here().is_operator(".")) {
      LAMINA_ASSIGN(expr, attribute(expr));
    } else if (here().is_operator("[")) {
      LAMINA_ASSIGN(expr, subscript(expr));
    } else if (here().is_operator("(")) {
      LAMINA_ASSIGN(expr, call(expr));
    } else {
      return expr;
    }
  }
}

Result<ExprId> ExpressionParser::filter_and_tests(ExprId expr) {
  for (;;) {
    if (here().is_operator("|")) {
      LAMINA_ASSIGN(expr, filters(expr, /*first_without_bar=*/false));
    } else if (here().is_name("is")) {
      LAMINA_ASSIGN(expr, test(expr));
    } else if (here().is_operator("(")) {
      LAMINA_ASSIGN(expr, call(expr));
    } else {
      return expr;
    }
  }
}

Result<ExprId> ExpressionParser::attribute(ExprId object) {
  const uint32_t line = here().line;
  next();
  if (here().kind == TokenKind::kInteger) {
    const ExprId index = literal(Value::integer(here().integer), line);
    next();
    return add_binary(ExprKind::kItem, Operator::kAdd, object, index, line);
  }
  Expr expr;
  expr.kind = ExprKind::kAttribute;
  expr.line = line;
  expr.children = {object};
  LAMINA_ASSIGN(expr.name, expect_name());
  return add(std::move(expr));
}

// One of the three parts of a slice, kNoId if it is left out.
Result<ExprId> ExpressionParser::slice_part(std::string_view end_a, std::string_view end_b) {
  if (here().is_operator(end_a) || here().is_operator(end_b)) return kNoId;
  return expression();
}

Result<ExprId> ExpressionParser::subscript(ExprId object) {
  const uint32_t line = here().line;
  next();
  LAMINA_ASSIGN(const ExprId first, slice_part(":", ":"));
  if (!skip_operator(":")) {
    if (here().is_operator(",")) return fail(Code::kUnsupported, "an index may not be a tuple");
    LAMINA_TRY(expect_operator("]"));
    return add_binary(ExprKind::kItem, Operator::kAdd, object, first, line);
  }
  LAMINA_ASSIGN(const ExprId stop, slice_part(":", "]"));
  ExprId step = kNoId;
  if (skip_operator(":")) {
    LAMINA_ASSIGN(step, slice_part("]", "]"));
  }
  LAMINA_TRY(expect_operator("]"));
  Expr expr;
  expr.kind = ExprKind::kSlice;
  expr.line = line;
  expr.children = {object, first, stop, step};
  return add(std::move(expr));
}

Result<ExprId> ExpressionParser::call(ExprId callee) {
  Expr expr;
  expr.kind = ExprKind::kCall;
  expr.line = here().line;
  expr.children = {callee};
  LAMINA_TRY(call_arguments(expr));
  return add(std::move(expr));
}

Result<void> ExpressionParser::call_arguments(Expr& call) {
  LAMINA_TRY(expect_operator("("));
  for (bool first = true; !skip_operator(")"); first = false) {
    if (!first) LAMINA_TRY(expect_operator(","));
    if (skip_operator(")")) break;
    if (here().is_operator("*") || here().is_operator("**")) {
      return fail(Code::kUnsupported, "* and ** arguments are not supported");
    }
    if (here().kind == TokenKind::kName && ahead().is_operator("=")) {
      LAMINA_ASSIGN(const NameId name, expect_name());
      next();
      LAMINA_ASSIGN(const ExprId value, expression());
      call.named.emplace_back(name, value);
      continue;
    }
    if (!call.named.empty()) return unexpected("a named argument after a named argument");
    LAMINA_ASSIGN(const ExprId value, expression());
    call.children.push_back(value);
  }
  return {};
}

Result<ExprId> ExpressionParser::filters(ExprId input, bool first_without_bar) {
  while (first_without_bar || skip_operator("|")) {
    first_without_bar = false;
    LAMINA_ASSIGN(input, filter(input));
  }
  return input;
}

Result<ExprId> ExpressionParser::filter(ExprId input) {
  Expr expr;
  expr.kind = ExprKind::kFilter;
  expr.line = here().line;
  expr.children = {input};
  LAMINA_ASSIGN(expr.name, expect_name());
  if (here().is_operator("(")) LAMINA_TRY(call_arguments(expr));
  return add(std::move(expr));
}

bool ExpressionParser::starts_test_argument() const {
  const Token& token = here();
  switch (token.kind) {
    case TokenKind::kString:
    case TokenKind::kInteger:
    case TokenKind::kFloat: return true;
    case TokenKind::kName:
      return !token.is_name("else") && !token.is_name("or") && !token.is_name("and");
    default: return token.is_operator("[") || token.is_operator("{");
  }
}

Result<ExprId> ExpressionParser::test(ExprId input) {
  Expr expr;
  expr.kind = ExprKind::kTest;
  expr.line = here().line;
  expr.children = {input};
  next();
  const bool negated = skip_name("not");
  LAMINA_ASSIGN(expr.name, expect_name());
  if (here().is_operator("(")) {
    LAMINA_TRY(call_arguments(expr));
  } else if (here().is_name("is")) {
    return unexpected("an operator, for tests do not chain");
  } else if (starts_test_argument()) {
    LAMINA_ASSIGN(const ExprId inner, primary());
    LAMINA_ASSIGN(const ExprId argument, postfix(inner));
    expr.children.push_back(argument);
  }
  const uint32_t line = expr.line;
  LAMINA_ASSIGN(const ExprId plain, add(std::move(expr)));
  if (!negated) return plain;
  Expr negation;
  negation.kind = ExprKind::kNot;
  negation.line = line;
  negation.children = {plain};
  return add(std::move(negation));
}

}  // namespace lamina::jinja
