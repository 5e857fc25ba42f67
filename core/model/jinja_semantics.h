// SPDX-License-Identifier: Apache-2.0
// Python's meaning of ==, <, in, len() and iteration.
#pragma once

#include <cstdint>

#include "core/base/result.h"
#include "core/model/jinja_heap.h"
#include "core/model/jinja_value.h"

namespace lamina::jinja {

Result<bool> equals(Budget& budget, const Value& a, const Value& b);

// Negative, 0 or positive; kUnordered with a NaN; an error for kinds that have no order.
constexpr int kUnordered = 2;
Result<int> compare(Budget& budget, const Value& a, const Value& b);

// Charges a search of a key among `members` keys.
Result<void> spend_lookup(Budget& budget, size_t members, size_t key_bytes);
// dict[key], null if it is not there.
Result<const Value*> lookup(Budget& budget, const Dict& dict, const Value& key);

// `item in container`
Result<bool> contains(Budget& budget, const Value& container, const Value& item);
// In code points for strings.
Result<int64_t> length(Budget& budget, const Value& value);
// What a for loop walks over: items, keys, characters; nothing for undefined.
Result<const List*> iterate(Budget& budget, Heap& heap, const Value& value);

}  // namespace lamina::jinja
