// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja_parser.h"

#include <initializer_list>
#include <string>
#include <utility>

#include "core/base/utf8.h"
#include "core/model/jinja_expression_parser.h"
#include "core/model/jinja_lexer.h"

namespace lamina::jinja {

namespace {

using Names = std::initializer_list<std::string_view>;

class StatementParser {
 public:
  StatementParser(std::vector<Token> tokens, Program& program)
      : program_(program), cursor_(std::move(tokens), program) {}
  Result<void> run();

 private:
  StmtId add(Stmt stmt);
  Result<Block> block_until(Names ends);
  Result<Block> tag_body(Names ends);
  Result<Block> closed_body(std::string_view end);
  Result<Block> scoped_body(std::string_view end);
  Result<void> text_or_output(Block& block);
  Result<void> statement(Block& block);
  Result<void> dispatch(const std::string& name, Stmt& stmt);
  Result<void> parse_if(Stmt& stmt);
  Result<void> parse_for(Stmt& stmt);
  Result<void> parse_set(Stmt& stmt);
  Result<void> parse_filter(Stmt& stmt);
  Result<void> parse_macro(Stmt& stmt);
  Result<void> parse_parameters(Stmt& stmt);
  Result<void> parse_with(Stmt& stmt);
  Result<void> parse_jump(Stmt& stmt, StmtKind kind);
  ExprId captured(uint32_t line);

