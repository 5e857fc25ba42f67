// SPDX-License-Identifier: Apache-2.0
// Recursive descent, loosest binding first:
//   a if b else c | or | and | not | comparisons, in | + - | ~ | * / // % | ** | unary - + |
//   .name [item] (call) | filters and tests
#include "core/model/jinja_expression_parser.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/model/jinja_parser.h"

namespace lamina::jinja {

namespace {

constexpr uint32_t kMaxHeight = 128;  // of an expression; long chains of + are tall

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData: return "text";
    case TokenKind::kVariableBegin: return "'{{'";
    case TokenKind::kVariableEnd: return "'}}'";
    case TokenKind::kBlockBegin: return "'{%'";
    case TokenKind::kBlockEnd: return "'%}'";
    case TokenKind::kString: return "a string";
    case TokenKind::kInteger:
    case TokenKind::kFloat: return "a number";
    case TokenKind::kEnd: return "the end of the template";
    case TokenKind::kName:
    case TokenKind::kOperator: return quote(token.text);
  }
  return "";
}

}  // namespace

bool ExpressionParser::skip_operator(std::string_view op) {
  if (!here().is_operator(op)) return false;
  next();
  return true;
}

bool ExpressionParser::skip_name(std::string_view name) {
  if (!here().is_name(name)) return false;
  next();
  return true;
}

Result<void> ExpressionParser::expect_operator(std::string_view op) {
  if (skip_operator(op)) return {};
  return unexpected(quote(op).c_str());
}

Result<NameId> ExpressionParser::expect_name() {
  if (here().kind != TokenKind::kName) return unexpected("a name");
  const NameId id = intern(here().text);
  next();
  return id;
}

Result<void> ExpressionParser::expect(TokenKind kind, const char* what) {
  if (here().kind != kind) return unexpected(what);
  next();
  return {};
}

Error ExpressionParser::unexpected(const char* wanted) const {
  return make_error(Code::kInvalidModel, "line %u: expected %s, found %s", here().line, wanted,
                    describe(here()).c_str());
}

Error ExpressionParser::fail(Code code, const char* what) const {
  return make_error(code, "line %u: %s", here().line, what);
}

Result<void> ExpressionParser::enter() {
  if (depth_ >= kMaxParseDepth) {
    return fail(Code::kResourceExhausted, "statements or brackets nest too deep");
  }
  ++depth_;
  return {};
}

NameId ExpressionParser::intern(std::string_view name) {
  const auto [entry, is_new] =
      ids_.emplace(std::string(name), static_cast<NameId>(program_.names.size()));
  if (is_new) program_.names.emplace_back(name);
  return entry->second;
}

ExprId ExpressionParser::literal(Value value, uint32_t line) {
  Expr expr;
  expr.line = line;
  expr.literal = value;
  program_.exprs.push_back(std::move(expr));
  return static_cast<ExprId>(program_.exprs.size() - 1);
}

ExprId ExpressionParser::literal_text(std::string_view text, uint32_t line) {
  program_.texts.emplace_back(text, /*trusted=*/true);
  return literal(Value::string(&program_.texts.back()), line);
}

Result<ExprId> ExpressionParser::add(Expr expr) {
  const auto see = [&](ExprId child) {
    if (child != kNoId) expr.height = std::max(expr.height, program_.exprs[child].height + 1);
  };
  for (ExprId child : expr.children) see(child);
  for (const auto& [name, child] : expr.named) see(child);
  if (expr.height > kMaxHeight) {
    return make_error(Code::kResourceExhausted, "line %u: an expression nests too deep", expr.line);
  }
  program_.exprs.push_back(std::move(expr));
  return static_cast<ExprId>(program_.exprs.size() - 1);
}

Result<ExprId> ExpressionParser::add_binary(ExprKind kind, Operator op, ExprId a, ExprId b,
                                            uint32_t line) {
  Expr expr;
  expr.kind = kind;
  expr.op = op;
  expr.line = line;
  expr.children = {a, b};
  return add(std::move(expr));
}

bool ExpressionParser::at_end_of_tuple() const {
  const TokenKind kind = here().kind;
  return kind == TokenKind::kVariableEnd || kind == TokenKind::kBlockEnd ||
         kind == TokenKind::kEnd || here().is_operator(")");
}

Result<ExprId> ExpressionParser::tuple_or_expression(bool conditional) {
  Expr tuple;
  tuple.kind = ExprKind::kTuple;
  tuple.line = here().line;
  LAMINA_ASSIGN(const ExprId first, expression(conditional));
  if (!here().is_operator(",")) return first;
  tuple.children.push_back(first);
  while (skip_operator(",")) {
    if (at_end_of_tuple()) break;
    LAMINA_ASSIGN(const ExprId item, expression(conditional));
    tuple.children.push_back(item);
  }
  return add(std::move(tuple));
}

