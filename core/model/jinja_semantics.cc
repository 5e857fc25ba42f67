// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja_semantics.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/base/utf8.h"

namespace lamina::jinja {

Result<void> spend_lookup(Budget& budget, size_t members, size_t key_bytes) {
  return budget.spend_steps((1 + members / 8) * (1 + key_bytes / 32));
}

Result<const Value*> lookup(Budget& budget, const Dict& dict, const Value& key) {
  const size_t key_bytes = key.is(Kind::kString) ? key.as_bytes().size() : 0;
  LAMINA_TRY(spend_lookup(budget, dict.members.size(), key_bytes));
  return dict.find(key);
}

namespace {

Result<bool> lists_equal(Budget& budget, const List& a, const List& b) {
  if (a.items.size() != b.items.size() || a.is_tuple != b.is_tuple) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    LAMINA_ASSIGN(const bool same, equals(budget, a.items[i], b.items[i]));
    if (!same) return false;
  }
  return true;
}

Result<bool> dicts_equal(Budget& budget, const Dict& a, const Dict& b) {
  if (a.members.size() != b.members.size()) return false;
  for (const auto& [key, value] : a.members) {
    LAMINA_ASSIGN(const Value* other, lookup(budget, b, key));
    if (other == nullptr) return false;
    LAMINA_ASSIGN(const bool same, equals(budget, value, *other));
    if (!same) return false;
  }
  return true;
}

Result<int> compare_lists(Budget& budget, const List& a, const List& b) {
  const size_t common = std::min(a.items.size(), b.items.size());
  for (size_t i = 0; i < common; ++i) {
    LAMINA_ASSIGN(const bool same, equals(budget, a.items[i], b.items[i]));
    if (!same) return compare(budget, a.items[i], b.items[i]);
  }
  return a.items.size() < b.items.size() ? -1 : a.items.size() > b.items.size();
}

template <typename T>
int order(T a, T b) {
  return a < b ? -1 : a > b;
}

}  // namespace

Result<bool> equals(Budget& budget, const Value& a, const Value& b) {
  LAMINA_TRY(budget.spend_steps(1));
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    LAMINA_TRY(budget.spend_scan(std::min(a.as_bytes().size(), b.as_bytes().size())));
    return a.as_bytes() == b.as_bytes();
  }
  if (a.is_integral() && b.is_integral()) return a.as_int() == b.as_int();
  if (a.is_numeric() && b.is_numeric()) return a.as_double() == b.as_double();
  if (a.is(Kind::kList) && b.is(Kind::kList)) return lists_equal(budget, a.as_list(), b.as_list());
  if (a.is(Kind::kDict) && b.is(Kind::kDict)) return dicts_equal(budget, a.as_dict(), b.as_dict());
  return a.is_same_as(b);
}

Result<int> compare(Budget& budget, const Value& a, const Value& b) {
  LAMINA_TRY(budget.spend_steps(1));
  if (a.is_integral() && b.is_integral()) return order(a.as_int(), b.as_int());
  if (a.is_numeric() && b.is_numeric()) {
    if (std::isnan(a.as_double()) || std::isnan(b.as_double())) return kUnordered;
    return order(a.as_double(), b.as_double());
  }
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    LAMINA_TRY(budget.spend_scan(std::min(a.as_bytes().size(), b.as_bytes().size())));
    return order(a.as_bytes().compare(b.as_bytes()), 0);  // UTF-8 keeps the code points' order
  }
  if (a.is(Kind::kList) && b.is(Kind::kList) && a.as_list().is_tuple == b.as_list().is_tuple) {
    return compare_lists(budget, a.as_list(), b.as_list());
  }
  return type_error("ordering", a.is(Kind::kUndefined) || !b.is(Kind::kUndefined) ? a : b);
}

Result<bool> contains(Budget& budget, const Value& container, const Value& item) {
  if (container.is(Kind::kUndefined)) return false;
  if (container.is(Kind::kString)) {
    if (!item.is(Kind::kString)) return type_error("'in' a string", item);
    const size_t n = container.as_bytes().size();
    const size_t m = item.as_bytes().size();
    LAMINA_TRY(budget.spend_steps((1 + n / 32) * (1 + m / 32)));
    return container.as_bytes().find(item.as_bytes()) != std::string_view::npos;
  }
  if (container.is(Kind::kList)) {
    for (const Value& element : container.as_list().items) {
      LAMINA_ASSIGN(const bool same, equals(budget, element, item));
      if (same) return true;
    }
    return false;
  }
  if (!container.is(Kind::kDict)) return type_error("'in'", container);
  LAMINA_ASSIGN(const Value* found, lookup(budget, container.as_dict(), item));
  return found != nullptr;
}

Result<int64_t> length(Budget& budget, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined: return 0;
    case Kind::kString:
      LAMINA_TRY(budget.spend_scan(value.as_bytes().size()));
      return static_cast<int64_t>(count_code_points(value.as_bytes()));
    case Kind::kList: return static_cast<int64_t>(value.as_list().items.size());
    case Kind::kDict: return static_cast<int64_t>(value.as_dict().members.size());
    default: return type_error("length", value);
  }
}

namespace {

Result<Value> characters(Budget& budget, Heap& heap, const Text& text) {
  LAMINA_TRY(budget.spend_steps(text.size()));
  std::vector<Value> items;
  for (size_t i = 0; i < text.size();) {
    const size_t end = i + decode_utf8(text.bytes(), i).bytes;
    LAMINA_ASSIGN(const Value character, heap.string(text.slice(i, end)));
    items.push_back(character);
    i = end;
  }
  return heap.list(std::move(items));
}

Result<Value> keys(Heap& heap, const Dict& dict) {
  std::vector<Value> items;
  for (const auto& [key, value] : dict.members) items.push_back(key);
  return heap.list(std::move(items));
}

}  // namespace

Result<const List*> iterate(Budget& budget, Heap& heap, const Value& value) {
  if (value.is(Kind::kList)) {
    LAMINA_TRY(budget.spend_steps(value.as_list().items.size() / 8));
    return &value.as_list();
  }
  Value items;
  if (value.is(Kind::kString)) {
    LAMINA_ASSIGN(items, characters(budget, heap, value.as_text()));
  } else if (value.is(Kind::kDict)) {
    LAMINA_ASSIGN(items, keys(heap, value.as_dict()));
  } else if (value.is(Kind::kUndefined)) {
    LAMINA_ASSIGN(items, heap.list({}));
  } else {
    return type_error("iteration", value);
  }
  return &items.as_list();
}

}  // namespace lamina::jinja
