// SPDX-License-Identifier: Apache-2.0
// Values of the template language. A Value is a small handle, copied freely; what it points to
// belongs to the Heap of one rendering (jinja_heap.h) or to the parsed program.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "core/model/jinja_text.h"

namespace lamina::jinja {

struct List;
struct Dict;
struct Namespace;
struct Loop;
struct Macro;  // a statement of the program
struct Method;
struct Function;

enum class Kind : uint8_t {
  kUndefined,  // of a name that does not exist; prints as nothing
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,  // also Python's tuples
  kDict,
  kNamespace,
  kLoop,      // the name `loop` inside a for
  kMacro,     // {% macro %}
  kMethod,    // value.name, not called yet
  kFunction,  // a global function
};

class Value {
 public:
  Value() = default;
  // `name` explains itself in an error when the value is used; it must outlive the value.
  static Value undefined(std::string_view name);
  static Value none() { return Value(Kind::kNone); }
  static Value boolean(bool b);
  static Value integer(int64_t i);
  static Value number(double d);
  static Value string(const Text* text);
  static Value list(const List* items);
  static Value dict(const Dict* members);
  static Value name_space(Namespace* names);
  static Value loop(const Loop* loop);
  static Value macro(uint32_t statement);
  static Value method(const Method* method);
  static Value function(const Function* function);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_integral() const { return is(Kind::kInt) || is(Kind::kBool); }
  bool is_numeric() const { return is_integral() || is(Kind::kFloat); }

  // REQUIRES: the kind matches (checked).
  bool as_bool() const { return expect(Kind::kBool), integer_ != 0; }
  int64_t as_int() const { return LAMINA_CHECK(is_integral()), integer_; }
  double as_double() const;  // of any numeric kind
  const Text& as_text() const { return expect(Kind::kString), *text_; }
  std::string_view as_bytes() const { return as_text().bytes(); }
  const List& as_list() const { return expect(Kind::kList), *list_; }
  const Dict& as_dict() const { return expect(Kind::kDict), *dict_; }
  Namespace& as_namespace() const { return expect(Kind::kNamespace), *namespace_; }
  const Loop& as_loop() const { return expect(Kind::kLoop), *loop_; }
  uint32_t as_macro() const { return expect(Kind::kMacro), static_cast<uint32_t>(integer_); }
  const Method& as_method() const { return expect(Kind::kMethod), *method_; }
  const Function& as_function() const { return expect(Kind::kFunction), *function_; }
  std::string_view undefined_name() const;

  // The same object, for kinds that compare by identity.
  bool is_same_as(const Value& other) const;

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  void expect(Kind kind) const { LAMINA_CHECK(kind_ == kind); }

  Kind kind_ = Kind::kUndefined;
  uint32_t name_size_ = 0;
  union {
    int64_t integer_ = 0;
    double number_;
    const char* name_;
    const Text* text_;
    const List* list_;
    const Dict* dict_;
    Namespace* namespace_;
    const Loop* loop_;
    const Method* method_;
    const Function* function_;
  };
};

struct List {
  std::vector<Value> items;
  bool is_tuple = false;
  uint32_t nesting = 1;  // set by the heap
};

// Equality of keys, which are strings, numbers and none.
bool key_equals(const Value& a, const Value& b);

struct Dict {
  std::vector<std::pair<Value, Value>> members;  // in order of insertion
  uint32_t nesting = 1;                          // set by the heap

  const Value* find(std::string_view key) const;
  const Value* find(const Value& key) const;
  void set(const Value& key, const Value& value);  // replaces an equal key
};

struct Namespace {
  std::vector<std::pair<std::string_view, Value>> members;
  const Value* find(std::string_view name) const;
  void set(std::string_view name, const Value& value);
};

struct Loop {
  const List* items = nullptr;
  size_t index = 0;
};

struct Method {
  Value self;
  std::string_view name;
};

// As Python's bool().
bool is_true(const Value& value);
// "int", "str", ... as Python names it.
std::string_view type_name(const Value& value);
// An error about using a value in a way that its kind does not have.
Error type_error(const char* what, const Value& value);

}  // namespace lamina::jinja
