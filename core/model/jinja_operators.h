// SPDX-License-Identifier: Apache-2.0
// Arithmetic and comparison operators, with Python's meaning on int64 and double.
#pragma once

#include "core/base/result.h"
#include "core/model/jinja_ast.h"
#include "core/model/jinja_runtime.h"

namespace lamina::jinja {

// REQUIRES: op is one of kAdd ... kPower. Integer overflow is an error.
Result<Value> arithmetic(Runtime& rt, Operator op, const Value& a, const Value& b);
Result<Value> negate(const Value& value);

// REQUIRES: op is one of kEqual ... kNotIn.
Result<bool> compare_by(Runtime& rt, Operator op, const Value& a, const Value& b);

}  // namespace lamina::jinja