Result<Target> ExpressionParser::target(bool attribute) {
  Target target;
  const bool bracket = skip_operator("(");
  do {
    if (here().kind == TokenKind::kOperator && !target.names.empty()) break;
    LAMINA_ASSIGN(const NameId name, expect_name());
    target.names.push_back(name);
    if (!here().is_operator(",")) break;
    target.is_tuple = true;
  } while (skip_operator(","));
  if (bracket) LAMINA_TRY(expect_operator(")"));
  if (attribute && !target.is_tuple && skip_operator(".")) {
    LAMINA_ASSIGN(target.attribute, expect_name());
  }
  return target;
}

Result<ExprId> ExpressionParser::expression(bool with_conditional) {
  LAMINA_TRY(enter());
  auto result = with_conditional ? conditional() : either();
  leave();
  return result;
}

Result<ExprId> ExpressionParser::conditional() {
  LAMINA_ASSIGN(ExprId value, either());
  while (here().is_name("if")) {
    Expr expr;
    expr.kind = ExprKind::kConditional;
    expr.line = here().line;
    next();
    LAMINA_ASSIGN(const ExprId test, either());
    ExprId otherwise = kNoId;
    if (skip_name("else")) {
      LAMINA_ASSIGN(otherwise, expression());
    }
    expr.children = {value, test, otherwise};
    LAMINA_ASSIGN(value, add(std::move(expr)));
  }
  return value;
}

Result<ExprId> ExpressionParser::either() {
  LAMINA_ASSIGN(ExprId left, both());
  for (uint32_t line = here().line; skip_name("or"); line = here().line) {
    LAMINA_ASSIGN(const ExprId right, both());
    LAMINA_ASSIGN(left, add_binary(ExprKind::kOr, Operator::kAdd, left, right, line));
  }
  return left;
}

Result<ExprId> ExpressionParser::both() {
  LAMINA_ASSIGN(ExprId left, negation());
  for (uint32_t line = here().line; skip_name("and"); line = here().line) {
    LAMINA_ASSIGN(const ExprId right, negation());
    LAMINA_ASSIGN(left, add_binary(ExprKind::kAnd, Operator::kAdd, left, right, line));
  }
  return left;
}

Result<ExprId> ExpressionParser::negation() {
  uint32_t count = 0;
  const uint32_t line = here().line;
  while (skip_name("not")) ++count;
  LAMINA_ASSIGN(ExprId value, comparison());
  for (; count > 0; --count) {
    Expr expr;
    expr.kind = ExprKind::kNot;
    expr.line = line;
    expr.children = {value};
    LAMINA_ASSIGN(value, add(std::move(expr)));
  }
  return value;
}

bool ExpressionParser::skip_comparison(Operator& op) {
  constexpr std::pair<std::string_view, Operator> kComparisons[] = {
      {"==", Operator::kEqual},     {"!=", Operator::kNotEqual}, {"<", Operator::kLess},
      {"<=", Operator::kLessEqual}, {">", Operator::kGreater},   {">=", Operator::kGreaterEqual}};
  for (const auto& [text, meaning] : kComparisons) {
    if (!skip_operator(text)) continue;
    op = meaning;
    return true;
  }
  op = Operator::kIn;
  if (skip_name("in")) return true;
  if (!here().is_name("not") || !ahead().is_name("in")) return false;
  next();
  next();
  op = Operator::kNotIn;
  return true;
}

Result<ExprId> ExpressionParser::comparison() {
  Expr expr;
  expr.kind = ExprKind::kCompare;
  expr.line = here().line;
  LAMINA_ASSIGN(const ExprId first, arithmetic(0));
  expr.children.push_back(first);
  Operator op;
  while (skip_comparison(op)) {
    expr.ops.push_back(op);
    LAMINA_ASSIGN(const ExprId operand, arithmetic(0));
    expr.children.push_back(operand);
  }
  if (expr.ops.empty()) return first;
  return add(std::move(expr));
}

// Levels of left-associative arithmetic; concatenation binds between the first two.
bool ExpressionParser::skip_arithmetic(int level, Operator& op) {
  struct Entry {
    std::string_view text;
    Operator op;
    int level;
  };
  constexpr Entry kEntries[] = {
      {"+", Operator::kAdd, 0},         {"-", Operator::kSubtract, 0},
      {"*", Operator::kMultiply, 1},    {"/", Operator::kDivide, 1},
      {"//", Operator::kFloorDivide, 1}, {"%", Operator::kModulo, 1},
      {"**", Operator::kPower, 2}};
  for (const Entry& entry : kEntries) {
    if (entry.level != level || !skip_operator(entry.text)) continue;
    op = entry.op;
    return true;
  }
  return false;
}

