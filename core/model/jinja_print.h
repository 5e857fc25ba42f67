// SPDX-License-Identifier: Apache-2.0
// Values as text: Python's str() and repr(), and json.dumps(). Strings keep their trust; what these
// functions add around them (digits, brackets, quotes) is the template's own.
#pragma once

#include <string>

#include "core/base/result.h"
#include "core/model/jinja_heap.h"
#include "core/model/jinja_text.h"
#include "core/model/jinja_value.h"

namespace lamina::jinja {

// str(value) appended to `out`. Undefined prints as nothing; functions and namespaces, which have
// no text that a prompt could want, are an error.
Result<void> print(Budget& budget, const Value& value, Text& out);
Result<void> print_repr(Budget& budget, const Value& value, Text& out);
Result<Text> to_text(Budget& budget, const Value& value);

// json.dumps(value, ensure_ascii=False, indent=indent); no indent if it is negative.
Result<Text> to_json(Budget& budget, const Value& value, int indent);

std::string float_repr(double value);  // "1.0", "1e+16", "inf"

}  // namespace lamina::jinja
