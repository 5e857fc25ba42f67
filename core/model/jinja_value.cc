// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja_value.h"

namespace lamina::jinja {

Value Value::undefined(std::string_view name) {
  Value v(Kind::kUndefined);
  v.name_ = name.data();
  v.name_size_ = static_cast<uint32_t>(name.size());
  return v;
}

Value Value::boolean(bool b) {
  Value v(Kind::kBool);
  v.integer_ = b;
  return v;
}

Value Value::integer(int64_t i) {
  Value v(Kind::kInt);
  v.integer_ = i;
  return v;
}

Value Value::number(double d) {
  Value v(Kind::kFloat);
  v.number_ = d;
  return v;
}

Value Value::string(const Text* text) {
  Value v(Kind::kString);
  v.text_ = text;
  return v;
}

Value Value::list(const List* items) {
  Value v(Kind::kList);
  v.list_ = items;
  return v;
}

Value Value::dict(const Dict* members) {
  Value v(Kind::kDict);
  v.dict_ = members;
  return v;
}

Value Value::name_space(Namespace* names) {
  Value v(Kind::kNamespace);
  v.namespace_ = names;
  return v;
}

Value Value::loop(const Loop* loop) {
  Value v(Kind::kLoop);
  v.loop_ = loop;
  return v;
}

Value Value::macro(uint32_t statement) {
  Value v(Kind::kMacro);
  v.integer_ = statement;
  return v;
}

Value Value::method(const Method* method) {
  Value v(Kind::kMethod);
  v.method_ = method;
  return v;
}

Value Value::function(const Function* function) {
  Value v(Kind::kFunction);
  v.function_ = function;
  return v;
}

double Value::as_double() const {
  LAMINA_CHECK(is_numeric());
  return is(Kind::kFloat) ? number_ : static_cast<double>(integer_);
}

std::string_view Value::undefined_name() const {
  LAMINA_CHECK(is(Kind::kUndefined));
  return name_size_ == 0 ? std::string_view("value") : std::string_view(name_, name_size_);
}

bool Value::is_same_as(const Value& other) const {
  if (kind_ != other.kind_) return false;
  switch (kind_) {
    case Kind::kUndefined:
    case Kind::kNone: return true;
    case Kind::kFloat: return number_ == other.number_;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kMacro: return integer_ == other.integer_;
    case Kind::kString: return text_ == other.text_;
    case Kind::kList: return list_ == other.list_;
    case Kind::kDict: return dict_ == other.dict_;
    case Kind::kNamespace: return namespace_ == other.namespace_;
    case Kind::kLoop: return loop_ == other.loop_;
    case Kind::kMethod: return method_ == other.method_;
    case Kind::kFunction: return function_ == other.function_;
  }
  return false;
}

bool key_equals(const Value& a, const Value& b) {
  if (a.is(Kind::kString) && b.is(Kind::kString)) return a.as_bytes() == b.as_bytes();
  if (a.is_integral() && b.is_integral()) return a.as_int() == b.as_int();
  if (a.is_numeric() && b.is_numeric()) return a.as_double() == b.as_double();
  return a.is_same_as(b);
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [k, v] : members) {
    if (k.is(Kind::kString) && k.as_bytes() == key) return &v;
  }
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  for (const auto& [k, v] : members) {
    if (key_equals(k, key)) return &v;
  }
  return nullptr;
}

void Dict::set(const Value& key, const Value& value) {
  for (auto& [k, v] : members) {
    if (key_equals(k, key)) {
      v = value;
      return;
    }
  }
  members.emplace_back(key, value);
}

const Value* Namespace::find(std::string_view name) const {
  for (const auto& [k, v] : members) {
    if (k == name) return &v;
  }
  return nullptr;
}

void Namespace::set(std::string_view name, const Value& value) {
  for (auto& [k, v] : members) {
    if (k == name) {
      v = value;
      return;
    }
  }
  members.emplace_back(name, value);
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone: return false;
    case Kind::kBool:
    case Kind::kInt: return value.as_int() != 0;
    case Kind::kFloat: return value.as_double() != 0;
    case Kind::kString: return !value.as_bytes().empty();
    case Kind::kList: return !value.as_list().items.empty();
    case Kind::kDict: return !value.as_dict().members.empty();
    default: return true;
  }
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined: return "undefined";
    case Kind::kNone: return "none";
    case Kind::kBool: return "bool";
    case Kind::kInt: return "int";
    case Kind::kFloat: return "float";
    case Kind::kString: return "str";
    case Kind::kList: return value.as_list().is_tuple ? "tuple" : "list";
    case Kind::kDict: return "dict";
    case Kind::kNamespace: return "namespace";
    case Kind::kLoop: return "loop";
    case Kind::kMacro: return "macro";
    case Kind::kMethod: return "method";
    case Kind::kFunction: return "function";
  }
  return "value";
}

Error type_error(const char* what, const Value& value) {
  if (value.is(Kind::kUndefined)) {
    return make_error(Code::kInvalidModel, "%s is undefined",
                      quote(value.undefined_name()).c_str());
  }
  return make_error(Code::kInvalidModel, "%s is not possible for a %s", what,
                    std::string(type_name(value)).c_str());
}

}  // namespace lamina::jinja
