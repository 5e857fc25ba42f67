// SPDX-License-Identifier: Apache-2.0
// Runs a parsed template once.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "core/model/jinja_ast.h"
#include "core/model/jinja_runtime.h"

namespace lamina::jinja {

class Interpreter {
 public:
  // Both must outlive the interpreter.
  Interpreter(const Program& program, Runtime& runtime) : program_(program), rt_(runtime) {}

  // A variable of the template. Does nothing if the template never mentions the name.
  void define(std::string_view name, const Value& value);

  // What the template prints. Errors read "line N: WHAT".
  Result<Text> run();

 private:
  enum class Flow : uint8_t { kNormal, kBreak, kContinue };

  // Variables of a loop's iteration, a macro call, a block, or the template itself.
  struct Scope {
    Scope* parent;
    std::vector<std::pair<NameId, Value>> variables;
  };

  // jinja_interpreter.cc: statements.
  Result<Flow> run_block(const Block& block);
  Result<Flow> run_statement(const Stmt& stmt);
  Result<Flow> dispatch(const Stmt& stmt);
  Result<Flow> run_if(const Stmt& stmt);
  Result<Flow> run_for(const Stmt& stmt);
  Result<Value> loop_items(const Stmt& stmt);
  Result<bool> passes(const Stmt& stmt, const Value& item);
  Result<Flow> run_captured(const Stmt& stmt);
  Result<Flow> run_scoped(const Stmt& stmt);
  Result<Value> capture(const Block& block);
  Result<void> emit(const Value& value);
  Result<void> assign(const Target& target, const Value& value);
  void set(NameId name, const Value& value);
  Result<Value> call_macro(const Stmt& macro, const Arguments& arguments);
  Result<void> bind_parameters(const Stmt& macro, const Arguments& arguments);

  // jinja_evaluator.cc: expressions.
  Result<Value> eval(ExprId id);
  Result<Value> dispatch(const Expr& expr);
  Result<Value> eval_name(const Expr& expr);
  Result<Value> eval_list(const Expr& expr);
  Result<Value> eval_dict(const Expr& expr);
  Result<Value> eval_item(const Expr& expr);
  Result<Value> eval_slice(const Expr& expr);
  Result<Value> eval_call(const Expr& expr);
  Result<Value> call(const Value& callee, const Arguments& arguments);
  Result<Value> eval_filter(const Expr& expr);
  Result<Value> eval_test(const Expr& expr);
  Result<Value> eval_sign(const Expr& expr);
  Result<Value> eval_arithmetic(const Expr& expr);
  Result<Value> eval_concat(const Expr& expr);
  Result<Value> eval_compare(const Expr& expr);
  Result<Value> eval_logic(const Expr& expr);
  Result<Value> eval_conditional(const Expr& expr);
  Result<Arguments> eval_arguments(const Expr& expr);

  std::string_view name_of(NameId id) const { return program_.names[id]; }

  const Program& program_;
  Runtime& rt_;
  Text* out_ = nullptr;  // where output goes: the prompt, or a block being captured
  Scope top_{nullptr, {}};
  Scope* scope_ = &top_;
  Value captured_;
  uint32_t error_line_ = 0;  // of the innermost expression or statement that failed
};

}  // namespace lamina::jinja
