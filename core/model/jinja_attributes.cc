// SPDX-License-Identifier: Apache-2.0
// object.name, object[key], object[a:b:c].
#include <algorithm>
#include <string>
#include <utility>

#include "core/base/utf8.h"
#include "core/model/jinja_runtime.h"
#include "core/model/jinja_semantics.h"

namespace lamina::jinja {

namespace {

Value loop_item(const Loop& loop, size_t index, std::string_view name) {
  return index < loop.items->items.size() ? loop.items->items[index] : Value::undefined(name);
}

Value loop_attribute(const Loop& loop, std::string_view name) {
  const auto index = static_cast<int64_t>(loop.index);
  const auto count = static_cast<int64_t>(loop.items->items.size());
  if (name == "index") return Value::integer(index + 1);
  if (name == "index0") return Value::integer(index);
  if (name == "revindex") return Value::integer(count - index);
  if (name == "revindex0") return Value::integer(count - index - 1);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(index == count - 1);
  if (name == "length") return Value::integer(count);
  if (name == "depth") return Value::integer(1);  // counts recursive loops only
  if (name == "depth0") return Value::integer(0);
  // Before the first item the index wraps to the largest number, where no item is either.
  if (name == "previtem") return loop_item(loop, loop.index - 1, name);
  if (name == "nextitem") return loop_item(loop, loop.index + 1, name);
  return Value::undefined(name);
}

Result<Value> string_item(Runtime& rt, const Value& object, int64_t index) {
  const Text& text = object.as_text();
  LAMINA_TRY(rt.budget.spend_scan(text.size()));
  const auto count = static_cast<int64_t>(count_code_points(text.bytes()));
  if (index < 0) index += count;
  if (index < 0 || index >= count) return Value::undefined("index of a string");
  const size_t begin = offset_of_code_point(text.bytes(), static_cast<size_t>(index));
  const size_t end = begin + decode_utf8(text.bytes(), begin).bytes;
  return rt.heap.string(text.slice(begin, end));
}

Value list_item(const List& list, int64_t index) {
  const auto count = static_cast<int64_t>(list.items.size());
  if (index < 0) index += count;
  if (index < 0 || index >= count) return Value::undefined("index of a list");
  return list.items[static_cast<size_t>(index)];
}

// As Python's slice.indices().
struct Slice {
  int64_t start, stop, step;
};

Result<int64_t> slice_bound(const Value& value, int64_t absent, int64_t count, int64_t step) {
  if (value.is(Kind::kNone)) return absent;
  LAMINA_ASSIGN(int64_t bound, expect_int("slice", value));
  const int64_t low = step > 0 ? 0 : -1;
  const int64_t high = step > 0 ? count : count - 1;
  if (bound < 0) bound = bound < -count ? low : bound + count;
  return std::clamp(bound, low, std::max(low, high));
}

Result<Slice> slice_indices(const Value& start, const Value& stop, const Value& step,
                            int64_t count) {
  Slice slice{0, 0, 1};
  if (!step.is(Kind::kNone)) {
    LAMINA_ASSIGN(slice.step, expect_int("slice", step));
  }
  if (slice.step == 0) return make_error(Code::kInvalidModel, "slice: the step is 0");
  const bool forwards = slice.step > 0;
  // A step over the whole sequence is one that skips it all; larger ones would overflow below.
  slice.step = std::clamp(slice.step, -count - 1, count + 1);
  LAMINA_ASSIGN(slice.start, slice_bound(start, forwards ? 0 : count - 1, count, slice.step));
  LAMINA_ASSIGN(slice.stop, slice_bound(stop, forwards ? count : -1, count, slice.step));
  return slice;
}

template <typename Take>
void for_each_index(const Slice& slice, Take take) {
  for (int64_t i = slice.start; slice.step > 0 ? i < slice.stop : i > slice.stop; i += slice.step) {
    take(static_cast<size_t>(i));
  }
}

Result<Value> slice_string(Runtime& rt, const Text& text, const Value& start, const Value& stop,
                           const Value& step) {
  LAMINA_TRY(rt.budget.spend_scan(text.size()));
  const std::string_view bytes = text.bytes();
  const auto count = static_cast<int64_t>(count_code_points(bytes));
  LAMINA_ASSIGN(const Slice slice, slice_indices(start, stop, step, count));
  if (slice.step == 1) {
    const size_t begin = offset_of_code_point(bytes, static_cast<size_t>(slice.start));
    const size_t end = offset_of_code_point(bytes, static_cast<size_t>(slice.stop));
    return rt.heap.string(text.slice(begin, std::max(begin, end)));
  }
  LAMINA_TRY(rt.budget.spend_bytes(bytes.size() * sizeof(uint32_t)));
  LAMINA_TRY(rt.budget.spend_steps(bytes.size()));
  std::vector<uint32_t> offsets;
  for (size_t i = 0; i < bytes.size(); i += decode_utf8(bytes, i).bytes) {
    offsets.push_back(static_cast<uint32_t>(i));
  }
  offsets.push_back(static_cast<uint32_t>(bytes.size()));
  Text out;
  for_each_index(slice, [&](size_t i) { out.append(text, offsets[i], offsets[i + 1]); });
  return rt.heap.string(std::move(out));
}

}  // namespace

Result<Value> get_attribute(Runtime& rt, const Value& object, std::string_view name) {
  LAMINA_ASSIGN(const bool is_method, has_method(object, name));
  if (is_method) return rt.heap.method(object, name);
  const Value* found = nullptr;
  switch (object.kind()) {
    case Kind::kUndefined: return type_error("", object);
    case Kind::kLoop: return loop_attribute(object.as_loop(), name);
    case Kind::kNamespace:
      LAMINA_TRY(spend_lookup(rt.budget, object.as_namespace().members.size(), name.size()));
      found = object.as_namespace().find(name);
      break;
    case Kind::kDict:
      LAMINA_TRY(spend_lookup(rt.budget, object.as_dict().members.size(), name.size()));
      found = object.as_dict().find(name);
      break;
    default: break;
  }
  return found != nullptr ? *found : Value::undefined(name);
}

Result<Value> get_item(Runtime& rt, const Value& object, const Value& key) {
  if (object.is(Kind::kUndefined)) return type_error("", object);
  if (key.is_integral()) {
    if (object.is(Kind::kList)) return list_item(object.as_list(), key.as_int());
    if (object.is(Kind::kString)) return string_item(rt, object, key.as_int());
  }
  if (object.is(Kind::kDict)) {
    LAMINA_ASSIGN(const Value* found, lookup(rt.budget, object.as_dict(), key));
    if (found != nullptr) return *found;
  }
  if (!key.is(Kind::kString)) return Value::undefined("item");
  return get_attribute(rt, object, key.as_bytes());
}

Result<Value> get_slice(Runtime& rt, const Value& object, const Value& start, const Value& stop,
                        const Value& step) {
  if (object.is(Kind::kString)) return slice_string(rt, object.as_text(), start, stop, step);
  if (!object.is(Kind::kList)) return type_error("slicing", object);
  const List& list = object.as_list();
  const auto count = static_cast<int64_t>(list.items.size());
  LAMINA_ASSIGN(const Slice slice, slice_indices(start, stop, step, count));
  std::vector<Value> items;
  LAMINA_TRY(rt.budget.check_bytes(list.items.size() * sizeof(Value)));
  for_each_index(slice, [&](size_t i) { items.push_back(list.items[i]); });
  return rt.heap.list(std::move(items), list.is_tuple);
}

}  // namespace lamina::jinja