  Program& program_;
  ExpressionParser cursor_;
  uint32_t loops_ = 0;   // open for loops, within the macro if there is one
  uint32_t scopes_ = 0;  // open constructs that have variables of their own
};

StmtId StatementParser::add(Stmt stmt) {
  program_.stmts.push_back(std::move(stmt));
  return static_cast<StmtId>(program_.stmts.size() - 1);
}

ExprId StatementParser::captured(uint32_t line) {
  const ExprId id = cursor_.literal(Value(), line);
  program_.exprs[id].kind = ExprKind::kCaptured;
  return id;
}

// Statements up to a tag with one of these names (which is here() afterwards), or to the end of
// the template if there are none.
Result<Block> StatementParser::block_until(Names ends) {
  Block block;
  for (;;) {
    const Token& token = cursor_.here();
    if (token.kind == TokenKind::kEnd) {
      if (ends.size() == 0) return block;
      const std::string wanted = "{% " + std::string(*(ends.end() - 1)) + " %}";
      return cursor_.unexpected(wanted.c_str());
    }
    if (token.kind != TokenKind::kBlockBegin) {
      LAMINA_TRY(text_or_output(block));
      continue;
    }
    cursor_.next();
    for (std::string_view end : ends) {
      if (cursor_.here().is_name(end)) return block;
    }
    LAMINA_TRY(statement(block));
  }
}

// The body of the tag whose head has just been read.
Result<Block> StatementParser::tag_body(Names ends) {
  LAMINA_TRY(cursor_.expect(TokenKind::kBlockEnd, "'%}'"));
  LAMINA_TRY(cursor_.enter());
  auto block = block_until(ends);
  cursor_.leave();
  return block;
}

Result<Block> StatementParser::closed_body(std::string_view end) {
  LAMINA_ASSIGN(Block block, tag_body({end}));
  cursor_.next();
  return block;
}

Result<Block> StatementParser::scoped_body(std::string_view end) {
  ++scopes_;
  auto block = closed_body(end);
  --scopes_;
  return block;
}

Result<void> StatementParser::text_or_output(Block& block) {
  Stmt stmt;
  stmt.line = cursor_.here().line;
  if (cursor_.here().kind == TokenKind::kData) {
    stmt.kind = StmtKind::kText;
    stmt.expr = cursor_.literal_text(cursor_.here().text, stmt.line);
    cursor_.next();
  } else {
    stmt.kind = StmtKind::kOutput;
    LAMINA_TRY(cursor_.expect(TokenKind::kVariableBegin, "text or a tag"));
    LAMINA_ASSIGN(stmt.expr, cursor_.tuple_or_expression());
    LAMINA_TRY(cursor_.expect(TokenKind::kVariableEnd, "'}}'"));
  }
  block.push_back(add(std::move(stmt)));
  return {};
}

Result<void> StatementParser::statement(Block& block) {
  const Token& token = cursor_.here();
  if (token.kind != TokenKind::kName) return cursor_.unexpected("the name of a tag");
  Stmt stmt;
  stmt.line = token.line;
  const std::string name = token.text;
  cursor_.next();
  LAMINA_TRY(dispatch(name, stmt));
  LAMINA_TRY(cursor_.expect(TokenKind::kBlockEnd, "'%}'"));
  block.push_back(add(std::move(stmt)));
  return {};
}

Result<void> StatementParser::dispatch(const std::string& name, Stmt& stmt) {
  if (name == "if") return parse_if(stmt);
  if (name == "for") return parse_for(stmt);
  if (name == "set") return parse_set(stmt);
  if (name == "macro") return parse_macro(stmt);
  if (name == "filter") return parse_filter(stmt);
  if (name == "with") return parse_with(stmt);
  if (name == "break") return parse_jump(stmt, StmtKind::kBreak);
  if (name == "continue") return parse_jump(stmt, StmtKind::kContinue);
  if (name == "generation") {  // marks what an assistant said, for training
    stmt.kind = StmtKind::kScope;
    LAMINA_ASSIGN(stmt.body, scoped_body("endgeneration"));
    return {};
  }
  const bool is_end = name.starts_with("end") || name == "else" || name == "elif";
  return make_error(is_end ? Code::kInvalidModel : Code::kUnsupported, "line %u: %s tag %s",
                    stmt.line, is_end ? "nothing is open for the" : "chat templates have no",
                    quote(name).c_str());
}

Result<void> StatementParser::parse_if(Stmt& stmt) {
  stmt.kind = StmtKind::kIf;
  for (bool more = true; more;) {
    Branch branch;
    LAMINA_ASSIGN(branch.test, cursor_.tuple_or_expression(/*conditional=*/false));
    LAMINA_ASSIGN(branch.body, tag_body({"elif", "else", "endif"}));
    stmt.branches.push_back(std::move(branch));
    more = cursor_.skip_name("elif");
  }
  if (cursor_.skip_name("else")) {
    Branch branch;
    LAMINA_ASSIGN(branch.body, tag_body({"endif"}));
    stmt.branches.push_back(std::move(branch));
  }
  cursor_.next();
  return {};
}

Result<void> StatementParser::parse_for(Stmt& stmt) {
  stmt.kind = StmtKind::kFor;
  LAMINA_ASSIGN(stmt.target, cursor_.target(/*attribute=*/false));
  if (!cursor_.skip_name("in")) return cursor_.unexpected("'in'");
  LAMINA_ASSIGN(stmt.expr, cursor_.tuple_or_expression(/*conditional=*/false));
  if (cursor_.skip_name("if")) {
    LAMINA_ASSIGN(stmt.condition, cursor_.expression());
  }
  if (cursor_.here().is_name("recursive")) {
    return cursor_.fail(Code::kUnsupported, "recursive loops are not supported");
  }
  ++scopes_;
  ++loops_;
  auto body = tag_body({"else", "endfor"});
  --loops_;
  LAMINA_ASSIGN(stmt.body, std::move(body));
  if (cursor_.skip_name("else")) {
    LAMINA_ASSIGN(stmt.otherwise, tag_body({"endfor"}));
  }
  --scopes_;
  cursor_.next();
  return {};
}

Result<void> StatementParser::parse_set(Stmt& stmt) {
  LAMINA_ASSIGN(stmt.target, cursor_.target(/*attribute=*/true));
  if (cursor_.skip_operator("=")) {
    stmt.kind = StmtKind::kSet;
    LAMINA_ASSIGN(stmt.expr, cursor_.tuple_or_expression());
    return {};
  }
  stmt.kind = StmtKind::kSetBlock;
  LAMINA_ASSIGN(stmt.expr, cursor_.filters(captured(stmt.line), /*first_without_bar=*/false));
  LAMINA_ASSIGN(stmt.body, scoped_body("endset"));
  return {};
}

Result<void> StatementParser::parse_filter(Stmt& stmt) {
  stmt.kind = StmtKind::kFilter;
  LAMINA_ASSIGN(stmt.expr, cursor_.filters(captured(stmt.line), /*first_without_bar=*/true));
  LAMINA_ASSIGN(stmt.body, scoped_body("endfilter"));
  return {};
}

// A macro sees the template's own variables and its parameters; one defined inside a loop would
// also see the loop's, which have ended when it is called from elsewhere.
Result<void> StatementParser::parse_macro(Stmt& stmt) {
  stmt.kind = StmtKind::kMacro;
  if (scopes_ > 0) {
    return make_error(Code::kUnsupported,
                      "line %u: macros inside loops or blocks are not supported", stmt.line);
  }
  LAMINA_ASSIGN(const NameId name, cursor_.expect_name());
  stmt.target.names = {name};
  LAMINA_TRY(parse_parameters(stmt));
  const uint32_t outer_loops = std::exchange(loops_, 0);
  auto body = scoped_body("endmacro");
  loops_ = outer_loops;
  LAMINA_ASSIGN(stmt.body, std::move(body));
  return {};
}

Result<void> StatementParser::parse_parameters(Stmt& stmt) {
  LAMINA_TRY(cursor_.expect_operator("("));
  while (!cursor_.skip_operator(")")) {
    if (!stmt.parameters.empty()) LAMINA_TRY(cursor_.expect_operator(","));
    Parameter parameter;
    LAMINA_ASSIGN(parameter.name, cursor_.expect_name());
    if (cursor_.skip_operator("=")) {
      LAMINA_ASSIGN(parameter.fallback, cursor_.expression());
    } else if (!stmt.parameters.empty() && stmt.parameters.back().fallback != kNoId) {
      return cursor_.unexpected("a default, as the parameter before has one");
    }
    stmt.parameters.push_back(parameter);
  }
  return {};
}

Result<void> StatementParser::parse_with(Stmt& stmt) {
  stmt.kind = StmtKind::kWith;
  while (cursor_.here().kind != TokenKind::kBlockEnd) {
    if (!stmt.branches.empty()) LAMINA_TRY(cursor_.expect_operator(","));
    LAMINA_ASSIGN(const NameId name, cursor_.expect_name());
    stmt.target.names.push_back(name);
    LAMINA_TRY(cursor_.expect_operator("="));
    Branch value;
    LAMINA_ASSIGN(value.test, cursor_.expression());
    stmt.branches.push_back(std::move(value));
  }
  LAMINA_ASSIGN(stmt.body, scoped_body("endwith"));
  return {};
}

Result<void> StatementParser::parse_jump(Stmt& stmt, StmtKind kind) {
  stmt.kind = kind;
  if (loops_ > 0) return {};
  return make_error(Code::kInvalidModel, "line %u: break or continue outside a loop", stmt.line);
}

Result<void> StatementParser::run() {
  LAMINA_ASSIGN(program_.body, block_until({}));
  return {};
}

}  // namespace

Result<std::shared_ptr<const Program>> parse(std::string_view source) {
  if (source.size() > kMaxSourceBytes) {
    return make_error(Code::kResourceExhausted, "the template has %zu bytes, more than %zu",
                      source.size(), kMaxSourceBytes);
  }
  if (!is_valid_utf8(source)) return make_error(Code::kInvalidModel, "the template is not UTF-8");
  LAMINA_ASSIGN(std::vector<Token> tokens, tokenize(source));
  auto program = std::make_shared<Program>();
  LAMINA_TRY(StatementParser(std::move(tokens), *program).run());
  return std::shared_ptr<const Program>(std::move(program));
}

}  // namespace lamina::jinja
