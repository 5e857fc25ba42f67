// SPDX-License-Identifier: Apache-2.0
// What one rendering may spend, and the heap its values live in.
//
// Values live until the rendering ends: nothing is freed in between, so cycles and deep nesting
// cost nothing to take apart, and the budget on bytes made bounds the memory.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/model/jinja_value.h"

namespace lamina::jinja {

// A list inside a list inside ... nests at most this deep, so that printing and comparing can
// recurse.
constexpr uint32_t kMaxNesting = 48;

// Limits of one rendering. Far above what real templates and conversations need.
struct Limits {
  uint64_t steps = 4'000'000;                 // operations; long operations count as several
  uint64_t made_bytes = uint64_t{128} << 20;  // of all values ever made
  uint64_t output_bytes = uint64_t{16} << 20;
  uint32_t depth = 200;                  // of expressions, statements and macro calls
};

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}
  Result<void> spend_steps(uint64_t count);
  // Looking at this many bytes.
  Result<void> spend_scan(size_t bytes) { return spend_steps(1 + bytes / 32); }
  Result<void> spend_bytes(uint64_t count);
  // An error if this many bytes could not be spent; for text that is still growing.
  Result<void> check_bytes(uint64_t count) const;
  Result<void> check_output(size_t bytes) const;
  Result<void> enter();
  void leave() { --depth_; }

 private:
  Limits limits_;
  uint64_t steps_ = 0;
  uint64_t made_bytes_ = 0;
  uint32_t depth_ = 0;
};

// Makes values and charges them to the budget.
class Heap {
 public:
  explicit Heap(Budget& budget) : budget_(budget) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  Result<Value> string(Text text);
  Result<Value> list(std::vector<Value> items, bool is_tuple = false);
  Result<Value> dict(Dict dict);
  Result<Value> name_space();
  Result<Value> method(const Value& self, std::string_view name);
  Result<Loop*> loop();

 private:
  Budget& budget_;
  std::deque<Text> texts_;
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::deque<Namespace> namespaces_;
  std::deque<Method> methods_;
  std::deque<Loop> loops_;
};

}  // namespace lamina::jinja
