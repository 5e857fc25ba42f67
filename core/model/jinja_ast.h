// SPDX-License-Identifier: Apache-2.0
// A parsed template: flat tables of expressions and statements that name each other by index, so
// that nothing recurses when it is copied or taken apart.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "core/model/jinja_text.h"
#include "core/model/jinja_value.h"

namespace lamina::jinja {

using ExprId = uint32_t;
using StmtId = uint32_t;
using NameId = uint32_t;
using Block = std::vector<StmtId>;
constexpr uint32_t kNoId = UINT32_MAX;

enum class ExprKind : uint8_t {
  kLiteral,      // literal
  kName,         // name
  kList,         // children
  kTuple,        // children
  kDict,         // children: key, value, key, value, ...
  kAttribute,    // children[0].name
  kItem,         // children[0][children[1]]
  kSlice,        // children[0][children[1]:children[2]:children[3]], kNoId where absent
  kCall,         // children[0](children[1:]..., named)
  kFilter,       // children[0] | name(children[1:]..., named)
  kTest,         // children[0] is name(children[1:]..., named)
  kNegate,       // -children[0]
  kPlus,         // +children[0]
  kNot,          // not children[0]
  kArithmetic,   // children[0] op children[1]
  kConcat,       // children joined by ~
  kCompare,      // children[0] ops[0] children[1] ops[1] children[2] ...
  kAnd,          // children[0] and children[1]
  kOr,           // children[0] or children[1]
  kConditional,  // children[0] if children[1] else children[2] (may be kNoId)
  kCaptured,     // the text a {% set %} or {% filter %} block has just captured
};

enum class Operator : uint8_t {
  kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower,
  kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn,
};

struct Expr {
  ExprKind kind = ExprKind::kLiteral;
  Operator op = Operator::kAdd;
  uint32_t line = 0;
  uint32_t height = 1;  // longest path down to a leaf
  NameId name = kNoId;
  Value literal;
  std::vector<ExprId> children;
  std::vector<Operator> ops;
  std::vector<std::pair<NameId, ExprId>> named;
};

// What an assignment or a for binds: `names[0]`, `names[0].attribute`, or several names at once.
struct Target {
  std::vector<NameId> names;
  NameId attribute = kNoId;
  bool is_tuple = false;
};

enum class StmtKind : uint8_t {
  kText,      // literal text: expr is a kLiteral
  kOutput,    // {{ expr }}
  kIf,        // branches; the else has test kNoId
  kFor,       // for target in expr if condition: body; else: otherwise
  kSet,       // set target = expr
  kSetBlock,  // set target: body, printed, is kCaptured of expr
  kFilter,    // filter: the same, and expr is printed
  kMacro,     // target.names[0](parameters): body
  kWith,      // branches' tests are the values of target.names; body
  kScope,     // body in a scope of its own
  kBreak,
  kContinue,
};

struct Branch {
  ExprId test = kNoId;
  Block body;
};

struct Parameter {
  NameId name = kNoId;
  ExprId fallback = kNoId;
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  uint32_t line = 0;
  Target target;
  ExprId expr = kNoId;
  ExprId condition = kNoId;
  std::vector<Branch> branches;
  std::vector<Parameter> parameters;
  Block body;
  Block otherwise;
};

// Immutable once parsed; values of a rendering point into it.
struct Program {
  std::vector<Expr> exprs;
  std::vector<Stmt> stmts;
  std::deque<std::string> names;  // by NameId
  std::deque<Text> texts;         // of literals
  Block body;
};

}  // namespace lamina::jinja
