// SPDX-License-Identifier: Apache-2.0
// What the interpreter hands to the language's built-in operators, filters, tests and functions.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "core/model/jinja_heap.h"
#include "core/model/jinja_value.h"

namespace lamina {
struct ChatDate;
}

namespace lamina::jinja {

struct Runtime {
  explicit Runtime(const Limits& limits) : budget(limits), heap(budget) {}
  Budget budget;
  Heap heap;
  const ChatDate* now = nullptr;  // null: nobody told
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
};

// A parameter that bind() fills.
struct Slot {
  std::string_view name;
  Value* value;  // keeps what it has if the caller gives nothing
  bool required = false;
};

// Arguments to parameters as in a Python call; `who` names the callee in errors.
Result<void> bind(const Arguments& arguments, std::string_view who,
                  std::initializer_list<Slot> parameters);

using Filter = Result<Value> (*)(Runtime&, const Value& input, const Arguments&);
using Test = Result<bool> (*)(Runtime&, const Value& input, const Arguments&);

struct Function {
  std::string_view name;
  Result<Value> (*call)(Runtime&, const Arguments&);
};

// Null if the language subset has none of that name.
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);
const Function* find_function(std::string_view name);

// Calls self.name(arguments).
Result<Value> call_method(Runtime& rt, const Method& method, const Arguments& arguments);
// An error if Python has the method and this subset does not.
Result<bool> has_method(const Value& self, std::string_view name);

// object.name and object[key]; what is not there is undefined, but undefined itself has nothing.
Result<Value> get_attribute(Runtime& rt, const Value& object, std::string_view name);
Result<Value> get_item(Runtime& rt, const Value& object, const Value& key);
// object[start:stop:step], none where absent.
Result<Value> get_slice(Runtime& rt, const Value& object, const Value& start, const Value& stop,
                        const Value& step);

// A value that must be of a kind, for built-ins. `who` names the callee in errors.
Result<int64_t> expect_int(std::string_view who, const Value& value);
Result<const Text*> expect_string(std::string_view who, const Value& value);

}  // namespace lamina::jinja
