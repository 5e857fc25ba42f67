// SPDX-License-Identifier: Apache-2.0
// The part of the parser that reads expressions, and the token cursor that it shares with the part
// that reads statements.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "core/model/jinja_ast.h"
#include "core/model/jinja_lexer.h"

namespace lamina::jinja {

class ExpressionParser {
 public:
  // REQUIRES: the last token is kEnd, and the program outlives the parser.
  ExpressionParser(std::vector<Token> tokens, Program& program)
      : tokens_(std::move(tokens)), program_(program) {}

  const Token& here() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void next() { at_ = std::min(at_ + 1, tokens_.size() - 1); }
  bool skip_operator(std::string_view op);
  bool skip_name(std::string_view name);
  Result<void> expect_operator(std::string_view op);
  Result<NameId> expect_name();
  Result<void> expect(TokenKind kind, const char* what);
  Error unexpected(const char* wanted) const;
  Error fail(Code code, const char* what) const;  // at the line of here()

  NameId intern(std::string_view name);
  ExprId literal(Value value, uint32_t line);
  ExprId literal_text(std::string_view text, uint32_t line);

  // With `conditional`, "a if b else c" is part of the expression.
  Result<ExprId> expression(bool conditional = true);
  // "a, b, c" without brackets is a tuple.
  Result<ExprId> tuple_or_expression(bool conditional = true);
  // "a", "a, b", "(a, b)", and with `attribute` also "a.b".
  Result<Target> target(bool attribute);
  // Filters at here(), the first with or without its bar, applied to `input`.
  Result<ExprId> filters(ExprId input, bool first_without_bar);

  // Brackets and statements within each other.
  Result<void> enter();
  void leave() { --depth_; }

 private:
  Result<ExprId> add(Expr expr);
  Result<ExprId> add_binary(ExprKind kind, Operator op, ExprId a, ExprId b, uint32_t line);
  bool at_end_of_tuple() const;

  Result<ExprId> conditional();
  Result<ExprId> either();
  Result<ExprId> both();
  Result<ExprId> negation();
  Result<ExprId> comparison();
  bool skip_comparison(Operator& op);
  Result<ExprId> arithmetic(int level);
  bool skip_arithmetic(int level, Operator& op);
  Result<ExprId> concatenation();
  Result<ExprId> unary(bool with_filters);
  Result<ExprId> primary();
  Result<ExprId> bracketed();
  Result<ExprId> string_literal();
  Result<ExprId> list_items();
  Result<ExprId> dict_members();
  Result<ExprId> postfix(ExprId expr);
  Result<ExprId> filter_and_tests(ExprId expr);
  Result<ExprId> attribute(ExprId object);
  Result<ExprId> subscript(ExprId object);
  Result<ExprId> slice_part(std::string_view end_a, std::string_view end_b);
  Result<ExprId> call(ExprId callee);
  Result<void> call_arguments(Expr& call);
  Result<ExprId> filter(ExprId input);
  Result<ExprId> test(ExprId input);
  bool starts_test_argument() const;

  std::vector<Token> tokens_;
  size_t at_ = 0;
  uint32_t depth_ = 0;
  Program& program_;
  std::unordered_map<std::string, NameId> ids_;
};

}  // namespace lamina::jinja