Result<ExprId> ExpressionParser::arithmetic(int level) {
  const auto operand = [&]() -> Result<ExprId> {
    if (level == 0) return concatenation();
    if (level == 1) return arithmetic(2);
    return unary(/*with_filters=*/true);
  };
  LAMINA_ASSIGN(ExprId left, operand());
  Operator op;
  for (uint32_t line = here().line; skip_arithmetic(level, op); line = here().line) {
    LAMINA_ASSIGN(const ExprId right, operand());
    LAMINA_ASSIGN(left, add_binary(ExprKind::kArithmetic, op, left, right, line));
  }
  return left;
}

Result<ExprId> ExpressionParser::concatenation() {
  Expr expr;
  expr.kind = ExprKind::kConcat;
  expr.line = here().line;
  do {
    LAMINA_ASSIGN(const ExprId part, arithmetic(1));
    expr.children.push_back(part);
  } while (skip_operator("~"));
  if (expr.children.size() == 1) return expr.children[0];
  return add(std::move(expr));
}

// A sign binds looser than .name and [item], tighter than filters: -x|abs is (-x)|abs.
Result<ExprId> ExpressionParser::unary(bool with_filters) {
  ExprId value;
  const bool minus = here().is_operator("-");
  if (minus || here().is_operator("+")) {
    Expr expr;
    expr.kind = minus ? ExprKind::kNegate : ExprKind::kPlus;
    expr.line = here().line;
    next();
    LAMINA_TRY(enter());
    auto operand = unary(/*with_filters=*/false);
    leave();
    LAMINA_ASSIGN(const ExprId child, std::move(operand));
    expr.children = {child};
    LAMINA_ASSIGN(value, add(std::move(expr)));
  } else {
    LAMINA_ASSIGN(const ExprId inner, primary());
    LAMINA_ASSIGN(value, postfix(inner));
  }
  return with_filters ? filter_and_tests(value) : Result<ExprId>(value);
}

Result<ExprId> ExpressionParser::primary() {
  const Token& token = here();
  const uint32_t line = token.line;
  switch (token.kind) {
    case TokenKind::kString: return string_literal();
    case TokenKind::kInteger: {
      const Value value = Value::integer(token.integer);
      return next(), literal(value, line);
    }
    case TokenKind::kFloat: {
      const Value value = Value::number(token.number);
      return next(), literal(value, line);
    }
    case TokenKind::kOperator: return bracketed();
    case TokenKind::kName: break;
    default: return unexpected("an expression");
  }
  if (skip_name("true") || skip_name("True")) return literal(Value::boolean(true), line);
  if (skip_name("false") || skip_name("False")) return literal(Value::boolean(false), line);
  if (skip_name("none") || skip_name("None")) return literal(Value::none(), line);
  Expr expr;
  expr.kind = ExprKind::kName;
  expr.line = line;
  expr.name = intern(token.text);
  next();
  return add(std::move(expr));
}

Result<ExprId> ExpressionParser::string_literal() {
  const uint32_t line = here().line;
  std::string text;
  for (; here().kind == TokenKind::kString; next()) text += here().text;
  return literal_text(text, line);
}

Result<ExprId> ExpressionParser::bracketed() {
  const uint32_t line = here().line;
  if (skip_operator("[")) return list_items();
  if (skip_operator("{")) return dict_members();
  if (!skip_operator("(")) return unexpected("an expression");
  if (skip_operator(")")) {
    Expr empty;
    empty.kind = ExprKind::kTuple;
    empty.line = line;
    return add(std::move(empty));
  }
  LAMINA_ASSIGN(const ExprId inner, tuple_or_expression());
  LAMINA_TRY(expect_operator(")"));
  return inner;
}

// Items after the opening bracket, and the closing one.
Result<ExprId> ExpressionParser::list_items() {
  Expr expr;
  expr.kind = ExprKind::kList;
  expr.line = here().line;
  while (!skip_operator("]")) {
    if (!expr.children.empty()) LAMINA_TRY(expect_operator(","));
    if (skip_operator("]")) break;
    LAMINA_ASSIGN(const ExprId item, expression());
    expr.children.push_back(item);
  }
  return add(std::move(expr));
}

Result<ExprId> ExpressionParser::dict_members() {
  Expr expr;
  expr.kind = ExprKind::kDict;
  expr.line = here().line;
  while (!skip_operator("}")) {
    if (!expr.children.empty()) LAMINA_TRY(expect_operator(","));
    if (skip_operator("}")) break;
    LAMINA_ASSIGN(const ExprId key, expression());
    LAMINA_TRY(expect_operator(":"));
    LAMINA_ASSIGN(const ExprId value, expression());
    expr.children.push_back(key);
    expr.children.push_back(value);
  }
  return add(std::move(expr));
}

}  // namespace lamina::jinja
