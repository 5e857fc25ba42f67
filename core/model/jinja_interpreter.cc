// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja_interpreter.h"

#include <algorithm>
#include <string>

#include "core/model/jinja_print.h"
#include "core/model/jinja_semantics.h"

namespace lamina::jinja {

void Interpreter::define(std::string_view name, const Value& value) {
  const auto found = std::find(program_.names.begin(), program_.names.end(), name);
  if (found == program_.names.end()) return;
  top_.variables.emplace_back(static_cast<NameId>(found - program_.names.begin()), value);
}

Result<Text> Interpreter::run() {
  Text out;
  out_ = &out;
  auto flow = run_block(program_.body);
  if (flow) return out;
  return make_error(flow.error().code, "line %u: %s", error_line_, flow.error().message.c_str());
}

Result<Interpreter::Flow> Interpreter::run_block(const Block& block) {
  for (StmtId id : block) {
    LAMINA_ASSIGN(const Flow flow, run_statement(program_.stmts[id]));
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_statement(const Stmt& stmt) {
  LAMINA_TRY(rt_.budget.spend_steps(1));
  LAMINA_TRY(rt_.budget.enter());
  auto flow = dispatch(stmt);
  rt_.budget.leave();
  if (!flow && error_line_ == 0) error_line_ = stmt.line;
  return flow;
}

Result<Interpreter::Flow> Interpreter::dispatch(const Stmt& stmt) {
  switch (stmt.kind) {
    case StmtKind::kText:
    case StmtKind::kOutput: {
      LAMINA_ASSIGN(const Value value, eval(stmt.expr));
      LAMINA_TRY(emit(value));
      return Flow::kNormal;
    }
    case StmtKind::kSet: {
      LAMINA_ASSIGN(const Value value, eval(stmt.expr));
      LAMINA_TRY(assign(stmt.target, value));
      return Flow::kNormal;
    }
    case StmtKind::kMacro: {
      const auto id = static_cast<StmtId>(&stmt - program_.stmts.data());
      set(stmt.target.names[0], Value::macro(id));
      return Flow::kNormal;
    }
    case StmtKind::kIf: return run_if(stmt);
    case StmtKind::kFor: return run_for(stmt);
    case StmtKind::kSetBlock:
    case StmtKind::kFilter: return run_captured(stmt);
    case StmtKind::kWith:
    case StmtKind::kScope: return run_scoped(stmt);
    case StmtKind::kBreak: return Flow::kBreak;
    case StmtKind::kContinue: return Flow::kContinue;
  }
  return Flow::kNormal;
}

Result<void> Interpreter::emit(const Value& value) {
  LAMINA_TRY(print(rt_.budget, value, *out_));
  return rt_.budget.check_output(out_->size());
}

Result<Interpreter::Flow> Interpreter::run_if(const Stmt& stmt) {
  for (const Branch& branch : stmt.branches) {
    bool taken = branch.test == kNoId;
    if (!taken) {
      LAMINA_ASSIGN(const Value test, eval(branch.test));
      taken = is_true(test);
    }
    if (taken) return run_block(branch.body);
  }
  return Flow::kNormal;
}

// The loop's filter sees the item, but not yet `loop`.
Result<bool> Interpreter::passes(const Stmt& stmt, const Value& item) {
  Scope scope{scope_, {}};
  scope_ = &scope;
  auto kept = [&]() -> Result<bool> {
    LAMINA_TRY(assign(stmt.target, item));
    LAMINA_ASSIGN(const Value test, eval(stmt.condition));
    return is_true(test);
  }();
  scope_ = scope.parent;
  return kept;
}

Result<Value> Interpreter::loop_items(const Stmt& stmt) {
  LAMINA_ASSIGN(const Value iterable, eval(stmt.expr));
  LAMINA_ASSIGN(const List* all, iterate(rt_.budget, rt_.heap, iterable));
  if (stmt.condition == kNoId) return Value::list(all);
  std::vector<Value> items;
  for (const Value& item : all->items) {
    LAMINA_ASSIGN(const bool kept, passes(stmt, item));
    if (kept) items.push_back(item);
  }
  return rt_.heap.list(std::move(items));
}

Result<Interpreter::Flow> Interpreter::run_for(const Stmt& stmt) {
  LAMINA_ASSIGN(const Value items, loop_items(stmt));
  LAMINA_ASSIGN(Loop* loop, rt_.heap.loop());
  loop->items = &items.as_list();
  Scope scope{scope_, {}};
  scope_ = &scope;
  const auto loop_name = std::find(program_.names.begin(), program_.names.end(), "loop");
  auto run_all = [&]() -> Result<Flow> {
    for (; loop->index < loop->items->items.size(); ++loop->index) {
      LAMINA_TRY(rt_.budget.spend_steps(1));
      scope.variables.clear();
      LAMINA_TRY(assign(stmt.target, loop->items->items[loop->index]));
      if (loop_name != program_.names.end()) {
        set(static_cast<NameId>(loop_name - program_.names.begin()), Value::loop(loop));
      }
      LAMINA_ASSIGN(const Flow flow, run_block(stmt.body));
      if (flow == Flow::kBreak) break;
    }
    scope.variables.clear();
    return loop->items->items.empty() ? run_block(stmt.otherwise) : Flow::kNormal;
  };
  auto flow = run_all();
  scope_ = scope.parent;
  return flow;
}

Result<Value> Interpreter::capture(const Block& block) {
  Text text;
  Text* outer = std::exchange(out_, &text);
  auto flow = run_block(block);
  out_ = outer;
  LAMINA_TRY(std::move(flow));
  return rt_.heap.string(std::move(text));
}

Result<Interpreter::Flow> Interpreter::run_captured(const Stmt& stmt) {
  Scope scope{scope_, {}};
  scope_ = &scope;
  auto captured = capture(stmt.body);
  scope_ = scope.parent;
  LAMINA_ASSIGN(const Value text, std::move(captured));
  const Value outer = std::exchange(captured_, text);
  auto result = eval(stmt.expr);
  captured_ = outer;
  LAMINA_ASSIGN(const Value value, std::move(result));
  if (stmt.kind == StmtKind::kFilter) {
    LAMINA_TRY(emit(value));
  } else {
    LAMINA_TRY(assign(stmt.target, value));
  }
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_scoped(const Stmt& stmt) {
  Scope scope{scope_, {}};
  for (size_t i = 0; i < stmt.branches.size(); ++i) {  // with: values see the outer scope
    LAMINA_ASSIGN(const Value value, eval(stmt.branches[i].test));
    scope.variables.emplace_back(stmt.target.names[i], value);
  }
  scope_ = &scope;
  auto flow = run_block(stmt.body);
  scope_ = scope.parent;
  return flow;
}

void Interpreter::set(NameId name, const Value& value) {
  for (auto& [id, old] : scope_->variables) {
    if (id != name) continue;
    old = value;
    return;
  }
  scope_->variables.emplace_back(name, value);
}

Result<void> Interpreter::assign(const Target& target, const Value& value) {
  LAMINA_TRY(rt_.budget.spend_steps(1 + scope_->variables.size() / 8));
  if (target.attribute != kNoId) {
    Expr name;
    name.name = target.names[0];
    LAMINA_ASSIGN(const Value object, eval_name(name));
    if (!object.is(Kind::kNamespace)) return type_error("assigning to an attribute", object);
    Namespace& names = object.as_namespace();
    LAMINA_TRY(spend_lookup(rt_.budget, names.members.size(), name_of(target.attribute).size()));
    LAMINA_TRY(rt_.budget.spend_bytes(sizeof(Value)));
    names.set(name_of(target.attribute), value);
    return {};
  }
  if (!target.is_tuple) return set(target.names[0], value), Result<void>();
  LAMINA_ASSIGN(const List* items, iterate(rt_.budget, rt_.heap, value));
  if (items->items.size() != target.names.size()) {
    return make_error(Code::kInvalidModel, "cannot unpack %zu values into %zu names",
                      items->items.size(), target.names.size());
  }
  for (size_t i = 0; i < items->items.size(); ++i) set(target.names[i], items->items[i]);
  return {};
}

// A macro's scope hangs under the template's own, wherever it is called from.
Result<Value> Interpreter::call_macro(const Stmt& macro, const Arguments& arguments) {
  Scope scope{&top_, {}};
  Scope* caller = std::exchange(scope_, &scope);
  auto text = [&]() -> Result<Value> {
    LAMINA_TRY(bind_parameters(macro, arguments));
    return capture(macro.body);
  }();
  scope_ = caller;
  return text;
}

Result<void> Interpreter::bind_parameters(const Stmt& macro, const Arguments& arguments) {
  const std::string name(name_of(macro.target.names[0]));
  if (arguments.positional.size() > macro.parameters.size()) {
    return make_error(Code::kInvalidModel, "macro %s takes %zu arguments, not %zu",
                      quote(name).c_str(), macro.parameters.size(), arguments.positional.size());
  }
  size_t used = 0;
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    const auto named =
        std::find_if(arguments.named.begin(), arguments.named.end(),
                     [&](const auto& entry) { return entry.first == name_of(parameter.name); });
    Value value = Value::undefined(name_of(parameter.name));
    if (i < arguments.positional.size()) {
      value = arguments.positional[i];
    } else if (named != arguments.named.end()) {
      value = named->second;
      ++used;
    } else if (parameter.fallback != kNoId) {
      LAMINA_ASSIGN(value, eval(parameter.fallback));
    }
    set(parameter.name, value);
  }
  if (used == arguments.named.size()) return {};
  return make_error(Code::kInvalidModel, "macro %s got an argument that it does not have or twice",
                    quote(name).c_str());
}

}  // namespace lamina::jinja
