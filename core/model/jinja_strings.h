// SPDX-License-Identifier: Apache-2.0
// Python's string functions on Text. Every byte of a result keeps the trust it came with.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/model/jinja_heap.h"
#include "core/model/jinja_text.h"

namespace lamina::jinja {

// Letter case of ASCII letters; all others stay.
Text upper(const Text& text);
Text lower(const Text& text);
Text capitalize(const Text& text);
// Upper case after every non-letter (the method), or after space and -([{< (the filter).
Text title_method(const Text& text);
Text title_filter(const Text& text);

// The first `count` occurrences, all if it is negative. An empty `old` is found between characters.
Result<Text> replace(Budget& budget, const Text& text, const Text& old, const Text& with,
                     int64_t count);

// At runs of white space, or at each `separator`; at most `most` cuts unless it is negative.
Result<std::vector<Text>> split(Budget& budget, const Text& text, int64_t most, bool from_right);
Result<std::vector<Text>> split_at(Budget& budget, const Text& text, std::string_view separator,
                                   int64_t most, bool from_right);
Result<std::vector<Text>> split_lines(Budget& budget, const Text& text, bool keep_ends);

Result<Text> repeat(Budget& budget, const Text& text, int64_t count);

// Charges a search of `needle` in `text` to the budget.
Result<void> spend_search(Budget& budget, size_t text_bytes, size_t needle_bytes);

}  // namespace lamina::jinja
