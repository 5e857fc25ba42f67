// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja_heap.h"

#include <algorithm>
#include <cinttypes>
#include <utility>

namespace lamina::jinja {

Result<void> Budget::spend_steps(uint64_t count) {
  if (count > limits_.steps - steps_) {
    return make_error(Code::kResourceExhausted,
                      "the template takes more than %" PRIu64 " steps; simplify it or shorten the "
                      "conversation",
                      limits_.steps);
  }
  steps_ += count;
  return {};
}

Result<void> Budget::check_bytes(uint64_t count) const {
  if (count > limits_.made_bytes - made_bytes_) {
    return make_error(Code::kResourceExhausted,
                      "the template makes more than %" PRIu64 " bytes of values; simplify it or "
                      "shorten the conversation",
                      limits_.made_bytes);
  }
  return {};
}

Result<void> Budget::spend_bytes(uint64_t count) {
  LAMINA_TRY(check_bytes(count));
  made_bytes_ += count;
  return {};
}

Result<void> Budget::check_output(size_t bytes) const {
  if (bytes > limits_.output_bytes) {
    return make_error(Code::kResourceExhausted, "the prompt is longer than %" PRIu64 " bytes",
                      limits_.output_bytes);
  }
  return {};
}

Result<void> Budget::enter() {
  if (depth_ >= limits_.depth) {
    return make_error(Code::kResourceExhausted, "the template nests or recurses deeper than %u",
                      limits_.depth);
  }
  ++depth_;
  return {};
}

namespace {

uint32_t nesting_of(const Value& value) {
  if (value.is(Kind::kList)) return value.as_list().nesting;
  if (value.is(Kind::kDict)) return value.as_dict().nesting;
  return 0;
}

Result<void> check_nesting(uint32_t nesting) {
  if (nesting <= kMaxNesting) return {};
  return make_error(Code::kResourceExhausted, "lists nest deeper than %u", kMaxNesting);
}

}  // namespace

Result<Value> Heap::string(Text text) {
  LAMINA_TRY(budget_.spend_bytes(text.footprint()));
  texts_.push_back(std::move(text));
  return Value::string(&texts_.back());
}

Result<Value> Heap::list(std::vector<Value> items, bool is_tuple) {
  LAMINA_TRY(budget_.spend_bytes(sizeof(List) + items.size() * sizeof(Value)));
  uint32_t nesting = 1;
  for (const Value& item : items) nesting = std::max(nesting, 1 + nesting_of(item));
  LAMINA_TRY(check_nesting(nesting));
  lists_.push_back(List{std::move(items), is_tuple, nesting});
  return Value::list(&lists_.back());
}

Result<Value> Heap::dict(Dict dict) {
  LAMINA_TRY(budget_.spend_bytes(sizeof(Dict) + dict.members.size() * 2 * sizeof(Value)));
  for (const auto& [key, value] : dict.members) {
    dict.nesting = std::max({dict.nesting, 1 + nesting_of(value), 1 + nesting_of(key)});
  }
  LAMINA_TRY(check_nesting(dict.nesting));
  dicts_.push_back(std::move(dict));
  return Value::dict(&dicts_.back());
}

Result<Value> Heap::name_space() {
  LAMINA_TRY(budget_.spend_bytes(sizeof(Namespace)));
  return Value::name_space(&namespaces_.emplace_back());
}

Result<Value> Heap::method(const Value& self, std::string_view name) {
  LAMINA_TRY(budget_.spend_bytes(sizeof(Method)));
  methods_.push_back({self, name});
  return Value::method(&methods_.back());
}

Result<Loop*> Heap::loop() {
  LAMINA_TRY(budget_.spend_bytes(sizeof(Loop)));
  return &loops_.emplace_back();
}

}  // namespace lamina::jinja
