// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lamina {

struct CodePoint {
  uint32_t value;  // U+FFFD where the bytes are not UTF-8
  uint8_t bytes;   // how many were consumed, at least 1
  bool valid;
};

// Decodes at text[offset]. Overlong forms, surrogates and values over U+10FFFF are invalid; an
// invalid sequence consumes its maximal valid prefix (Unicode 15, table 3-8), so that replacing
// gives what browsers give. REQUIRES: offset < text.size().
CodePoint decode_utf8(std::string_view text, size_t offset);

void append_utf8(std::string& out, uint32_t code_point);

bool is_valid_utf8(std::string_view text);

// Every invalid sequence replaced by U+FFFD.
std::string repaired_utf8(std::string_view text);

// Bytes at the end of `text` that begin a code point whose rest has not arrived: 0 to 3.
size_t incomplete_utf8_tail(std::string_view text);

}  // namespace lamina
